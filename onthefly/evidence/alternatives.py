"""The alternatives to a mix: what people do with a generator without this library."""

import copy
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from onthefly.data.batches import like, size_of, to_device
from onthefly.data.images import image_in, on_image
from onthefly.data.nested import change
from onthefly.data.normalize import Normalization
from onthefly.evidence.contender import Contender, Tally, endless, of_loader
from onthefly.evidence.subject import Subject
from onthefly.generators.base import FrozenGenerator
from onthefly.loader import Mix
from onthefly.mixing.table import in_words

_FILES = 1000  # the most that are written: they are read again and again


class Replaced(Dataset[Any]):
    """A dataset in which a share of the rows is made instead of read, the same rows every time.

    Args:
        dataset: the user's.
        share: of rows that are made.
        make: from a row to what ``dataset[row]`` would be.
    """

    def __init__(self, dataset: Any, share: float, make: Callable[[int], Any]) -> None:
        self.dataset, self.share, self.make = dataset, share, make

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Any:
        return self.make(row) if self.is_made(row) else self.dataset[row]

    def __getitems__(self, rows: list[int]) -> list[Any]:
        many = getattr(self.dataset, "__getitems__", None)
        if many is None:
            return [self[row] for row in rows]
        real = [row for row in rows if not self.is_made(row)]
        read = iter(many(real) if real else ())
        return [self.make(row) if self.is_made(row) else next(read) for row in rows]

    def is_made(self, row: int) -> bool:
        """Spread evenly over the rows."""
        return int((row + 1) * self.share) > int(row * self.share)

    @property
    def part(self) -> float:
        """The share of the rows that are made, exactly."""
        return int(len(self) * self.share) / len(self)


class OneByOne:
    """Makes the sample of a row by itself, as ``dataset[row]`` has to."""

    def __init__(self, subject: Subject) -> None:
        self.generator, self.device = cast(FrozenGenerator, subject.generator), subject.device
        self.example, self.normalized = cast(Mix, subject.mix).collate.example, subject.normalized_samples
        self.makes = np.flatnonzero(self.generator.makes).tolist()

    def __call__(self, row: int) -> Any:
        label, key = torch.tensor([[self.makes[row % len(self.makes)]], [row]], device=self.device)
        (item,) = self.generator.items(label, key)
        return like(to_device(_normal(item, self.normalized, 3), torch.device("cpu")), self.example)


class FromFiles:
    """Reads the sample of a row from a picture that was made before."""

    def __init__(self, subject: Subject, paths: list[Path], labels: NDArray[np.int64]) -> None:
        self.example, self.normalized = cast(Mix, subject.mix).collate.example, subject.normalized_samples
        self.paths, self.labels = paths, labels

    def __call__(self, row: int) -> Any:
        number = row % len(self.paths)
        with Image.open(self.paths[number]) as picture:
            image = pil_to_tensor(picture).float() / 255
        return like(_normal([image, torch.tensor(self.labels[number])], self.normalized, 3), self.example)


def in_getitem(subject: Subject, share: float) -> Contender:
    """The same generator, one sample at a time, wherever the dataset is read."""
    dataset = Replaced(cast(Any, subject.loader).dataset.dataset, share, OneByOne(subject))
    on_cuda = subject.device.type == "cuda"
    workers = {"num_workers": 0} if on_cuda else {}
    where = "in the main process, since a forked worker can't use CUDA" if on_cuda else subject.where
    about, tally = f"the generator makes one sample at a time, {where}{subject.not_fused}", Tally()
    loader, then = subject.plain(dataset=dataset, **workers), _tallied(_augment(subject), tally, dataset.part)
    return of_loader("in __getitem__", about, loader, then, synthetic=tally, made=tally)


