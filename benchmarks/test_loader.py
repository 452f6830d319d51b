"""What wrapping costs where nothing is mixed: an epoch through `wrap` at ratio 0, against the plain DataLoader."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import onthefly

LABELS = torch.arange(5000) % 10
TENSORS = TensorDataset(torch.rand(5000, 3, 32, 32), LABELS)


class Decoded(Dataset[Any]):
    """Costs about what decoding a small picture does."""

    targets = LABELS

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, row: int) -> Any:
        image = TENSORS.tensors[0][row]
        for _ in range(10):
            image = image.flip(-1).contiguous()
        return image, int(LABELS[row])


DATASETS = {"tensors": TENSORS, "decoded": Decoded()}


def plain(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    options = options or {"shuffle": True}
    return DataLoader(dataset, batch_size=256, num_workers=workers, persistent_workers=workers > 0, **options)


def oversampled(dataset: Any, workers: int) -> DataLoader[Any]:
    return plain(dataset, workers, sampler=WeightedRandomSampler([1.0] * len(LABELS), len(LABELS)))


def epoch(loader: Any) -> None:
    for _ in loader:
        pass


def test_nothing(versus: Any) -> None:
    """How far two equal loaders are apart on this machine."""
    one, other = plain(TENSORS, 0), plain(TENSORS, 0)
    versus(lambda: epoch(one), lambda: epoch(other), rounds=41, group="noise", name="DataLoader", against="DataLoader")


class Free(Dataset[Any]):
    """Costs nothing, so that a step is all there is."""

    targets = LABELS

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, row: int) -> Any:
        return row

    def __getitems__(self, rows: list[int]) -> list[int]:
        return rows


@pytest.mark.parametrize("planned", [False, True], ids=["drop-in", "planned"])
def test_a_step(versus: Any, benchmark: Any, planned: bool) -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(Free(), 256, shuffle=True, collate_fn=_nothing)

    peer, wrapped = make(), onthefly.wrap(make(), balance="uniform" if planned else "natural", device="cpu")
    name = "wrap, balance uniform" if planned else "wrap"
    versus(lambda: epoch(wrapped), lambda: epoch(peer), rounds=41, group="a step", name=name, against="DataLoader")
    apart = benchmark.stats.stats.median * (1 - benchmark.extra_info["ratio"]) / len(peer)
    benchmark.extra_info["note"] = f"{apart * 1e6:.0f} us a step more"


def _nothing(rows: Any) -> Any:
    return rows[:0]


@pytest.mark.parametrize("planned", [False, True], ids=["drop-in", "planned"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", DATASETS)
def test_ratio_0(versus: Any, dataset: str, workers: int, planned: bool) -> None:
    data = DATASETS[dataset]
    peer = oversampled(data, workers) if planned else plain(data, workers)
    wrapped = onthefly.wrap(plain(data, workers), balance="uniform" if planned else "natural")
    versus(
        lambda: epoch(wrapped),
        lambda: epoch(peer),
        rounds=41,
        group=f"ratio 0, {dataset}, {workers} workers",
        name="wrap, balance uniform" if planned else "wrap",
        against="DataLoader, WeightedRandomSampler" if planned else "DataLoader",
    )
