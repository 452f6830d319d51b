"""What the streamed entrance costs where nothing is synthetic: a pass through `wrap`, against the source itself."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import onthefly
from onthefly.testing import CountingGenerator

LABELS = torch.arange(5120) % 10
IMAGES = torch.rand(5120, 3, 32, 32)


class Rows(IterableDataset[Any]):
    """Tensors in memory, or what costs about as much as decoding a small picture."""

    def __init__(self, *, decoded: bool) -> None:
        self.decoded = decoded

    def __iter__(self) -> Any:
        for image, label in zip(IMAGES, LABELS, strict=True):
            for _ in range(10 if self.decoded else 0):
                image = image.flip(-1).contiguous()
            yield image, label


def batches() -> Any:
    """As cheap as a source can be: slices of tensors in memory."""
    yield from zip(IMAGES.split(256), LABELS.split(256), strict=True)


SOURCES = {
    "decoded": lambda: DataLoader(Rows(decoded=True), 256),
    "tensors": lambda: DataLoader(Rows(decoded=False), 256),
    "slices": lambda: batches,
}


def through(source: Any) -> None:
    for _ in source() if callable(source) else source:
        pass


@pytest.mark.parametrize("counted", [False, True], ids=["as it is", "with quotas"])
@pytest.mark.parametrize("name", SOURCES)
def test_ratio_0(versus: Any, benchmark: Any, name: str, counted: bool) -> None:
    source = SOURCES[name]()
    mix: dict[str, Any] = {"generator": CountingGenerator((3, 32, 32), 10), "ratio": {0: 0.0}} if counted else {}
    options = {"tag": True} if counted else {}
    loader = onthefly.wrap(source, **mix, **options, device="cpu")
    label = "wrap, quotas at ratio 0" if counted else "wrap"
    group = f"stream, ratio 0, {name}"
    versus(lambda: through(loader), lambda: through(source), rounds=41, group=group, name=label, against="the source")
    apart = benchmark.stats.stats.median * (1 - benchmark.extra_info["ratio"]) / len(LABELS.split(256))
    benchmark.extra_info["note"] = f"{apart * 1e6:.0f} us a batch more"
