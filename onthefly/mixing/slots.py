"""Slots, as a plan gives them: four facts and a hint for each, in arrays."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slots:
    """The slots of an epoch, or of a part of one, in the order they are delivered.

    Attributes:
        index: ``int64[n]``, the dataset row to load; of a synthetic slot the row it is made from, -1 if from noise
            alone.
        label: ``int64[n]``, the class.
        key: ``int64[n]``, what makes the synthetic sample, 63 bits; -1 for a real slot.
        synthetic: ``bool[n]``.
        last: ``bool[n]``, whether no later slot has the same synthetic sample; True for a real slot.
    """

    index: Ints
    label: Ints
    key: Ints
    synthetic: Bools
    last: Bools

    @classmethod
    def of_classes(cls, label: Ints) -> "Slots":
        """Slots of these classes to be filled in: so far real ones of no row."""
        index, key = np.full((2, len(label)), -1)
        return cls(index, label, key, np.zeros(len(label), np.bool_), np.ones(len(label), np.bool_))

    def __getitem__(self, some: Any) -> "Slots":
        """Some of the slots: a slice, or ``int64[m]``."""
        return Slots(self.index[some], self.label[some], self.key[some], self.synthetic[some], self.last[some])


class Totals(NamedTuple):
    """What each class has had since training began: enough to go on from.

    Attributes:
        slots: ``int64[C]``, slots so far.
        synthetic: ``int64[C]``, synthetic slots so far.
        due: ``int64[C]``, what the ratio has earned towards the next synthetic slot, in units of 2**-32.
    """

    slots: Ints
    synthetic: Ints
    due: Ints
