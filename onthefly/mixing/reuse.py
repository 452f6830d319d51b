"""Reuse: which sample each synthetic slot of a class gets, where a sample is used several times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Reuse:
    """A sliding window of samples for each class: one new sample every ``times`` slots, and each used ``times`` times.

    The n-th synthetic slot of a class gets sample ``n // times - (n % times) * stride``. So a sample comes again
    ``stride * times + 1`` slots later, the generator's load is steady, and a class has at most about
    ``stride * times`` samples in use at once.

    Attributes:
        times: ``int64[C]``, uses of each sample, at least 1.
        stride: ``int64[C]``, how far a sample's second use lies behind its first, in new samples; at least 1.

    >>> Reuse.apart(np.array([2]), most=np.array([4])).sample(np.zeros(12, np.int64), np.arange(12))
    array([ 0, -2,  1, -1,  2,  0,  3,  1,  4,  2,  5,  3])
    """

    times: Ints
    stride: Ints

    @classmethod
    def apart(cls, times: Ints, most: Ints) -> "Reuse":
        """The smallest windows with which no sample comes twice among any ``most`` synthetic slots of its class in a
        row: ``int64[C]``."""
        return cls(times, np.maximum(1, -(-(most - 1) // times)))

    def sample(self, label: Ints, slot: Ints) -> Ints:
        """The number of the sample that the n-th synthetic slot of its class gets: ``int64[n]``; negative for those
        whose first uses would lie before training."""
        times = self.times[label]
        return slot // times - slot % times * self.stride[label]

    def is_last(self, label: Ints, slot: Ints) -> Bools:
        """Whether no later slot gets the same sample: ``bool[n]``."""
        times = self.times[label]
        return np.asarray(slot % times == times - 1)

    def distinct(self, slots: Ints, since: Ints | int = 0) -> Ints:
        """How many samples each class's synthetic slots from one number to another have between them: ``int64[C]``."""
        early = np.minimum(slots, since + self.times * self.stride + 1)  # here every slot has a sample of its own
        return np.asarray(early - since + -(-slots // self.times) - -(-early // self.times))

    @property
    def window(self) -> Ints:
        """The most samples of each class that are in use at once: ``int64[C]``."""
        return (self.times - 1) * self.stride + 1
