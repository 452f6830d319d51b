"""The budget: how often each synthetic sample must be used for the making of samples to take no more than a share of
the training."""

import math
from time import perf_counter

from onthefly.data.processes import most_of_all
from onthefly.generators.pace import Pace

_MOMENT = 1e-9  # seconds: a training step takes longer


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

    def reuse(self, now: int) -> int:
        """The smallest reuse that keeps to the budget, as the last pass was, of all processes; ``now`` if that is less
        than twice as much, since a change begins with new samples.

        Args:
            now: how often samples were used in it.
        """
        needed = now if self._watched is None else self._watched.needed(self.most, self.pace, now)
        agreed = max(self.least, most_of_all(needed))
        return now if now / 2 < agreed <= now else agreed


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
        rest = self.until - self.moment - pace.seconds(self.forwards, self.last)
        all_fresh = self.synthetic * pace.seconds_each()
        return math.ceil(all_fresh / (most * max(rest, _MOMENT)))
