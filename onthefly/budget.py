"""The budget: how often each synthetic sample must be used for the making of samples to take no more than a share of
the training."""

import math
import warnings
from time import perf_counter

from onthefly.data.processes import most_of_all
from onthefly.generators.pace import Pace

_LITTLE = 0.01  # of an epoch: training takes more
_ROOM = 1.25


class Budget:
    """Watches an epoch, and says how often samples are to be used in the next one.

    Args:
        most: what making samples may take, as a share of everything else in an epoch; more than 0.
        least: how often samples are used at least.
        pace: how long making samples takes.
    """

    def __init__(self, most: float, least: int, pace: Pace) -> None:
        self.most, self.least, self.pace = most, least, pace
        self.begin()

    def begin(self) -> None:
        """A pass begins."""
        self.pace.restart()
        self._watched: _Watched | None = None

    def handed_out(self, synthetic: int) -> None:
        """A batch is handed out that has so many synthetic samples. The time up to the first one isn't training's."""
        if self._watched is None:
            self._watched = _Watched(perf_counter(), self.pace.forwards)
        else:
            self._watched.over(perf_counter(), self.pace.forwards, synthetic)

    def reuse(self, now: int, limit: int) -> int:
        """The smallest reuse that keeps to the budget, as the last pass was, of all processes. A change begins with new
        samples, so ``now`` stays while it is enough and less than twice as much as that, and another raise leaves room.

        Args:
            now: how often samples were used in it.
            limit: synthetic slots of a class in an epoch: with more uses than that, none would come twice in one.
        """
        needed = now if self._watched is None else self._watched.needed(self.most, self.pace, now)
        if needed > max(limit, now):
            warnings.warn(
                f"max_overhead: to keep within {self.most:g} of the rest, each sample would have to be used {needed} "
                f"times, and a class has {limit} synthetic slots an epoch; making samples will take longer than asked "
                "for: lower the ratio, or take a quicker generator",
                stacklevel=4,
            )
        agreed = most_of_all(max(self.least, min(needed, max(limit, now))))
        if now / 2 < agreed <= now:
            return now
        return math.ceil(_ROOM * agreed) if agreed > now > self.least else agreed


class _Watched:
    """What happened from one moment on."""

    def __init__(self, moment: float, forwards: int) -> None:
        self.moment = self.until = moment
        self.forwards = self.last = forwards
        self.synthetic = 0

    def over(self, moment: float, forwards: int, synthetic: int) -> None:
        self.until, self.last = moment, forwards
        self.synthetic += synthetic

    def needed(self, most: float, pace: Pace, now: int) -> int:
        """``now`` if there was nothing to see: a single batch, or no sample made."""
        if self.until == self.moment or not pace.forwards:
            return now
        whole = self.until - self.moment
        rest = whole if pace.is_beside else whole - pace.seconds(self.forwards, self.last)
        all_fresh = self.synthetic * pace.seconds_each()
        return math.ceil(all_fresh / (most * max(rest, _LITTLE * whole)))
