"""Whether a generator and a dataset fit: their classes, and what one sample of each is."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves
from torch.utils.data import default_collate

from onthefly.data.batches import to_device, unbatch
from onthefly.data.hermetic import hermetic
from onthefly.data.normalize import Normalization, image_place
from onthefly.data.spec import describe, differences
from onthefly.generators.base import FrozenGenerator
from onthefly.mixing.classes import Classes
from onthefly.mixing.schedule import Schedule, as_schedule

_EXAMPLES = 8  # samples looked at for their value range
_SLACK = 1e-3


def match_classes(generator: FrozenGenerator, classes: Classes) -> FrozenGenerator:
    """The generator under the dataset's classes: by name where both have names, else number by number.

    Raises:
        ValueError: if no name is shared, or their numbers differ; naming ``relabel``.
    """
    if generator.classes == classes:
        return generator
    ours, theirs = classes.names, generator.classes.names
    if ours is not None and theirs is not None:
        shared = {name: name for name in ours if name in set(theirs)}
        if not shared:
            raise ValueError(_relabel_hint(classes, generator.classes, "share no class name"))
        return generator.relabel(shared, ours)
    if classes.count != generator.classes.count:
        raise ValueError(_relabel_hint(classes, generator.classes, "have different numbers of classes"))
    return generator


def makeable(generator: FrozenGenerator, schedule: Schedule) -> Schedule:
    """The schedule, with ratio 0 for the classes that the generator can't make; says so if there are any."""
    makes = generator.makes
    if makes.all():
        return schedule
    missing = generator.classes.listed(np.flatnonzero(~makes))
    warnings.warn(
        f"the generator can't make {missing}: real samples only there; generator.relabel({{...}}) may help",
        stacklevel=3,
    )
    return schedule * as_schedule({int(number): 1.0 for number in np.flatnonzero(makes)})


def match_samples(
    dataset: Any,
    generator: FrozenGenerator | None,
    *,
    collate_fn: Callable[[list[Any]], Any],
    normalized: Normalization | None,
    in_unit: bool,
    device: torch.device,
) -> Any:
    """Compare a few real samples with a synthetic one; returns a real one.

    With ``default_collate`` both must collate into the same: places, shapes and dtypes. With another ``collate_fn``
    shapes may vary, so only the number of parts must agree. Images must lie in [0, 1], their normalisation undone, if
    synthetic ones do or ``in_unit`` asks for it.

    Raises:
        ValueError: listing every difference, and what to type.
    """
    rows = np.unique(np.linspace(0, len(dataset) - 1, _EXAMPLES).astype(int))
    with hermetic(0, device):
        samples = [dataset[int(row)] for row in rows]
        made = None if generator is None else _make_one(generator, samples[0], collate_fn, device)
    real = _range_of_images(samples, normalized)
    if made is not None:
        _check_same(samples[0], made, collate_fn)
        synthetic = _range_of_images([made], None)
        in_unit = in_unit or _is_unit(synthetic)
        if synthetic is not None and not _is_unit(synthetic) and _is_unit(real):
            raise ValueError(
                f"generator: expected images in [0, 1] like the real ones, found values from {synthetic[0]:g} to "
                f"{synthetic[1]:g}; declare the range it yields: from_module(..., value_range=(-1, 1))"
            )
    if in_unit and real is not None and not _is_unit(real):
        after = (
            f"with {normalized} undone" if normalized else "and their dataset's transform has no lone Normalize to undo"
        )
        raise ValueError(
            f"dataset: expected images in [0, 1], found values from {real[0]:.3g} to {real[1]:.3g}, {after}; pass "
            "normalized=(mean, std), what the images were normalised with"
        )
    return samples[0]


def _make_one(
    generator: FrozenGenerator, sample: Any, collate_fn: Callable[[list[Any]], Any], device: torch.device
) -> Any:
    """One synthetic sample of the first class that can be made, on the CPU."""
    label = torch.tensor([int(np.flatnonzero(generator.makes)[0])], device=device)
    source = (
        None if not generator.wants_source else default_collate([sample]) if collate_fn is default_collate else [sample]
    )
    items = generator.items(label, torch.zeros_like(label), to_device(source, device))
    return to_device(items[0], torch.device("cpu"))


def _check_same(real: Any, made: Any, collate_fn: Callable[[list[Any]], Any]) -> None:
    if collate_fn is default_collate:
        lines = differences(*(describe(unbatch(default_collate([sample]), 1)[0]) for sample in (real, made)))
    else:
        parts, found = len(tree_leaves(real)), len(tree_leaves(made))
        lines = [] if parts == found else [f"expected {parts} parts, found {found}"]
    if lines:
        raise ValueError(
            "generator: its samples are not what dataset[i] yields; train one for this data, or change them with "
            "generator.map(lambda sample, label: ...):\n  " + "\n  ".join(lines)
        )


def _range_of_images(samples: list[Any], normalized: Normalization | None) -> tuple[float, float] | None:
    """The least and the largest value of the samples' images, their normalisation undone; None if there is none."""
    images = []
    for sample in samples:
        leaves = tree_leaves(sample)
        place = image_place(leaves, ndim=3)
        if place is not None:
            images.append(leaves[place] if normalized is None else normalized.undo(leaves[place]))
    if not images:
        return None
    return min(float(image.min()) for image in images), max(float(image.max()) for image in images)


def _is_unit(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and bounds[0] >= -_SLACK and bounds[1] <= 1 + _SLACK


def _relabel_hint(ours: Classes, theirs: Classes, problem: str) -> str:
    return (
        f"generator: it and the dataset {problem}: expected {ours}, found {theirs}; say which is which with "
        "generator.relabel({dataset class: generator class})"
    )
