"""Schedules: from the progress of training and a class to the share of its slots that is synthetic."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.classes import Classes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Census:
    """What a schedule may know about the classes.

    Attributes:
        classes: the classes, by number and name.
        real: ``int64[C]``, real samples of each class; None of a stream that nobody counted.
        slots: ``float64[C]``, slots that each class gets in an epoch, on average.
        scores: ``float64[k, C]``, the scores from 0 to 1 that were handed in up to this epoch, oldest first.
    """

    classes: Classes
    real: Ints | None
    slots: Floats
    scores: Floats = field(default_factory=lambda: np.zeros((0, 0)))


class Schedule(ABC):
    """The synthetic share of a class over training.

    Schedules compose: ``a * b`` multiplies them, ``a.then(b, at=0.5)`` follows one with another, and a number stands
    for a schedule that doesn't change.
    """

    @abstractmethod
    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        """The ratio of every slot.

        Args:
            progress: ``float64[n]``, the part of training that is over at each slot, in [0, 1].
            label: ``int64[n]``, the class of each slot.
            census: how many samples and slots the classes have.

        Returns:
            ``float64[n]``, in [0, 1].
        """

    @property
    @abstractmethod
    def changes(self) -> bool:
        """Whether the ratio depends on progress, so that the length of training must be known."""

    @property
    def is_zero(self) -> bool:
        """Whether it is certain to be 0, for all classes at all times."""
        return False

    @property
    def uses_scores(self) -> bool:
        """Whether it looks at the scores that were handed to ``feedback``."""
        return any(part.uses_scores for part in self.parts)

    @property
    def parts(self) -> "tuple[Schedule, ...]":
        """The schedules that it is made of."""
        return ()

    def __mul__(self, other: "Schedule | float") -> "Schedule":
        return Product(self, as_schedule(other))

    def __rmul__(self, other: float) -> "Schedule":
        return Product(as_schedule(other), self)

    def then(self, following: "Schedule | float", at: float) -> "Schedule":
        """This schedule until progress ``at``, ``following`` from there on; both read the same clock.

        >>> ratio = Linear(0, 1).then(0.25, at=0.5)
        """
        return Then(self, as_schedule(following), at)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same ratio for every class at all times: what a plain number means."""

    ratio: float

    def __post_init__(self) -> None:
        settle(self, ratio="ratio")

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        return np.full(len(label), self.ratio)

    @property
    def changes(self) -> bool:
        return False

    @property
    def is_zero(self) -> bool:
        return self.ratio == 0


