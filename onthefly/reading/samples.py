"""Samples: what every dataset that was read tells of its samples without loading one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset


class Samples(Dataset[tuple[Any, int]]):
    """A map-style dataset that yields ``(sample, class number)``; it can be sent to workers.

    Args:
        targets: the class number of each sample, from 0.
        classes: the names of the classes, in the order of their numbers; None if they have none.
        attributes: what else is known of each sample, by name.

    Attributes:
        targets: ``int64[N]``.
        classes: the names, or None.
        attributes: lists of N numbers, or of N strings, by name.
    """

    def __init__(
        self,
        targets: Sequence[int] | NDArray[Any],
        classes: Iterable[str] | None,
        attributes: Mapping[str, Sequence[Any]],
    ) -> None:
        self.targets: NDArray[np.int64] = np.asarray(targets, np.int64)
        self.classes = None if classes is None else tuple(classes)
        self.attributes = {name: list(values) for name, values in attributes.items()}

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        known = f", with {', '.join(self.attributes)}" if self.attributes else ""
        classes = f" of {len(self.classes)} classes" if self.classes is not None else ""
        return f"{len(self)} samples{classes}{known}"


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names as classes or categories are numbered: numbers by value, anything else by its letters.

    >>> in_order(["10", "9", "-1", "9"]), in_order(["spam", "ham", "10"])
    (('-1', '9', '10'), ('10', 'ham', 'spam'))
    """
    distinct = sorted(set(names))
    values = [number(name) for name in distinct]
    return tuple(distinct if None in values else sorted(distinct, key=float))


def numbered(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each name."""
    numbers = {name: place for place, name in enumerate(classes)}
    return [numbers[name] for name in names]


def number(value: str) -> float | None:
    """The number that is written there, NaN aside; None if it is none.

    >>> number("-1.5"), number("1e400"), number("nan"), number("12 May"), number("1_000")
    (-1.5, inf, None, None, None)
    """
    try:
        found = float(value)
    except ValueError:
        return None
    return None if found != found or "_" in value else found


def plain(values: Sequence[str]) -> list[Any]:
    """An attribute as it was written, or as numbers where all of it is numbers.

    >>> plain(["3", "007"]), plain(["3", "0.5"]), plain(["3", "george"])
    ([3, 7], [3.0, 0.5], ['3', 'george'])
    """
    found = [number(value) for value in values]
    numbers = [one for one in found if one is not None and abs(one) != float("inf")]
    if len(numbers) < len(values):
        return list(values)
    return [int(value) for value in values] if all(map(_is_whole, values)) else numbers


def _is_whole(value: str) -> bool:
    return value.strip().removeprefix("-").isdecimal()
