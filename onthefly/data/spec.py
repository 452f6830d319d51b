"""Spec: what one sample is, and how two samples differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onthefly.data.nested import places
from onthefly.mixing.classes import Classes


@dataclass(frozen=True)
class Field:
    """One part of a sample.

    Attributes:
        shape: without a batch dimension; ``(C, H, W)`` for an image.
        dtype: as torch spells it ("float32", "int64"), or the name of a Python type ("str").
        range: least and largest value that may occur, where that is known.
    """

    shape: tuple[int, ...]
    dtype: str
    range: tuple[float, float] | None = None

    @property
    def nbytes(self) -> int:
        """What a tensor of it takes."""
        return math.prod(self.shape) * int(getattr(torch, self.dtype).itemsize)

    def __str__(self) -> str:
        bounds = f" in [{self.range[0]:g}, {self.range[1]:g}]" if self.range else ""
        return f"{self.dtype}{list(self.shape)}{bounds}"


@dataclass(frozen=True)
class Spec:
    """What one sample of a generator is, and the classes it can be of.

    Attributes:
        fields: by name.
        classes: the generator's classes.

    >>> spec = Spec.image((3, 32, 32), classes=("cat", "dog"))
    >>> print(spec.fields["image"])
    float32[3, 32, 32] in [0, 1]
    >>> Spec.from_json(spec.to_json()) == spec
    True
    """

    fields: Mapping[str, Field]
    classes: Classes

    @classmethod
    def image(cls, shape: tuple[int, int, int], classes: Any) -> "Spec":
        """A float32 image ``(C, H, W)`` with values in [0, 1]."""
        return cls({"image": Field(tuple(shape), "float32", (0.0, 1.0))}, Classes.of(classes))

    def to_json(self) -> dict[str, Any]:
        """As plain lists, strings and numbers."""
        fields = {
            name: {
                "shape": list(field.shape),
                "dtype": field.dtype,
                "range": list(field.range) if field.range else None,
            }
            for name, field in self.fields.items()
        }
        names = self.classes.names
        return {"fields": fields, "classes": list(names) if names is not None else self.classes.count}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Spec":
        """The spec that ``to_json`` wrote."""
        fields = {
            name: Field(tuple(field["shape"]), field["dtype"], tuple(field["range"]) if field["range"] else None)
            for name, field in data["fields"].items()
        }
        return cls(fields, Classes.of(data["classes"]))


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
