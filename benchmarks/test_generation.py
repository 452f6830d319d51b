"""Making samples one at a time in `__getitem__`, as people do today, against a batch at a time on the device.

Half of every batch is synthetic, and the generator is the same.
"""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import onthefly
from onthefly.data.batches import default_device
from onthefly.generators import FrozenGenerator, train

SHAPES = {"8 x 8 grey": (1, 8, 8), "28 x 28 grey": (1, 28, 28), "32 x 32 colour": (3, 32, 32)}
LABELS = torch.arange(512) % 10
DEVICE = default_device()


class InGetItem(Dataset[Any]):
    """Every second sample is made when it is asked for."""

    def __init__(self, images: torch.Tensor, generator: FrozenGenerator) -> None:
        self.images, self.generator = images, generator

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        label = int(LABELS[row])
        if row % 2 == 0:
            return self.images[row], label
        labels, keys = torch.tensor([[label], [row]], device=DEVICE)
        return self.generator.sample(labels, keys)[0].cpu(), label


@pytest.fixture(scope="module")
def generators() -> dict[tuple[str, str], FrozenGenerator]:
    made = {}
    for size, shape in SHAPES.items():
        data = TensorDataset(torch.rand(20, *shape), torch.arange(20) % 10)
        for family in ("gan", "vae"):
            made[size, family] = train(family, data, steps=1, progress=False, device=DEVICE)
    return made


def epoch(loader: Any) -> None:
    for _ in loader:
        pass


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("family", ["gan", "vae"])
@pytest.mark.parametrize("size", SHAPES)
def test_half_synthetic(versus: Any, generators: Any, size: str, family: str, workers: int) -> None:
    if workers and DEVICE.type == "cuda":
        pytest.skip("a forked worker can't use CUDA, which is half of the point")
    generator, images = generators[size, family], torch.rand(512, *SHAPES[size])
    options: dict[str, Any] = {"batch_size": 256, "num_workers": workers, "persistent_workers": workers > 0}
    wrapped = onthefly.wrap(DataLoader(TensorDataset(images, LABELS), shuffle=True, **options), generator, ratio=0.5)
    peer = DataLoader(InGetItem(images, generator), shuffle=True, **options)
    versus(
        lambda: epoch(wrapped),
        lambda: epoch(peer),
        rounds=5,
        group=f"{family}, {size}, {workers} workers",
        name="wrap",
        against="sample() in __getitem__",
    )