@dataclass(frozen=True)
class Fill(Schedule):
    """What real data can't supply, and no more: ``1 - samples / slots`` of each class, at most ``cap``.

    A class whose real samples fill its slots of an epoch gets ratio 0; one with a tenth of them gets 0.9, or the cap.

    Args:
        cap: the largest ratio, in [0, 1].

    >>> census = Census(Classes.of(2), real=np.array([100, 10]), slots=np.array([50.0, 50.0]))
    >>> Fill(cap=0.5)(np.zeros(2), np.array([0, 1]), census)
    array([0. , 0.5])
    """

    cap: float = 0.5

    def __post_init__(self) -> None:
        settle(self, cap="Fill(cap=...)")

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        if census.real is None:
            raise ValueError(
                "ratio: Fill needs the number of real samples of each class, which a stream doesn't tell; pass "
                "counts={class: number}, or a ratio in numbers"
            )
        shortage = 1 - census.real / np.maximum(census.slots, 1e-9)
        return np.asarray(np.clip(shortage, 0, self.cap)[label])

    @property
    def changes(self) -> bool:
        return False

    @property
    def is_zero(self) -> bool:
        return self.cap == 0


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` to ``end`` in a straight line over all of training.

    >>> Linear(0, 0.5)(np.array([0.0, 0.5, 1.0]), np.zeros(3, np.int64), census=None)
    array([0.  , 0.25, 0.5 ])
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        settle(self, start="Linear(start, ...)", end="Linear(..., end)")

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        return self.start + (self.end - self.start) * progress

    @property
    def changes(self) -> bool:
        return self.start != self.end

    @property
    def is_zero(self) -> bool:
        return self.start == self.end == 0


@dataclass(frozen=True)
class Cosine(Schedule):
    """From ``start`` to ``end`` along half a cosine (flat at both ends), which is over at progress ``until``.

    The shape is that of SGDR's annealing (Loshchilov and Hutter, 2017).

    >>> Cosine(1, 0, until=0.8)(np.array([0.0, 0.4, 0.9]), np.zeros(3, np.int64), census=None).round(2)
    array([1. , 0.5, 0. ])
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        settle(self, start="Cosine(start, ...)", end="Cosine(..., end)")
        _check_progress(self.until, "Cosine(until=...)")

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        left = (1 + np.cos(np.pi * np.minimum(progress / self.until, 1))) / 2
        return np.asarray(self.end + (self.start - self.end) * left)

    @property
    def changes(self) -> bool:
        return self.start != self.end

    @property
    def is_zero(self) -> bool:
        return self.start == self.end == 0


@dataclass(frozen=True, init=False)
class Steps(Schedule):
    """A staircase: each ratio holds from its progress on; before the first, the ratio is 0.

    Args:
        ratios: ``{progress: ratio}``.

    >>> Steps({0.0: 0.5, 0.8: 0.1})(np.array([0.0, 0.79, 0.8]), np.zeros(3, np.int64), census=None)
    array([0.5, 0.5, 0.1])
    """

    steps: tuple[tuple[float, float], ...]

    def __init__(self, ratios: Mapping[float, float]) -> None:
        if not ratios or not isinstance(ratios, Mapping):
            raise ValueError(
                f"Steps: expected {{progress: ratio}}, found {ratios!r}; write Steps({{0.0: 0.5, 0.8: 0.1}})"
            )
        for progress, ratio in ratios.items():
            if not (_is_number(progress) and 0 <= progress <= 1):
                raise ValueError(
                    f"Steps: expected progress from 0 to 1, found {progress}; it is a fraction of training, not an "
                    "epoch"
                )
            _check_ratio(ratio, f"Steps({{{progress}: ...}})")
        object.__setattr__(self, "steps", tuple(sorted((float(p), float(r)) for p, r in ratios.items())))

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        starts, ratios = np.array(self.steps).T
        return np.asarray(np.concatenate([[0.0], ratios])[np.searchsorted(starts, progress, side="right")])

    @property
    def changes(self) -> bool:
        return self.steps[0][0] > 0 or len({ratio for _, ratio in self.steps}) > 1

    @property
    def is_zero(self) -> bool:
        return not any(ratio for _, ratio in self.steps)


@dataclass(frozen=True)
class Product(Schedule):
    """Two schedules multiplied."""

    left: Schedule
    right: Schedule

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        return self.left(progress, label, census) * self.right(progress, label, census)

    @property
    def changes(self) -> bool:
        return self.left.changes or self.right.changes

    @property
    def is_zero(self) -> bool:
        return self.left.is_zero or self.right.is_zero

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.left, self.right


@dataclass(frozen=True)
class Then(Schedule):
    """One schedule until progress ``at``, another from there on."""

    first: Schedule
    second: Schedule
    at: float

    def __post_init__(self) -> None:
        _check_progress(self.at, "then(at=...)")

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        early = progress < self.at
        return np.where(early, self.first(progress, label, census), self.second(progress, label, census))

    @property
    def changes(self) -> bool:
        return True

    @property
    def is_zero(self) -> bool:
        return self.first.is_zero and self.second.is_zero

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.first, self.second


@dataclass(frozen=True)
class PerClass(Schedule):
    """A schedule of its own for some classes, by name or number; ratio 0 for the others."""

    schedules: tuple[tuple[Any, Schedule], ...]

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        distinct: dict[Any, tuple[int, Schedule]] = {}
        which = np.full(census.classes.count, -1)
        for key, schedule in self.schedules:
            same = schedule.ratio if isinstance(schedule, Constant) else id(schedule)
            number = census.classes.number(key, "ratio")
            if which[number] >= 0:
                raise ValueError(f"ratio: expected each class once, found {key!r} by number and by name; use one")
            which[number], _ = distinct.setdefault(same, (len(distinct), schedule))
        ratio, mine = np.zeros(len(label)), which[label]
        numbered = dict(distinct.values())
        for number in np.unique(mine[mine >= 0]).tolist():
            slots = np.flatnonzero(mine == number)
            ratio[slots] = numbered[number](progress[slots], label[slots], census)
        return ratio

    @property
    def changes(self) -> bool:
        return any(schedule.changes for _, schedule in self.schedules)

    @property
    def is_zero(self) -> bool:
        return all(schedule.is_zero for _, schedule in self.schedules)

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return tuple(schedule for _, schedule in self.schedules)


def as_schedule(ratio: Any) -> Schedule:
    """The schedule that a user means by a number, by ``{class: number or schedule}``, or by a schedule.

    Raises:
        ValueError: for anything else, and for numbers outside [0, 1].

    >>> as_schedule({"cat": 0.5, 1: Linear(0, 1)})
    PerClass(schedules=(('cat', Constant(ratio=0.5)), (1, Linear(start=0.0, end=1.0))))
    """
    if isinstance(ratio, Schedule):
        return ratio
    if isinstance(ratio, Mapping):
        keys = [int(key) if isinstance(key, Integral) else key for key in ratio]
        return PerClass(tuple(zip(keys, map(as_schedule, ratio.values()), strict=True)))
    if _is_number(ratio):
        return Constant(ratio)
    raise ValueError(f"ratio: expected a number in [0, 1], a schedule, or {{class: either}}, found {ratio!r}")


def settle(schedule: Schedule, **where: str) -> None:
    """Check the ratios of a schedule, and hold them as floats, so that equal schedules are equal to the letter."""
    for name, place in where.items():
        _check_ratio(getattr(schedule, name), place)
        object.__setattr__(schedule, name, float(getattr(schedule, name)))


def _check_ratio(ratio: Any, where: str) -> None:
    if not (_is_number(ratio) and 0 <= ratio <= 1):
        raise ValueError(f"{where}: expected a share from 0 to 1, found {ratio!r}; half synthetic is 0.5")


def _check_progress(progress: Any, where: str) -> None:
    if not (_is_number(progress) and 0 < progress <= 1):
        raise ValueError(f"{where}: expected a fraction of training above 0 and at most 1, found {progress!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
