"""Preview: what a mix would deliver, of labels alone: before there is a loader, and maybe before there is a
generator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.data.labels import Labels, labels_of
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.matching import match_classes, only_made
from onthefly.mixing.classes import Classes
from onthefly.mixing.explain import Explanation, explained, with_costs
from onthefly.mixing.given import at_least_one
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.ranks import Shard
from onthefly.mixing.schedule import Schedule


def preview(
    labels: Labels,
    *,
    batch_size: int,
    balance: Any,
    ratio: Schedule,
    epochs: int | None,
    generator: Path | None,
    reuse: int,
    seed: int,
    world_size: int,
) -> Explanation:
    """What ``wrap`` would make of data with these labels; of a generator that makes all classes if none is given."""
    made = None if generator is None else match_classes(load(generator, reuse=reuse), labels.classes)
    shard = Shard(0, at_least_one(world_size, "world_size"))
    plan = MixPlan(
        labels.values,
        batch_size=at_least_one(batch_size, "batch_size") * shard.world,
        balance=balance,
        ratio=ratio if made is None else only_made(made, ratio),
        epochs=epochs,
        seed=seed,
        classes=labels.classes,
        reuse=reuse if made is None else made.uses,
    )
    found = explained(plan, ratio, None if made is None else made.makes)
    room = FrozenGenerator.cache_bytes if made is None else made.cache_bytes
    return with_costs(found, plan, shard, sample_bytes=_bytes_of_one(made), cache_bytes=room)


def labels_from(folder: Path | None, counts: Sequence[int], file: Path | None) -> Labels:
    """The class of every real sample, told in one of three ways.

    Args:
        folder: of pictures, one subfolder a class.
        counts: samples of each class.
        file: a label for each sample.
    """
    given = [name for name, one in (("FOLDER", folder), ("--counts", counts), ("--labels", file)) if one]
    if len(given) != 1:
        raise ValueError(
            f"explain: expected one of FOLDER, --counts and --labels, found {' and '.join(given) or 'none'}; try: "
            "onthefly explain --counts 500 50 5"
        )
    if folder is not None:
        return folder_labels(folder)
    return counted_labels(counts) if file is None else read_labels(file)


def folder_labels(folder: Path) -> Labels:
    """The class of every picture of a folder, one subfolder a class; no picture is opened."""
    from torchvision.datasets import ImageFolder

    if not folder.is_dir() or not any(one.is_dir() for one in folder.iterdir()):
        found = "no subfolder in" if folder.is_dir() else "no folder"
        raise FileNotFoundError(f"folder: expected a folder of pictures, one subfolder a class, found {found} {folder}")
    return labels_of(ImageFolder(folder, allow_empty=True))


def counted_labels(counts: Sequence[int]) -> Labels:
    """So many samples of each class, in order."""
    if not counts or min(counts) < 0 or not any(counts):
        raise ValueError(
            f"counts: expected the number of samples of each class, 0 or more, not all 0, found {list(counts)}"
        )
    return Labels(np.repeat(np.arange(len(counts)), counts), Classes.of(len(counts)))


def read_labels(path: Path) -> Labels:
    """The labels in a file: an array that numpy saved (.npy), or text with one on each line."""
    found = _array_in(path) if path.suffix == ".npy" else _lines_in(path)
    if not found.size:
        raise ValueError(f"labels: expected one label for each sample, found none in {path}")
    return labels_of(range(len(found)), found)


def _array_in(path: Path) -> NDArray[Any]:
    try:
        return np.atleast_1d(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"labels: expected {path} to hold an array of numbers or of names that numpy.save wrote ({error})"
        ) from error


def _lines_in(path: Path) -> NDArray[Any]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"labels: expected {path} to be text with one label on each line, or .npy ({error})"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line or "," in line or "\t" in line:
            raise ValueError(f"labels: expected one label on each line, found {line!r} in line {number} of {path}")
    whole = [line.lstrip("-").isdecimal() for line in lines]
    if len(lines) > 1 and not whole[0] and all(whole[1:]):
        raise ValueError(f"labels: expected numbers, found {lines[0]!r} in line 1 of {path}; leave the heading out")
    return np.array(lines, np.int64 if lines and all(whole) else np.str_)


def _bytes_of_one(made: FrozenGenerator | None) -> int | None:
    """Of the sample that a checkpoint's card describes, and its label."""
    if made is None:
        return None
    return sum(field.nbytes for field in made.spec.fields.values()) + np.dtype(np.int64).itemsize
