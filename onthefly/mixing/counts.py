"""Counts: how many slots each class gets in an epoch, and in its ragged last batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.keys import Purpose, hash64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Shares and ratios are int64 in units of 2**-32: with floats a ratio of 1, or a natural count, breaks at the last bit.
BITS = 32
ONE = 1 << BITS
_GOLDEN = round(0.6180339887498949 * ONE)


@dataclass(frozen=True)
class Counts:
    """Slots of each class: ``int64[C]`` over the whole epoch and, of those, in its ragged last batch."""

    epoch: Ints
    tail: Ints


class Quotas:
    """Class counts within 1 of the share over an epoch and in every batch, with no drift over epochs.

    An epoch has ``batches`` full batches and ``tail`` slots more. A class's counts come from systematic rounding:
    classes lie end to end on a line, each as long as its share of the slots, and a class gets the whole numbers that
    fall on it. The line moves by the golden ratio each epoch, so what a class loses in one it wins back in the next
    (largest remainders would starve small classes for ever).

    The tail takes its own share first. It can, with every count in it and in the rest of the epoch rounded up or down,
    because the classes whose two fractions reach 1 lie at the start of the line: then never more classes are rounded up
    twice than the tail has room for, nor fewer once than it needs.

    Args:
        weights: ``float64[C]``, proportional to the shares.
        batch_size: slots in a full batch.
        length: slots in an epoch.
        seed: where the line starts.
    """

    def __init__(self, weights: Floats, *, batch_size: int, length: int, seed: int) -> None:
        full = length - length % batch_size
        all_slots, full_slots = _divide(weights, length), _divide(weights, full)
        tail_slots = all_slots - full_slots
        twice = tail_slots % ONE + full_slots % ONE >= ONE
        self._line = np.argsort(~twice, kind="stable")
        self._ends = np.cumsum(all_slots[self._line])
        self._least_tail = tail_slots >> BITS
        self._least = self._least_tail + (full_slots >> BITS)
        self._tail = length - full
        self._seed = seed
        self.slots = all_slots / ONE

    def counts(self, epoch: int) -> Counts:
        """The counts of one epoch."""
        offset = (int(hash64(self._seed, Purpose.COUNTS)) + epoch * _GOLDEN) % ONE
        counts = np.empty_like(self._ends)
        counts[self._line] = np.diff((self._ends + offset) >> BITS, prepend=0)
        return Counts(counts, self._tail_counts(counts - self._least, epoch))

    def _tail_counts(self, rounded_up: Ints, epoch: int) -> Ints:
        """Classes rounded up twice give one of the two to the tail; of those rounded up once, as many as it still lacks
        do."""
        tail = self._least_tail + (rounded_up == 2)
        once = np.flatnonzero(rounded_up == 1)
        order = np.argsort(hash64(self._seed, Purpose.TAIL, epoch, once))
        tail[once[order[: self._tail - int(tail.sum())]]] += 1
        return np.asarray(tail)


def _divide(weights: Floats, slots: int) -> Ints:
    """Shares of the slots in fixed point that sum to all of them; what is a whole number but for float error becomes
    one."""
    ends = np.cumsum(weights)
    ends *= slots / ends[-1] if ends[-1] != slots else 1.0
    whole = np.rint(ends)
    ends = np.where(abs(ends - whole) < 1e-6, whole, ends)
    below = np.floor(ends)
    fixed = (below.astype(np.int64) << BITS) + np.rint((ends - below) * ONE).astype(np.int64)
    return np.diff(fixed, prepend=0)
