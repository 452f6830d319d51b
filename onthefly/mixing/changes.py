"""Changes: what is changed while training goes on, each from the start of an epoch, all of it logged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onthefly.mixing.classes import Classes
from onthefly.mixing.schedule import Schedule

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One change, which holds from an epoch on.

    Attributes:
        epoch: the first epoch that it holds for.
        scores: one for each class, as handed to ``feedback``; None if it isn't one.
        epochs: the new length of training; None if that stays.
        reuse: how often each synthetic sample is used, where that is more than was asked for; None if that stays.
    """

    epoch: int
    scores: tuple[float, ...] | None = None
    epochs: int | None = None
    reuse: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Numbers and lists only."""
        found = {"epoch": self.epoch, "scores": self.scores and list(self.scores), "epochs": self.epochs}
        return {name: value for name, value in {**found, "reuse": self.reuse}.items() if value is not None}


Log = tuple[Change, ...]


def from_plain(changes: Iterable[Mapping[str, Any]]) -> Log:
    """A log from what ``Change.to_plain`` made of it."""
    return tuple(
        Change(one["epoch"], tuple(one["scores"]) if "scores" in one else None, one.get("epochs"), one.get("reuse"))
        for one in changes
    )


def scores_before(log: Log, epoch: int, classes: int) -> Floats:
    """The scores that an epoch knows of, oldest first: ``float64[k, C]``."""
    return np.array([one.scores for one in log if one.scores and one.epoch <= epoch]).reshape(-1, classes)


def epochs_at(log: Log, epoch: int, otherwise: int | None) -> int | None:
    """The length of training that an epoch reckons with."""
    return next((one.epochs for one in reversed(log) if one.epochs and one.epoch <= epoch), otherwise)


def reuse_at(log: Log, epoch: int) -> tuple[int, int | None]:
    """How often the samples of an epoch are used at least; and the epoch since when, None if that never changed."""
    return next(((one.reuse, one.epoch) for one in reversed(log) if one.reuse and one.epoch <= epoch), (1, None))


def as_feedback(epoch: int, scores: ArrayLike | Mapping[Any, float], schedule: Schedule, classes: Classes) -> Change:
    """Scores of all classes, from 0 to 1, that a schedule is to follow from an epoch on.

    Raises:
        ValueError: if it doesn't look at scores; for another number of them; for one that isn't a score, naming its
            class.
    """
    if not schedule.uses_scores:
        raise ValueError(
            f"feedback: expected a ratio that follows scores, found {schedule}; pass ratio=Feedback(...), from "
            "onthefly.schedule"
        )
    if isinstance(scores, Mapping):
        scores = _in_order(scores, classes)
    found = np.asarray(scores, np.float64)
    if found.shape != (classes.count,):
        raise ValueError(
            f"feedback: expected one score for each of {classes}, found an array of shape {found.shape}; pass recall "
            "on real validation data, class by class"
        )
    wrong = np.flatnonzero(~((found >= 0) & (found <= 1)))
    if len(wrong):
        raise ValueError(
            f"feedback: expected scores from 0 to 1, found {found[wrong[0]]} for class {classes.name(int(wrong[0]))}; "
            "a class without validation samples has no score of its own: give it the mean of the others"
        )
    return Change(epoch, scores=tuple(found.tolist()))


def _in_order(scores: Mapping[Any, float], classes: Classes) -> list[float]:
    given = {classes.number(key, "feedback"): score for key, score in scores.items()}
    missing = sorted(set(range(classes.count)) - given.keys())
    if missing:
        raise ValueError(f"feedback: expected a score for each of {classes}, found none for {classes.listed(missing)}")
    return [given[number] for number in range(classes.count)]
