"""Whether a generator and a dataset fit: their classes, and what one sample of each is."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from onthefly.data.batches import bytes_of, like, to_device, unbatch
from onthefly.data.examples import Examples, typical
from onthefly.data.hermetic import hermetic
from onthefly.data.images import images_of, is_unit, on_image, value_range
from onthefly.data.nested import alike, keys_of, outline, parts, places
from onthefly.data.normalize import Normalization, arrives_normalized, check_unit, undone
from onthefly.data.spec import describe, differences
from onthefly.generators.base import FrozenGenerator, MappedGenerator
from onthefly.generators.combined import CombinedGenerator
from onthefly.generators.faults import find_faults
from onthefly.mixing.classes import Classes
from onthefly.mixing.schedule import Schedule, as_schedule

Ints = NDArray[np.int64]

_CLASSES = 4  # classes of which a synthetic one is


def match_classes(generator: FrozenGenerator | Mapping[Any, FrozenGenerator], classes: Classes) -> FrozenGenerator:
    """The generator, or several by class, under the dataset's classes: by name where both have names, else number by
    number.

    Raises:
        ValueError: if no name is shared, or their numbers differ; naming ``relabel``.
    """
    if isinstance(generator, Mapping):
        return CombinedGenerator(generator, classes)
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
    if not generator.makes.all():
        missing = generator.classes.listed(np.flatnonzero(~generator.makes))
        warnings.warn(
            f"the generator can't make {missing}: real samples only there; generator.relabel({{...}}) may help",
            stacklevel=3,
        )
    return only_made(generator, schedule)


def only_made(generator: FrozenGenerator, schedule: Schedule) -> Schedule:
    """The same, without a word."""
    makes = generator.makes
    return schedule if makes.all() else schedule * as_schedule({int(one): 1.0 for one in np.flatnonzero(makes)})


def match_samples(
    examples: Examples,
    generator: FrozenGenerator,
    labels: Ints,
    *,
    collate_fn: Callable[[list[Any]], Any],
    normalized: Normalization | None,
    device: torch.device,
) -> int:
    """Compare a few real samples with synthetic ones.

    With ``default_collate`` both must collate into the same: places, shapes and dtypes. With another ``collate_fn``
    sizes may vary. What is the class in a synthetic sample must be so in a real one. Where synthetic images lie in
    [0, 1] real ones must too, once their normalisation is undone; and the other way round.

    Returns:
        The bytes of a synthetic sample, of the largest one made.

    Raises:
        ValueError: listing every difference, and what to type.
    """
    default = collate_fn is default_collate
    real, samples = typical(examples, normalized), [sample for _, sample in examples]
    norm = normalized if default or arrives_normalized(real, normalized) else None
    source = real if norm is None or not generator.wants_source else on_image(real, norm.undo, ndim=3)
    numbers, made = _make_some(generator, source, default, device)
    size = max(map(bytes_of, made))
    unlike = (_differences(real, one) if default else _unlike(real, like(one, real)) for one in made)
    lines = next(filter(None, unlike), [])
    if lines:
        raise ValueError(
            "generator: its samples are not what dataset[i] yields; train one for this data, or change them with "
            "generator.map(lambda sample, label: ...):\n  " + "\n  ".join(lines)
        )
    _check_labels(examples, labels, _places_of_class(generator, numbers, made))
    _check_made_labels(numbers, made, _places_of_label(examples, labels))
    if norm is not None:
        on_image(made[0], norm.apply, ndim=3)
    _check_ranges(images_of(samples), images_of(made), normalized, _is_picture(real))
    return size


def _make_some(
    generator: FrozenGenerator, source: Any, default: bool, device: torch.device
) -> tuple[list[int], list[Any]]:
    """Synthetic samples of a few classes, on the CPU; and their classes."""
    makes = np.flatnonzero(generator.makes)
    numbers = np.unique(makes[np.linspace(0, len(makes) - 1, _CLASSES).astype(int)]).tolist()
    where = generator.placed(device)

    def asked(places: list[int]) -> tuple[Tensor, Tensor, Any]:
        sources = [source] * len(places)
        given = (default_collate(sources) if default else sources) if generator.wants_source else None
        labels, keys = (torch.tensor(part, device=where) for part in ([numbers[place] for place in places], places))
        return labels, keys, to_device(given, where)

    places = list(range(len(numbers)))
    with hermetic(0, where):
        if generator.refills.any():  # then some may go wrong, if others don't
            faults = find_faults(generator, *asked(places), collated=default)
            places = [place for place in places if place not in faults] or places
        items = unbatch(generator.batch(*asked(places)), len(places)) if default else generator.items(*asked(places))
    return [numbers[place] for place in places], to_device(items, torch.device("cpu"))


def _differences(real: Any, made: Any) -> list[str]:
    return differences(*(describe(unbatch(default_collate([sample]), 1)[0]) for sample in (real, made)))


def _unlike(real: Any, made: Any, at: str = "") -> list[str]:
    """How two samples differ that a ``collate_fn`` will put together: lists and sizes may have any length, channels may
    not differ."""
    keys = keys_of(real)
    if keys is None and keys_of(made) is None:
        one, other = _kind(real), _kind(made)
        return [] if one == other else [f"{at or 'the sample'}: expected {one}, found {other}"]
    if not alike(real, made) and not (type(real) is type(made) is list):
        return [f"{at or 'the sample'}: expected {outline(real)}, found {outline(made)}"]
    both = [key for key in keys or () if isinstance(real, Mapping) or key < len(made)]
    return [line for key in both for line in _unlike(real[key], made[key], f"{at}[{key!r}]")]


def _kind(part: Any) -> str:
    """What can't vary in a part from sample to sample: its type, and of images the channels."""
    if hasattr(part, "getbands"):
        return f"an image of {part.mode}"
    if not hasattr(part, "shape"):
        return type(part).__name__
    sizes = ["*"] * part.ndim
    if isinstance(part, Tensor) and part.ndim == 3:
        sizes[0] = str(part.shape[0])
    holder = "a tensor" if isinstance(part, Tensor) else "an array"
    return f"{holder} {str(part.dtype).removeprefix('torch.')}[{', '.join(sizes)}]"


