"""Ranks: which slots of every global batch each of several processes gets."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """One process's part of every global batch.

    A batch is cut into as many parts as there are processes, one after the other, whose sizes differ by one slot at
    most. A ragged last batch with fewer slots than processes is left out, since some would have none.

    Attributes:
        rank: from 0.
        world: how many processes there are.

    >>> [Shard(rank, 2).parts(range(2), length=7, batch_size=4) for rank in range(2)]
    [[range(0, 2), range(4, 5)], [range(2, 4), range(5, 7)]]
    """

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        whole = all(isinstance(number, Integral) for number in (self.rank, self.world))
        if not (whole and 0 <= self.rank < self.world):
            raise ValueError(
                "shard: expected (rank, world_size), whole numbers with 0 <= rank < world_size, found "
                f"({self.rank!r}, {self.world!r})"
            )

    @classmethod
    def of(cls, shard: Any) -> "Shard":
        """The part that a user means by ``(rank, world_size)``."""
        if not (isinstance(shard, (tuple, list)) and len(shard) == 2):
            raise ValueError(f"shard: expected (rank, world_size), found {shard!r}")
        return cls(*shard)

    def batches(self, length: int, batch_size: int) -> int:
        """How many global batches of an epoch are delivered."""
        full, tail = divmod(length, batch_size)
        return full + (tail >= self.world)

    def slots(self, length: int, batch_size: int) -> int:
        """How many slots of an epoch it has."""
        full, tail = divmod(length, batch_size)
        start, stop = self._part(tail if tail >= self.world else 0)
        return full * (batch_size // self.world) + stop - start

    def parts(
        self, batches: range, *, length: int, batch_size: int, keys: Ints | None = None
    ) -> list[range] | list[Ints]:
        """Where in the epoch its slots of some global batches stand, batch by batch.

        Args:
            batches: their numbers.
            length: slots in an epoch.
            batch_size: slots in a full global batch.
            keys: ``int64[length]``, the key of each slot, -1 for a real one: a synthetic slot then goes to the process
                that has its key, which is ``key mod world``, as long as that has room; None to cut batches where they
                are.
        """
        ends = [(batch * batch_size, min((batch + 1) * batch_size, length)) for batch in batches]
        if keys is not None:
            return [start + self._by_key(keys[start:end]) for start, end in ends]
        cuts = [(start, *self._part(end - start)) for start, end in ends]
        return [range(start + first, start + last) for start, first, last in cuts]

    def _part(self, slots: int) -> tuple[int, int]:
        return self.rank * slots // self.world, (self.rank + 1) * slots // self.world

    def _by_key(self, keys: Ints) -> Ints:
        room = np.diff(np.arange(self.world + 1) * len(keys) // self.world)
        home = np.where(keys >= 0, keys % self.world, self.world)
        order = np.argsort(home, kind="stable")
        count = np.bincount(home, minlength=self.world + 1)
        nth = np.arange(len(keys)) - np.repeat(np.cumsum(count) - count, count)
        fits = nth < np.append(room, 0)[home[order]]
        kept, others = order[fits], np.sort(order[~fits])
        room = room - np.bincount(home[kept], minlength=self.world)
        given = others[np.repeat(np.arange(self.world), room) == self.rank]
        return np.sort(np.concatenate([kept[home[kept] == self.rank], given]))
