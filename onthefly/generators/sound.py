"""Sound: what a generator yields is as much as was asked for, finite, and what it declares."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onthefly.data.nested import outline, parts, places
from onthefly.data.spec import Field, Spec
from onthefly.generators.deferred import expect
from onthefly.mixing.classes import Classes

_SLACK = 1e-4  # how far a value may leave the declared range by rounding


def check_asked(labels: Tensor, keys: Tensor, classes: Classes) -> None:
    """Refuse labels and keys that no samples can be made for: other than ``int64[N]`` both, on one device, of classes
    that there are, and keys from 0 on."""
    alike = labels.shape == keys.shape and labels.ndim == 1 and labels.device == keys.device
    if not alike or labels.dtype != torch.int64 or keys.dtype != torch.int64:
        found = (f"{name} {outline(one)} on {one.device}" for name, one in (("labels", labels), ("keys", keys)))
        raise ValueError(
            f"sample: expected labels int64[N] and keys int64[N] on one device, found {' and '.join(found)}; write "
            "torch.tensor([...])"
        )
    if len(labels):
        expect(torch.stack([*labels.aminmax(), keys.min()]), partial(_check_bounds, classes))


def _check_bounds(classes: Classes, found: list[float]) -> None:
    least, most, key = found
    if least < 0 or most >= classes.count:
        wrong = int(least if least < 0 else most)
        raise ValueError(f"sample: expected labels from 0 to {classes.count - 1}, found {wrong}; it makes {classes!r}")
    if key < 0:
        raise ValueError(f"sample: expected keys from 0 on, found {int(key)}; a real slot has no key to make")


def check_samples(samples: Any, count: int, spec: Spec) -> None:
    """Refuse samples that are not as many as asked for, not finite, or not what their generator declares."""
    if not isinstance(samples, Tensor):
        _check_count(samples, count)
        if not any(one.missing for one in spec.fields.values()):
            check_finite(samples)
        return
    field = next(iter(spec.fields.values()))
    found = Field(tuple(samples.shape[1:]), str(samples.dtype).removeprefix("torch."))
    if len(samples) != count or (found.shape, found.dtype) != (field.shape, field.dtype):
        raise ValueError(
            f"generator: expected {count} samples of {field}, found {len(samples)} of {found}; correct its spec or "
            "sample()"
        )
    if not samples.numel() or not samples.is_floating_point():
        return
    there = samples.nan_to_num(0.0, torch.inf, -torch.inf) if field.missing else samples
    expect(torch.stack(there.aminmax()), partial(_check_range, field))


def _check_range(field: Field, found: list[float]) -> None:
    least, most = found
    low, high = field.range or (-math.inf, math.inf)
    if not (low - _SLACK <= least and most <= high + _SLACK and math.isfinite(most - least)):
        raise ValueError(
            f"generator: expected finite values of {field}, found values from {least:g} to {most:g}; declare the range "
            "it yields (value_range=), or train it again"
        )


def _check_count(batch: Any, count: int) -> None:
    for place, part in places(batch):
        rows = len(part) if hasattr(part, "__len__") and getattr(part, "ndim", 1) != 0 else "no rows"
        if rows != count:
            raise ValueError(
                f"generator: expected {count} samples, found {rows} in {place or 'its samples'}; correct its sample()"
            )


def check_finite(samples: Any, *, missing: bool = False) -> None:
    """Refuse samples of any structure that hold infinity, or NaN unless it may stand for what is missing."""
    finite: dict[torch.device, list[Tensor]] = {}
    for part in parts(samples):
        if isinstance(part, Tensor) and part.is_floating_point():
            sound = ~part.isinf() if missing else part.isfinite()
            finite.setdefault(part.device, []).append(sound.all())
    for flags in finite.values():
        expect(torch.stack(flags), partial(_refuse_infinite, outline(samples)))


def _refuse_infinite(samples: str, finite: list[float]) -> None:
    if not all(finite):
        raise ValueError(
            f"generator: expected finite values, found NaN or infinity in {samples}; train it again, or correct the "
            "function given to map"
        )