def _places_of_class(generator: FrozenGenerator, numbers: list[int], made: list[Any]) -> list[str]:
    """Where synthetic samples hold their class; with one class only, where a generator puts it that nobody mapped."""
    if len(numbers) == 1 and isinstance(generator, MappedGenerator):
        return []
    found = [dict(places(sample)) for sample in made]
    return [
        place
        for place in found[0]
        if all(_number(one.get(place)) == number for one, number in zip(found, numbers, strict=True))
    ]


def _check_labels(examples: Examples, labels: Ints, where: list[str]) -> None:
    for row, sample in examples:
        found = dict(places(sample))
        for place in where:
            if _number(found.get(place)) != labels[row]:
                raise ValueError(
                    f"labels: expected dataset[{row}] to yield its class {labels[row]}, as synthetic samples do, found "
                    f"{found.get(place)} at {place}; pass labels='scan' to balance what the dataset yields, or "
                    "generator.map(lambda sample, label: ...) to yield the same"
                )


def _places_of_label(examples: Examples, labels: Ints) -> list[str]:
    """Where real samples hold their class, if they are of several."""
    if len({int(labels[row]) for row, _ in examples}) < 2:
        return []
    found = [(labels[row], dict(places(sample))) for row, sample in examples]
    return [place for place in found[0][1] if all(_number(sample.get(place)) == label for label, sample in found)]


def _check_made_labels(numbers: list[int], made: list[Any], where: list[str]) -> None:
    for number, sample in zip(numbers, made, strict=True):
        found = dict(places(sample))
        for place in where:
            if _number(found.get(place)) != number:
                raise ValueError(
                    f"generator: expected its samples of class {number} to hold {number} at {place}, as what the "
                    f"dataset yields does, found {found.get(place)}; make it so with generator.map(lambda sample, "
                    "label: ...)"
                )


def _number(part: Any) -> int | None:
    """A whole number, however it is held."""
    value = part.item() if getattr(part, "ndim", None) == 0 else part
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _check_ranges(real: list[Tensor], made: list[Tensor], normalized: Normalization | None, of_pictures: bool) -> None:
    if all(map(is_unit, made)):
        if not all(map(is_unit, real)):
            check_unit(real, normalized)
    elif of_pictures or (real and (all(map(is_unit, real)) or all(map(is_unit, undone(real, normalized))))):
        raise ValueError(
            f"generator: expected images in [0, 1] like the real ones, found values {value_range(made)}; declare the "
            "range it yields: from_module(..., value_range=(-1, 1))"
        )


def _is_picture(sample: Any) -> bool:
    """Whether its image is PIL's, which holds 8 bits for [0, 1]."""
    return any(hasattr(part, "getbands") for part in parts(sample))


def _relabel_hint(ours: Classes, theirs: Classes, problem: str) -> str:
    how_many = "" if ours.names is not None else f", classes={ours.count}"
    return (
        f"generator: it and the dataset {problem}: expected {ours}, found {theirs}; say which is which with "
        f"generator.relabel({{dataset class: generator class}}{how_many})"
    )
