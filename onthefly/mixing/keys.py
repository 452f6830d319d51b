"""The one rule of randomness: whatever is drawn is a hash of (seed, purpose, id)."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 13  # cards shuffled at once: small enough to stay in a core's cache


class Purpose(IntEnum):
    """What a random number is for; two purposes never share one."""

    COUNTS = 1
    ORDER = 2
    TAIL = 3
    SPREAD = 4
    PHASE = 5
    ROWS = 6
    SAMPLE = 7
    SOURCE = 8
    AUGMENT = 9
    RELABEL = 10
    RANK = 11
    REFILL = 12
    HELD_OUT = 13
    TRAINING = 14
    PROMPT = 15


def hash64(*parts: int | Ints | UInts) -> UInts:
    """Hash integers, or arrays of them that broadcast together, into uniform ``uint64``.

    Parts are folded in from the left with the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), so
    ``hash64(hash64(a, b), c)`` is not ``hash64(a, b, c)``, and a change in any bit of any part changes every bit of the
    result with probability one half.

    >>> hash64(0, Purpose.ROWS, np.arange(2))
    array([15415986080105920549, 14996722486362563744], dtype=uint64)
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = _finalise(_unsigned(part) ^ (state + _GOLDEN))
    return state


def sample_key(*parts: int | Ints | UInts) -> Ints:
    """As ``hash64``, but 63 bits carried as a non-negative ``int64``, which torch can add, divide and collate."""
    return (hash64(*parts) >> np.uint64(1)).astype(np.int64)


def shuffle_decks(sizes: Ints, seeds: UInts) -> Ints:
    """Shuffle many decks of cards at once, each by its own seed.

    The order of a deck depends on its own size and seed only, not on the decks beside it.

    Args:
        sizes: ``int64[D]``, cards in each deck, from 0 to 2**31.
        seeds: ``uint64[D]``, what each deck is shuffled by.

    Returns:
        ``int64[sum(sizes)]``: for every deck in turn, its cards ``0 .. size - 1`` in shuffled order.

    >>> shuffle_decks(np.array([3, 2]), np.array([1, 2], np.uint64))
    array([1, 2, 0, 0, 1])
    """
    shuffled = np.empty(int(sizes.sum()), np.int64)
    ends = np.cumsum(sizes)
    for decks, cards in runs(ends, _BLOCK):
        shuffled[cards] = _shuffle_block(sizes[decks], seeds[decks])
    return shuffled


def runs(ends: Ints, most: int) -> Iterator[tuple[slice, slice]]:
    """Cut groups that lie end to end into runs of whole groups with at most ``most`` items; a larger group is a run of
    its own.

    Args:
        ends: ``int64[G]``, where each group ends.
        most: items in a run.

    Yields:
        The groups of a run, and its items.

    >>> for groups, items in runs(np.array([3, 4, 9]), most=4):
    ...     print(groups, items)
    slice(0, 2, None) slice(0, 4, None)
    slice(2, 3, None) slice(4, 9, None)
    """
    first = begin = 0
    while first < len(ends):
        last = max(int(np.searchsorted(ends, begin + most, side="right")), first + 1)
        end = int(ends[last - 1])
        yield slice(first, last), slice(begin, end)
        first, begin = last, end


def _finalise(state: UInts) -> UInts:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state ^= state >> np.uint64(shift)
        state *= np.uint64(factor)
    state ^= state >> np.uint64(31)
    return state


def _unsigned(part: int | Ints | UInts) -> UInts:
    if isinstance(part, int):
        return np.asarray(part & 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    return np.asarray(part).astype(np.uint64, copy=False)


def _shuffle_block(sizes: Ints, seeds: UInts) -> Ints:
    """One sort shuffles all decks: a deck owns an interval as wide as its size, and its cards fall into it by their
    hash.

    A sort value is (place in the block, card), both in one int64. How finely a place is drawn depends on the deck
    alone: decks that share a block have 32 bits each, a larger deck has as many as its size leaves.
    """
    cards = int(sizes.sum())
    width = max(cards, _BLOCK).bit_length()
    fine = min(32, 63 - 2 * width)
    starts = np.cumsum(sizes) - sizes
    deck = np.repeat(np.arange(len(sizes)), sizes)
    card = np.arange(cards) - starts[deck]
    value = (hash64(seeds[deck], card) >> np.uint64(32)).view(np.int64)
    value *= sizes[deck]
    value >>= 32 - fine
    value += starts[deck] << fine
    value <<= width
    value |= card
    decks = value.reshape(len(sizes), -1) if (sizes == sizes[0]).all() else value
    decks.sort()  # the intervals of two decks don't meet, so sorting all is sorting each; short rows are far quicker
    value &= (1 << width) - 1
    return value
