"""Timing: one short round of one contender, and figures from several."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import torch

from onthefly.evidence.contender import Contender
from onthefly.evidence.usage import Usage

Step = Callable[[Any], Any]


@dataclass(frozen=True)
class Round:
    """What one round of one contender came to.

    Attributes:
        batches: delivered while the clock ran.
        samples: in them.
        made: synthetic samples that the generator made for these meanwhile.
        seconds: by the clock.
        waiting: seconds of them in ``next()``.
        cpu: seconds of all cores: this process, its threads, its workers.
        memory: bytes, at their highest.
        cut: whether a batch alone took longer than the round was to last: there are no other rounds then.
        synthetic: samples that are; more than were made where some are used again, or were made before.
    """

    batches: int
    samples: int
    made: float
    seconds: float
    waiting: float
    cpu: float
    memory: int
    cut: bool = False
    synthetic: float = 0.0

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds


class StepError(RuntimeError):
    """The user's training step raised: no contender's doing."""


class Spread(NamedTuple):
    """The median of several rounds, with the least and the most.

    >>> print(Spread.of([3.0, 1.0, 2.0]))
    2.00 (1.00 to 3.00)
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratios(ones: Sequence[Round], others: Sequence[Round]) -> Spread:
    """The samples a second of one contender over another's, round by round; of those that both have."""
    return Spread.of([one.rate / other.rate for one, other in zip(ones, others, strict=False)])


def timed(contender: Contender, seconds: float, device: torch.device, step: Step | None = None) -> Round:
    """Time a contender for so many seconds, after as many batches as its workers had made ahead.

    Where a batch takes longer than that, the round is one from each worker, as they come.

    Args:
        contender: what delivers batches.
        seconds: by the clock.
        device: that is waited for before the clock is read.
        step: what is done with each batch; counted, but not as waiting.
    """
    usage = Usage(device)
    with closing(contender.open()) as batches:
        clock = _Clock(contender, batches, usage, device, step)
        if clock.run(0.0, 1).seconds > seconds:  # workers that have to start first, or a slow batch?
            slow = clock.run(0.0, max(1, contender.workers))
            if slow.seconds > seconds * slow.batches:
                return replace(slow, cut=True)
        if contender.ahead:
            clock.run(seconds, 1, most=contender.ahead)
        return clock.run(seconds, 1)


@dataclass(frozen=True)
class _Clock:
    contender: Contender
    batches: Iterator[Any]
    usage: Usage
    device: torch.device
    step: Step | None

    def run(self, seconds: float, least: int, most: float = math.inf) -> Round:
        """Batches for so many seconds, and how many at least and at most."""
        self._wait()
        self.usage.begin()
        count, samples, waiting = 0, 0, 0.0
        made, synthetic = self.contender.made(), self.contender.synthetic()
        begin = perf_counter()
        while count < least or (count < most and perf_counter() - begin < seconds):
            asked = perf_counter()
            batch = next(self.batches)
            waiting += perf_counter() - asked
            if self.step is not None:
                self._take(self.step, batch)
            count, samples = count + 1, samples + self.contender.size(batch)
            self.usage.look()
        self._wait()
        taken = perf_counter() - begin
        made, synthetic = self.contender.made() - made, self.contender.synthetic() - synthetic
        used = self.usage.cpu_seconds, self.usage.peak_bytes
        return Round(count, samples, made, taken, waiting, *used, synthetic=synthetic)

    def _take(self, step: Step, batch: Any) -> None:
        try:
            step(batch)
        except Exception as error:
            raise StepError(
                f"bench: your step raised {type(error).__name__} for a batch of the contender {self.contender.name!r}: "
                f"{error}; see that step(batch) runs on what that delivers, or choose others with contenders=[...]"
            ) from error

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
