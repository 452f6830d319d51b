"""The supply: what fills synthetic slots, made for them or remembered from an earlier one."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.batches import bytes_of, owned, select, unbatch
from onthefly.data.nested import change
from onthefly.generators.base import FrozenGenerator
from onthefly.mixing.slots import Slots

Bools = NDArray[np.bool_]


class Supply:
    """Asks a generator for the samples that aren't remembered, in one call, and remembers those that come again.

    What it remembers is a memo on keys, so it never changes what is delivered, only what that costs.

    Args:
        generator: on the device where samples are wanted.
        window: the most samples to remember; None for as many as there is room for.
    """

    def __init__(self, generator: FrozenGenerator, window: int | None = None) -> None:
        self.generator = generator
        self.memo = Memo(generator.cache_bytes, window)

    def batch(self, slots: Slots, device: torch.device, sources: Any) -> tuple[Any, Bools]:
        """Samples for synthetic slots, batched as ``default_collate`` would; and which were made now: ``bool[n]``."""
        if slots.last.all() and not len(self.memo):
            return self.generator.batch(*_asked(slots, device), sources), np.ones(len(slots.key), np.bool_)

        def make(fresh: Bools) -> list[Any]:
            some = None if sources is None else select(sources, torch.from_numpy(fresh).to(device))
            return unbatch(self.generator.batch(*_asked(slots[fresh], device), some), int(fresh.sum()))

        items, fresh = self._recall(slots, make)
        return change(lambda *rows: torch.stack(rows) if isinstance(rows[0], Tensor) else list(rows), *items), fresh

    def items(self, slots: Slots, device: torch.device, sources: list[Any] | None) -> tuple[list[Any], Bools]:
        """The same, one by one."""

        def make(fresh: Bools) -> list[Any]:
            some = None if sources is None else [sources[place] for place in np.flatnonzero(fresh)]
            return self.generator.items(*_asked(slots[fresh], device), some)

        return self._recall(slots, make)

    def _recall(self, slots: Slots, make: Callable[[Bools], list[Any]]) -> tuple[list[Any], Bools]:
        keys = slots.key.tolist()
        items = [self.memo.get(key) for key in keys]
        fresh = np.array([item is None for item in items])
        made = iter(make(fresh) if fresh.any() else ())
        items = [next(made) if item is None else item for item in items]
        for key, item, last in zip(keys, items, slots.last.tolist(), strict=True):
            if last:
                self.memo.drop(key)
            else:
                self.memo.keep(key, item)
        return items, fresh


class Memo:
    """Samples by their keys, at most so many bytes and so many of them; what was used longest ago goes first, be it
    that its last use went to another process, or was skipped.

    Args:
        most: bytes.
        count: samples; None for any number.
    """

    def __init__(self, most: int, count: int | None = None) -> None:
        self.most, self.count, self.bytes = most, sys.maxsize if count is None else count, 0
        self._kept: dict[int, tuple[Any, int]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: int) -> Any:
        """The sample of a key, or None."""
        return self._kept.get(key, (None, 0))[0]

    def keep(self, key: int, item: Any) -> None:
        """Remember a sample, in memory of its own; or, if it is known, that it was used just now."""
        known = self._kept.pop(key, None)
        if known is None:
            item = change(owned, item)
            known = item, bytes_of(item)
            self.bytes += known[1]
        self._kept[key] = known
        while self.bytes > self.most or len(self) > self.count:
            self.drop(next(iter(self._kept)))

    def drop(self, key: int) -> None:
        """Forget a sample, if it is known."""
        self.bytes -= self._kept.pop(key, (None, 0))[1]


def _asked(slots: Slots, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(slots.label).to(device), torch.from_numpy(slots.key).to(device)
