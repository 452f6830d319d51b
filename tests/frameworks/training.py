"""What the frameworks' tests and their worker processes share: a small mix, and what of it reached training."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader
from onthefly.schedule import Linear
from onthefly.testing import CountingGenerator

SHAPE, CLASSES, EPOCHS = (1, 8, 8), 4, 3
FEWER = Linear(1, 0)  # and fewer synthetic samples
GLOBAL_BATCH = 8  # rows of all processes together; 37 samples make four such batches and five rows more


def images() -> TensorDataset:
    """37 images of four unequal classes; an image's first pixel is its row."""
    labels = torch.repeat_interleave(torch.arange(CLASSES), torch.tensor([23, 9, 4, 1]))
    pixels = torch.rand(len(labels), *SHAPE, generator=torch.Generator().manual_seed(1))
    pixels[:, 0, 0, 0] = torch.arange(len(labels)) / 1000
    return TensorDataset(pixels, labels)


def plain(processes: int = 1, **options: Any) -> DataLoader[Any]:
    """The user's loader in one of several processes."""
    return DataLoader(images(), GLOBAL_BATCH // processes, shuffle=True, **options)


def mixed(processes: int = 1, ratio: Any = FEWER, **options: Any) -> MixLoader[Any]:
    """The same loader with synthetic samples."""
    generator, loader = CountingGenerator(SHAPE, CLASSES), plain(processes, **options)
    return onthefly.wrap(loader, generator, ratio=ratio, epochs=EPOCHS, seed=5, device="cpu", tag=True)


def augmented(loader: DataLoader[Any], **options: Any) -> MixLoader[Any]:
    """A loader whose images the device half makes brighter by 1; without a plan, unless an option asks for one."""
    return onthefly.wrap(loader, augment=lambda batch: [batch[0] + 1, *batch[1:]], device="cpu", **options)


def network() -> nn.Module:
    """Something to train."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))


def seen(x: Tensor, y: Tensor, info: Any) -> dict[str, Any]:
    """What reached training as one batch: its slots, and whether the images are what the slots say."""
    synthetic, label, key, source, _ = info
    filled = torch.allclose(x[:, 0, 0, 0], torch.where(synthetic, label / CLASSES, source / 1000))
    columns = {"index": source, "label": label, "key": key, "synthetic": synthetic}
    return {"filled": filled and torch.equal(y, label), **{name: part.tolist() for name, part in columns.items()}}


def rows_of(images: Tensor) -> list[int]:
    """The rows that real images are, plus 1000 if they were augmented."""
    return (images[:, 0, 0, 0] * 1000).round().int().tolist()


def side_by_side(ranks: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The batches of all processes, of each step one, in the order of ranks."""
    for batches in zip(*ranks, strict=True):  # every process has as many steps
        assert all(batch["filled"] for batch in batches)
        columns = ("index", "label", "key", "synthetic")
        yield {name: [value for batch in batches for value in batch[name]] for name in columns}


def check_epoch(ranks: list[list[dict[str, Any]]], epoch: int, first_step: int = 0) -> None:
    """What reached training on all ranks is the plan's epoch, from some step on: as one process would have got it."""
    plan = mixed().planned("test")
    slots, steps = plan.epoch(epoch), list(side_by_side(ranks))
    assert len(steps) == len(mixed()) - first_step
    for number, step in enumerate(steps, first_step):
        rows = slice(number * GLOBAL_BATCH, (number + 1) * GLOBAL_BATCH)
        assert {name: getattr(slots, name)[rows].tolist() for name in step} == step


def check_training(ranks: list[Any], first: tuple[int, int] = (0, 0)) -> None:
    """What reached training on all ranks, epoch by epoch, is the plan from (epoch, step) to the end."""
    for epoch in range(EPOCHS):
        batches = [rank["batches"][epoch] for rank in ranks]
        if epoch < first[0]:
            assert batches == [[]] * len(ranks)
        else:
            check_epoch(batches, epoch, first[1] if epoch == first[0] else 0)
