"""Spec: what one sample is, and how two samples differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from onthefly.data.conditions import Condition
from onthefly.data.conditions import from_json as condition_from
from onthefly.data.nested import places
from onthefly.mixing.classes import Classes


@dataclass(frozen=True)
class Field:
    """One part of a sample.

    Attributes:
        shape: without a batch dimension; ``(C, H, W)`` for an image.
        dtype: as torch spells it ("float32", "int64"), or the name of a Python type ("str").
        range: least and largest value that may occur, where that is known.
        rate: of audio, values a second.
        missing: whether NaN may stand for a value that isn't there.
    """

    shape: tuple[int, ...]
    dtype: str
    range: tuple[float, float] | None = None
    rate: int | None = None
    missing: bool = False

    @property
    def nbytes(self) -> int:
        """What a tensor of it takes."""
        return math.prod(self.shape) * int(getattr(torch, self.dtype).itemsize)

    def __str__(self) -> str:
        bounds = f" in [{self.range[0]:g}, {self.range[1]:g}]" if self.range else ""
        beside = f"{f' at {self.rate} Hz' if self.rate else ''}{' or NaN' if self.missing else ''}"
        return f"{self.dtype}{list(self.shape)}{bounds}{beside}"


@dataclass(frozen=True)
class Spec:
    """What one sample of a generator is, and the classes it can be of.

    Attributes:
        fields: by name.
        classes: the generator's classes.
        conditions: what may be asked for beside the class, by name.

    >>> spec = Spec.image((3, 32, 32), classes=("cat", "dog"))
    >>> print(spec.fields["image"])
    float32[3, 32, 32] in [0, 1]
    >>> Spec.from_json(spec.to_json()) == spec
    True
    """

    fields: Mapping[str, Field]
    classes: Classes
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    @classmethod
    def image(cls, shape: tuple[int, int, int], classes: Any) -> "Spec":
        """A float32 image ``(C, H, W)`` with values in [0, 1]."""
        return cls({"image": Field(tuple(shape), "float32", (0.0, 1.0))}, Classes.of(classes))

    @classmethod
    def audio(cls, shape: tuple[int, int], classes: Any, rate: int) -> "Spec":
        """A float32 waveform ``(C, T)`` with values in [-1, 1], ``rate`` of them a second."""
        return cls({"audio": Field(tuple(shape), "float32", (-1.0, 1.0), rate)}, Classes.of(classes))

    @classmethod
    def row(cls, columns: int, classes: Any) -> "Spec":
        """A row of a table: ``float32[columns]``."""
        return cls({"row": Field((columns,), "float32")}, Classes.of(classes))

    @classmethod
    def text(cls, classes: Any) -> "Spec":
        """A text."""
        return cls({"text": Field((), "str")}, Classes.of(classes))

    @property
    def field(self) -> Field:
        """The only field, or the first."""
        return next(iter(self.fields.values()))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, strings and numbers."""
        names = self.classes.names
        known = {
            "fields": {name: _to_json(one) for name, one in self.fields.items()},
            "classes": list(names) if names is not None else self.classes.count,
        }
        conditions = {name: one.to_json() for name, one in self.conditions.items()}
        return known | ({"conditions": conditions} if conditions else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Spec":
        """The spec that ``to_json`` wrote."""
        fields = {name: _from_json(one) for name, one in data["fields"].items()}
        conditions = {name: condition_from(one) for name, one in data.get("conditions", {}).items()}
        return cls(fields, Classes.of(data["classes"]), conditions)


def _to_json(one: Field) -> dict[str, Any]:
    known = {"shape": list(one.shape), "dtype": one.dtype, "range": list(one.range) if one.range else None}
    beside = {"rate": one.rate, "missing": one.missing}
    return known | {name: value for name, value in beside.items() if value}


def _from_json(data: Mapping[str, Any]) -> Field:
    bounds = tuple(data["range"]) if data["range"] else None
    return Field(tuple(data["shape"]), data["dtype"], bounds, data.get("rate"), data.get("missing", False))


def describe(sample: Any) -> dict[str, Field]:
    """The fields of anything that ``dataset[i]`` yields, each under its place in the sample.

    Numbers count as the tensors that ``default_collate`` makes of them; the range is that of the values at hand.

    >>> for place, field in describe((torch.zeros(1, 8, 8), 3)).items():
    ...     print(place, field)
    [0] float32[1, 8, 8] in [0, 0]
    [1] int64[] in [3, 3]
    """
    return {place: _field(part) for place, part in places(sample)}


def differences(expected: Mapping[str, Field], found: Mapping[str, Field]) -> list[str]:
    """How the fields of two samples differ: places, shapes and dtypes, not values.

    >>> differences(describe((torch.zeros(1, 8, 8), 3)), describe((torch.zeros(3, 8, 8), 3)))
    ['[0]: expected float32[1, 8, 8], found float32[3, 8, 8]']
    """
    lines = []
    for place in expected.keys() | found.keys():
        one, other = _without_range(expected.get(place)), _without_range(found.get(place))
        if one != other:
            lines.append(f"{place or 'the sample'}: expected {one or 'nothing'}, found {other or 'nothing'}")
    return sorted(lines)


def _without_range(field: Field | None) -> Field | None:
    return field and Field(field.shape, field.dtype)


def _field(part: Any) -> Field:
    if isinstance(part, (bool, int, float)) or (hasattr(part, "__array_interface__") and not hasattr(part, "getbands")):
        part = torch.tensor(part, dtype=torch.float64) if isinstance(part, float) else torch.as_tensor(part)
    if not isinstance(part, Tensor):
        return Field((), type(part).__name__)
    bounds = (float(part.min()), float(part.max())) if part.numel() and not part.is_complex() else None
    return Field(tuple(part.shape), str(part.dtype).removeprefix("torch."), bounds)
