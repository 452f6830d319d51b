"""Feedback: a ratio that follows how well each class does on real validation data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.schedule import Census, Schedule, as_schedule, settle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Feedback(Schedule):
    """A schedule times a factor for each class, which falls when the class's score does, and recovers slowly.

    Hand the scores of real validation data to ``loader.feedback(recall)``, say once an epoch; they hold from the next
    epoch on. When a class's score lies more than ``tolerance`` below the best since its last cut, its factor is
    multiplied by ``cut`` (and is never below ``least``); otherwise ``recover`` is added to it (up to 1).

    This is additive increase, multiplicative decrease, by which TCP finds how much a network bears (Chiu and Jain,
    1989): retreat fast from harm, try again slowly, with one bit of feedback per class and without a model of how score
    and ratio hang together. Published feedback for synthetic data changes the *samples*: Deliberate Practice
    (Askari-Hemmat et al., 2025) and feedback-guided synthesis (Askari-Hemmat et al., 2023) ask the generator for those
    that the classifier finds hard. For the *ratio* no rule has been published that we know of, so this one is chosen
    for being simple, bounded and exactly repeatable, and not for having been shown to be best. A score of few
    validation samples is noisy: with n of them choose a tolerance of about ``1 / sqrt(n)``.

    Args:
        schedule: what the factor is applied to: a number, ``{class: number or schedule}`` or a schedule.
        tolerance: how far a score may lie below its best, in [0, 1].
        cut: what a fall multiplies the factor by, in [0, 1].
        recover: what anything else adds to it, in [0, 1].
        least: the smallest factor, in [0, 1].

    >>> from onthefly.mixing.classes import Classes
    >>> recall = np.array([[0.9, 0.8], [0.9, 0.6], [0.95, 0.7]])
    >>> census = Census(Classes.of(2), real=np.array([9, 9]), slots=np.array([9.0, 9.0]), scores=recall)
    >>> Feedback(0.5)(np.zeros(2), np.array([0, 1]), census)
    array([0.5, 0.3])
    """

    schedule: Any
    tolerance: float = 0.05
    cut: float = 0.5
    recover: float = 0.1
    least: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", as_schedule(self.schedule))
        settle(self, **{name: f"Feedback({name}=...)" for name in ("tolerance", "cut", "recover", "least")})

    def __call__(self, progress: Floats, label: Ints, census: Census) -> Floats:
        return np.asarray(self.schedule(progress, label, census) * self._factors(census)[label])

    def _factors(self, census: Census) -> Floats:
        factor, best = np.ones(census.classes.count), np.zeros(census.classes.count)
        for score in census.scores:
            fell = score < best - self.tolerance
            factor = np.where(fell, np.maximum(factor * self.cut, self.least), np.minimum(factor + self.recover, 1))
            best = np.where(fell, score, np.maximum(best, score))
        empty = census.real == 0 if census.real is not None else False
        return np.where(empty, 1, factor)  # what has no real sample can't have more of them

    @property
    def changes(self) -> bool:
        return bool(self.schedule.changes)

    @property
    def is_zero(self) -> bool:
        return bool(self.schedule.is_zero)

    @property
    def uses_scores(self) -> bool:
        return True

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)