def from_files(subject: Subject, share: float, folder: Path, seconds: float) -> Contender:
    """Samples that were written to disk before, read by the workers like any picture."""
    dataset = cast(Any, subject.loader).dataset.dataset
    begin = perf_counter()
    paths, labels = _write(subject, folder, min(_FILES, max(1, int(len(dataset) * share))), seconds)
    taken = perf_counter() - begin
    about = (
        f"{in_words(len(paths), 'PNG file')}, read {subject.where}; to make and write them took {taken:.1f} s before "
        f"the clock ran{subject.not_fused}"
    )
    replaced, tally = Replaced(dataset, share, FromFiles(subject, paths, labels)), Tally()
    then = _tallied(_augment(subject), tally, replaced.part)
    return of_loader("from files", about, subject.plain(dataset=replaced), then, synthetic=tally)


def by_hand(subject: Subject, share: float) -> Contender:
    """A loop as one writes it: a real batch, a forward of the generator, both put together, then the augmentation."""
    whole = cast(int, subject.loader.batch_size)
    count = min(max(1, round(whole * share)), whole - 1)
    loader, augment, rng = subject.plain(batch_size=whole - count), _augment(subject), np.random.default_rng(0)
    tally = Tally()

    def join(real: Any) -> Any:
        real = to_device(real, subject.device)
        made = to_device(_normal(subject.generate(count, rng), subject.normalized, 4), subject.device)
        tally.add(count)
        return augment(change(_joined, real, made), count)

    about = (
        f"a loop that makes {in_words(count, 'sample')} for each batch of {whole} and puts both together"
        f"{subject.not_fused}"
    )
    return of_loader("by hand", about, loader, join, synthetic=tally, made=tally)


def prefetching(subject: Subject, around: Callable[..., Any]) -> Contender:
    """What timm trains with, its ``PrefetchLoader``: the next batch is moved and normalised on a stream of its own."""
    plain, image = subject.plain(), image_in(subject.first, ndim=4)
    channels = 3 if image is None else image.shape[1]
    half = (0.5,) * channels

    def opened() -> Generator[Any]:  # around another loader each time, whose workers end with it
        loader = around(copy.copy(plain), mean=half, std=half, channels=channels, device=subject.device)
        return endless(loader)()

    how = "on a stream of its own" if subject.device.type == "cuda" else "on the CPU nothing is fetched ahead by it"
    about = f"timm's PrefetchLoader around the plain loader, normalising; {how}"
    return replace(of_loader("timm", about, plain), open=opened)


def _augment(subject: Subject) -> Callable[..., Any]:
    """Move a batch, then augment it; the last ``count`` rows of it are synthetic, where somebody knows."""
    run = subject.change(subject.sequential)

    def augment(batch: Any, count: int = 0) -> Any:
        batch = to_device(batch, subject.device)
        is_synthetic = None if not count else torch.arange(size_of(batch)) >= size_of(batch) - count
        with torch.no_grad():
            return run(batch, is_synthetic)

    return augment


def _tallied(change: Callable[[Any], Any], tally: Tally, share: float) -> Callable[[Any], Any]:
    """Workers can't count here; but this share of their rows is synthetic."""

    def run(batch: Any) -> Any:
        tally.add(size_of(batch) * share)
        return change(batch)

    return run


def _normal(made: Any, normalized: Normalization | None, ndim: int) -> Any:
    return made if normalized is None else on_image(made, normalized.apply, ndim)


def _joined(real: Any, made: Any) -> Any:
    if isinstance(real, Tensor):
        return torch.cat([real, made.to(real.dtype)])
    return [*real, *made]


def _write(subject: Subject, folder: Path, count: int, seconds: float) -> tuple[list[Path], NDArray[np.int64]]:
    """So many pictures, or as many as can be written in that time; and their classes."""
    paths: list[Path] = []
    labels: list[int] = []
    rng, begin, at_once = np.random.default_rng(0), perf_counter(), min(count, 16)
    while len(paths) < count and (not paths or perf_counter() - begin < seconds):
        images, kinds = subject.generate(at_once, rng)
        for image, kind in zip(images.cpu(), kinds.tolist(), strict=True):
            paths.append(folder / f"{len(paths)}.png")
            to_pil_image(image.clamp(0, 1)).save(paths[-1])
            labels.append(kind)
    return paths, np.array(labels)
