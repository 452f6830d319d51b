"""The supply: what fills synthetic slots, made for them or ahead of them, or remembered from an earlier one."""

import sys
import warnings
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.batches import bytes_of, joined, owned, rows_of, sent
from onthefly.data.nested import change
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.batching import best_batch_size
from onthefly.generators.pace import Pace
from onthefly.mixing.slots import Slots

Bools = NDArray[np.bool_]
Place = tuple[Any, int]  # samples that were made together, and which of them


class Supply:
    """Asks a generator for the samples that aren't remembered, in forwards of the size that suits it, and remembers
    those that come again.

    A forward that a batch doesn't fill is filled up with samples of the batches that follow, where the plan tells
    them. Neither that nor the memo, which is by keys, changes what is delivered: only what it costs.

    Args:
        generator: on the device where it makes samples.
        device: that one.
        window: the most samples to remember; None for as many as there is room for.

    Attributes:
        memo: samples that come again.
        pace: how long making samples takes.
    """

    def __init__(self, generator: FrozenGenerator, device: torch.device, window: int | None = None) -> None:
        self.generator, self.device = generator, device
        self.memo, self.pace = Memo(generator.cache_bytes, window), Pace(device)
        self._ahead: dict[int, Place] = {}

    @cached_property
    def size(self) -> int:
        """How many samples are made together: what was found to be quickest; all, where samples are made of others."""
        return best_batch_size(self.generator, self.device) or sys.maxsize

    def batch(self, slots: Slots, sources: Any, coming: Iterable[Slots] = ()) -> tuple[Any, Bools]:
        """Samples for synthetic slots, batched as ``default_collate`` would.

        Args:
            slots: all synthetic.
            sources: what the samples are made from, batched; None for noise alone.
            coming: the slots of the batches that follow, as far as they are known.

        Returns:
            The samples; and which of them were made for these slots, the others being remembered: ``bool[n]``.
        """
        return self._supplied(_Form(self.generator.batch, _rows, joined), slots, sources, coming)

    def items(self, slots: Slots, sources: list[Any] | None, coming: Iterable[Slots] = ()) -> tuple[list[Any], Bools]:
        """The same, one by one."""
        return self._supplied(_Form(self.generator.items, _items, _in_one_list), slots, sources, coming)

    def _supplied(self, form: "_Form", slots: Slots, sources: Any, coming: Iterable[Slots]) -> tuple[Any, Bools]:
        keys = slots.key.tolist()
        known = [self.memo.get(key) for key in keys]
        missing = [number for number, key in enumerate(keys) if known[number] is None and key not in self._ahead]
        if missing:
            some = None if sources is None else form.rows(sources, missing)
            self._make(form, slots[np.array(missing)], some, coming)
        places = [self._ahead[key] if one is None else (one, 0) for key, one in zip(keys, known, strict=True)]
        samples = form.gathered(places)
        for key, (made, row), is_last in zip(keys, places, slots.last.tolist(), strict=True):
            self._ahead.pop(key, None)
            if is_last:
                self.memo.drop(key)
            else:
                self.memo.keep(key, form.rows(made, [row]))
        self._forget()
        return samples, np.array([one is None for one in known], np.bool_)

    def _make(self, form: "_Form", slots: Slots, sources: Any, coming: Iterable[Slots]) -> None:
        """If it fails with samples of later batches among them, these are left to their own batch: an error is that of
        the batch whose sample it is."""
        label, key = slots.label.tolist(), slots.key.tolist()
        own = len(key)
        if sources is None:
            self._fill_up(label, key, coming)
        try:
            self._make_all(form, label, key, sources)
        except Exception:
            if len(key) == own:
                raise
            self._make_all(form, label[:own], key[:own], sources)

    def _make_all(self, form: "_Form", label: list[int], key: list[int], sources: Any) -> None:
        labels, keys = (sent(torch.tensor(numbers), self.device) for numbers in (label, key))
        start = 0
        while start < len(key):
            some = range(start, min(start + self.size, len(key)))
            with self.pace.making(len(some)):
                made = self._forward(form, labels[some.start : some.stop], keys[some.start : some.stop], sources, some)
            if made is not None:
                self._ahead.update((key[number], (made, row)) for row, number in enumerate(some))
                start = some.stop

    def _fill_up(self, label: list[int], key: list[int], coming: Iterable[Slots]) -> None:
        """Add samples of the batches that follow until the last forward is a whole one."""
        known = {*key, *self._ahead}
        room = -len(key) % self.size
        for slots in coming if room else ():
            for number in np.flatnonzero(slots.synthetic).tolist():
                one = int(slots.key[number])
                if one not in known and self.memo.get(one) is None:
                    known.add(one)
                    label.append(int(slots.label[number]))
                    key.append(one)
                    room -= 1
                    if not room:
                        return

    def _forward(self, form: "_Form", labels: Tensor, keys: Tensor, sources: Any, some: range) -> Any:
        """So many samples together; None if there is no room for that, and the next forwards shall be smaller."""
        try:
            return form.make(labels, keys, None if sources is None else form.rows(sources, list(some)))
        except torch.OutOfMemoryError:
            if len(some) == 1:
                raise
        self.size = len(some) // 2
        torch.cuda.empty_cache()
        warnings.warn(
            f"generator: no memory to make {len(some)} samples together; from now on {self.size} are, which is slower "
            f"and changes nothing else; load(path, batch_size={self.size}) begins so",
            stacklevel=2,
        )
        return None

    def _forget(self) -> None:
        """What was made ahead for batches that were then skipped."""
        for key in list(islice(self._ahead, max(0, len(self._ahead) - self.size))):
            del self._ahead[key]


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


Rows = Callable[[Any, list[int]], Any]


class _Form(NamedTuple):
    """Samples batched, or in a list.

    Attributes:
        make: ``(labels, keys, sources) -> samples``.
        rows: some of them, by number.
        join: several such in one.
    """

    make: Callable[[Tensor, Tensor, Any], Any]
    rows: Rows
    join: Callable[[list[Any]], Any]

    def gathered(self, places: list[Place]) -> Any:
        runs = (list(run) for _, run in groupby(places, key=lambda place: id(place[0])))
        return self.join([self.rows(run[0][0], [row for _, row in run]) for run in runs])


def _rows(batch: Any, rows: list[int]) -> Any:
    """Some rows of a batch; of neighbours, views."""
    first, behind = rows[0], rows[-1] + 1
    if rows != list(range(first, behind)):
        return rows_of(batch, rows)
    return change(lambda part: part[first:behind], batch)


def _items(items: list[Any], rows: list[int]) -> list[Any]:
    return [items[row] for row in rows]


def _in_one_list(lists: list[list[Any]]) -> list[Any]:
    return [item for some in lists for item in some]
