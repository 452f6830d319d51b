"""What a user gives a plan: checked, and shown in messages and states."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onthefly.mixing.classes import Classes
from onthefly.mixing.counts import ONE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def as_labels(labels: ArrayLike) -> Ints:
    """The class of every row as ``int64[N]``."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"labels: expected one whole number for each sample, found an array of {array.dtype} and shape "
            f"{array.shape}"
        )
    if not array.size:
        raise ValueError("labels: expected at least one sample, found an empty dataset")
    return array.astype(np.int64)


def check_labels(labels: Ints, classes: Classes) -> None:
    """Refuse labels that are none of the classes, naming the first."""
    for bad, what in ((labels < 0, "negative"), (labels >= classes.count, f"beyond the {classes.count} classes")):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"labels: expected classes from 0 to {classes.count - 1}, found {labels[row]} at row {row} ({what}); "
                "pass labels= with the class of every row"
            )


def check_weights(weights: Floats, balance: Any) -> Floats:
    """The weights of a balance, which may be anybody's."""
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"balance: expected weights of 0 or more, not all 0, found {weights} from {shown(balance)}")
    return weights


def fixed(ratio: Floats, schedule: Any) -> Ints:
    """The ratios of a schedule, which may be anybody's, in units of 2**-32."""
    wrong = ~((ratio >= 0) & (ratio <= 1))
    if wrong.any():
        raise ValueError(f"ratio: expected shares from 0 to 1, found {ratio[wrong][0]} from {schedule}")
    return np.rint(ratio * ONE).astype(np.int64)


def shown(setting: Any) -> str:
    """A setting in words, the same for equal ones; of a class that says nothing about itself, its name."""
    if is_dataclass(setting):
        inside = [f"{field.name}={shown(getattr(setting, field.name))}" for field in fields(setting)]
        return f"{type(setting).__name__}({', '.join(inside)})"
    if isinstance(setting, Mapping):
        return f"{{{', '.join(f'{shown(key)}: {shown(value)}' for key, value in setting.items())}}}"
    if isinstance(setting, (list, tuple)):
        return f"[{', '.join(map(shown, setting))}]"
    if isinstance(setting, np.ndarray):
        return f"array {hashlib.sha256(setting.tobytes()).hexdigest()[:16]}"
    if isinstance(setting, (str, bool)):
        return repr(setting)
    if isinstance(setting, Real):
        return repr(int(setting) if isinstance(setting, Integral) else float(setting))
    return type(setting).__name__


def at_least_one(number: Any, name: str) -> int:
    """A count."""
    if whole(number, name) < 1:
        raise ValueError(f"{name}: expected a whole number of 1 or more, found {number!r}")
    return int(number)


def as_reuse(reuse: Any, classes: Classes) -> Ints:
    """How often the samples of each class are used: ``int64[C]``, from one number or from one for each class."""
    times = np.asarray(reuse)
    if times.shape not in ((), (classes.count,)) or times.dtype.kind not in "iu" or (times < 1).any():
        raise ValueError(
            f"reuse: expected a whole number of 1 or more, or one for each of {classes}, found {shown(reuse)}; 1 uses "
            "every sample once"
        )
    return np.broadcast_to(times, classes.count).astype(np.int64)


def whole(number: Any, name: str) -> int:
    """A whole number, be it held as a float."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if not isinstance(number, Integral):
        raise ValueError(f"{name}: expected a whole number, found {number!r}")
    return int(number)
