"""Conditions: what a sample has beside its class, such as a rotation or a speaker, as numbers that networks take."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Category:
    """A condition that is one of some values.

    Attributes:
        values: all there are, distinct.

    >>> Category(("anna", "ben")).encode(["ben", "anna"])
    tensor([[0., 1.],
            [1., 0.]])
    """

    values: tuple[str | int, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values):
            raise ValueError(f"conditions: expected distinct values, one at least, found {list(self.values)}")

    @property
    def size(self) -> int:
        """Numbers that describe it."""
        return len(self.values)

    def encode(self, found: Sequence[Any], name: str = "condition") -> Tensor:
        """N values to ``float32[N, size]``: a one in the place of each."""
        places = {value: place for place, value in enumerate(self.values)}
        unknown = sorted({repr(value) for value in found if not isinstance(value, (str, Real)) or value not in places})
        if unknown:
            raise ValueError(
                f"{name}: expected {self}, found {', '.join(unknown[:5])}; leave such samples out, or train again with "
                "them"
            )
        numbers = torch.tensor([places[value] for value in found], dtype=torch.int64)
        return torch.nn.functional.one_hot(numbers, self.size).float()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"values": list(self.values)}

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values[:20]))}{', ...' if len(self.values) > 20 else ''}"


@dataclass(frozen=True)
class Interval:
    """A condition that is a number.

    Attributes:
        low, high: the least and the largest.

    >>> Interval(-30, 30).encode([-30, 0, 15])
    tensor([[-1.0000],
            [ 0.0000],
            [ 0.5000]])
    """

    low: float
    high: float

    size = 1  # numbers that describe it

    def __post_init__(self) -> None:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError(f"conditions: expected a finite (low, high), found ({self.low}, {self.high})")

    def encode(self, found: Sequence[Any], name: str = "condition") -> Tensor:
        """N values to ``float32[N, 1]`` in [-1, 1]."""
        if not all(isinstance(value, Real) for value in found):
            strange = next(value for value in found if not isinstance(value, Real))
            raise ValueError(f"{name}: expected numbers in {self}, found {strange!r}; leave such samples out")
        numbers = np.asarray(found, np.float64)
        outside = numbers[~((self.low <= numbers) & (numbers <= self.high))]  # NaN is
        if len(outside):
            raise ValueError(f"{name}: expected numbers in {self}, found {outside[0]:g}; leave such samples out")
        scaled = (numbers - self.low) / (self.high - self.low) * 2 - 1
        return torch.from_numpy(scaled).float()[:, None]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


Condition = Category | Interval


def plain_values(values: Any, name: str) -> list[str | int | float]:
    """The values of a condition as Python's own: strings, whole numbers, or finite numbers.

    Args:
        values: one for each sample: a list, a one-dimensional array or tensor, a column of a table.
        name: of the condition.

    Raises:
        ValueError: for anything else, naming the condition.

    >>> plain_values(torch.tensor([3, 1]), "age")
    [3, 1]
    """
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, Iterable) or isinstance(listed, (str, bytes, Mapping)):
        raise _unlike(name, type(values).__name__)
    plain = [one.item() if isinstance(one, (np.generic, Tensor)) and one.ndim == 0 else one for one in listed]
    kinds = {str if isinstance(one, str) else float if isinstance(one, Real) else type(one) for one in plain}
    if kinds - {str, float}:
        raise _unlike(name, ", ".join(sorted(kind.__name__ for kind in kinds - {str, float})))
    if len(kinds) > 1:
        raise _unlike(name, "some of each")
    strange = next((one for one in plain if isinstance(one, float) and not math.isfinite(one)), None)
    if strange is not None:
        raise _unlike(name, repr(strange))
    return plain


def condition_of(values: Any, name: str = "condition") -> Condition:
    """The condition that the values of a dataset's samples show: an interval where they are floating-point numbers.

    Raises:
        ValueError: as ``plain_values`` does, and for floating-point numbers that are all the same.

    >>> condition_of([0.5, 2.0]), condition_of(["ben", "anna", "ben"])
    (Interval(low=0.5, high=2.0), Category(values=('anna', 'ben')))
    """
    distinct: list[Any] = sorted(set(plain_values(values, name)))
    if all(isinstance(one, (str, Integral)) for one in distinct):
        return Category(tuple(distinct))
    if len(distinct) < 2:
        raise ValueError(
            f"conditions: expected {name} to be numbers that differ, found {distinct[0]!r} for every sample; leave it "
            "out"
        )
    return Interval(float(distinct[0]), float(distinct[-1]))


def from_json(data: Mapping[str, Any]) -> Condition:
    """The condition that ``to_json`` wrote."""
    if "values" in data:
        return Category(tuple(data["values"]))
    return Interval(float(data["low"]), float(data["high"]))


def encoded(conditions: Mapping[str, Condition], values: Mapping[str, Sequence[Any]]) -> Tensor | None:
    """What N samples have of each condition, as ``float32[N, numbers]``; None where there are no conditions.

    Raises:
        ValueError: for a condition that is missing, unknown, or has values that it can't have.
    """
    if values.keys() != conditions.keys():
        raise ValueError(
            f"conditions: expected values of {', '.join(conditions) or 'none'}, found {', '.join(values) or 'none'}"
        )
    return torch.cat([one.encode(values[name], name) for name, one in conditions.items()], dim=1) if values else None


def _unlike(name: str, found: str) -> ValueError:
    return ValueError(
        f"conditions: expected {name} to be a list of strings, of whole numbers or of finite numbers, one for each "
        f"sample, found {found}; write conditions={{{name!r}: [...]}}"
    )
