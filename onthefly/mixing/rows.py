"""Real rows: which sample of its class each real slot gets."""

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.keys import Purpose, hash64, shuffle_decks

Ints = NDArray[np.int64]


def cycle_rows(classes: Ints, real: Ints, start: Ints, count: Ints, *, seed: int) -> Ints:
    """The next rows of every class from its endless sequence of shuffles, in which every row comes once a cycle.

    So rows of a class are used equally often (counts differ by at most 1), whatever epoch a cycle began in.

    Args:
        classes: ``int64[C]``, the numbers of some classes.
        real: ``int64[C]``, samples of each; at least 1 where ``count`` is.
        start: ``int64[C]``, real slots that the class has had.
        count: ``int64[C]``, real slots wanted now.
        seed: of the plan.

    Returns:
        ``int64[sum(count)]``: for every class in turn, row numbers within the class, from 0.

    >>> cycle_rows(np.array([0, 1]), real=np.array([1, 3]), start=np.array([0, 2]), count=np.array([2, 5]), seed=0)
    array([0, 0, 0, 2, 0, 1, 0])
    """
    size = np.maximum(real, 1)
    cycle = start // size
    cycles = np.where(count > 0, (start + count - 1) // size - cycle + 1, 0)
    first_deck = np.cumsum(cycles) - cycles
    owner = np.repeat(np.arange(len(real)), cycles)
    number = np.arange(len(owner)) + (cycle - first_deck)[owner]
    rows = shuffle_decks(real[owner], hash64(seed, Purpose.ROWS, classes[owner], number))
    first_row = np.cumsum(real * cycles) - real * cycles + start % size
    shift = first_row - (np.cumsum(count) - count)
    return np.asarray(rows[np.arange(int(count.sum())) + np.repeat(shift, count)])
