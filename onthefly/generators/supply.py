"""The supply: what fills synthetic slots, made for them or ahead of them, or remembered from an earlier one."""

import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.batches import bytes_of, joined, owned, rows_of, sent
from onthefly.data.hermetic import hermetic
from onthefly.data.nested import change
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.batching import best_batch_size
from onthefly.generators.deferred import Checks, deferred, waiting
from onthefly.generators.pace import Pace
from onthefly.mixing.slots import Slots

Bools = NDArray[np.bool_]

_ALIVE = 2  # forwards whose samples wait for their batch: of one the rest, while the next one is begun


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
        self._alive: list[_Forward] = []
        self._unchecked: dict[int, Checks] = {}

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

    def forget(self) -> None:
        """Everything that was made: something among it is wrong."""
        self.memo.clear()
        self._ahead, self._alive, self._unchecked = {}, [], {}

    def _supplied(self, form: "_Form", slots: Slots, sources: Any, coming: Iterable[Slots]) -> tuple[Any, Bools]:
        keys = slots.key.tolist()
        known = [self.memo.get(key) for key in keys]
        missing = [number for number, key in enumerate(keys) if known[number] is None and key not in self._ahead]
        if missing:
            some = None if sources is None else form.rows(sources, missing)
            ready = sum(one is None for one in known) - len(missing)
            self._make(form, slots[np.array(missing)], some, coming, len(self._ahead) - ready)
        places = [
            self._ahead[key] if one is None else (_Forward(one, 1), 0) for key, one in zip(keys, known, strict=True)
        ]
        samples = form.gathered(places)
        self._include_checks(keys)
        for key, (forward, row), is_last in zip(keys, places, slots.last.tolist(), strict=True):
            forward.left -= self._ahead.pop(key, None) is not None
            if is_last:
                self.memo.drop(key)
                self._unchecked.pop(key, None)
            else:
                self.memo.keep(key, form.rows(forward.made, [row]))
        self._forget_what_was_skipped()
        return samples, np.array([one is None for one in known], np.bool_)

    def _make(self, form: "_Form", slots: Slots, sources: Any, coming: Iterable[Slots], ahead: int) -> None:
        """If it fails with samples of later batches among them, these are left to their own batch: an error is that of
        the batch whose sample it is."""
        label, key = slots.label.tolist(), slots.key.tolist()
        own = len(key)
        if sources is None:
            self._fill_up(label, key, coming, min(-own % self.size, max(0, self.size - ahead)))
        with hermetic(key[0], self.device):  # a generator that draws may do so more often in one run than in another
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
                self._take_in(made, key[some.start : some.stop])
                start = some.stop

    def _fill_up(self, label: list[int], key: list[int], coming: Iterable[Slots], room: int) -> None:
        """Add so many samples of the batches that follow."""
        known = {*key, *self._ahead}
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
            with deferred() if waiting() is not None else nullcontext() as checks:
                made = form.make(labels, keys, None if sources is None else form.rows(sources, list(some)))
        except torch.OutOfMemoryError:
            if len(some) == 1:
                raise
        else:
            return _Forward(made, len(some), checks)
        self.size = len(some) // 2
        torch.cuda.empty_cache()
        warnings.warn(
            f"generator: no memory to make {len(some)} samples together; from now on {self.size} are, which is slower "
            f"and changes nothing else; load(path, batch_size={self.size}) begins so",
            stacklevel=2,
        )
        return None

    def _take_in(self, forward: "_Forward", keys: list[int]) -> None:
        self._alive.append(forward)
        self._ahead.update((key, (forward, row)) for row, key in enumerate(keys))
        if forward.checks is not None:
            self._unchecked.update(dict.fromkeys(keys, forward.checks))

    def _include_checks(self, keys: list[int]) -> None:
        """Where checks wait, a batch is checked with all forwards that its samples were made in."""
        checks = waiting()
        if checks is None:
            return
        used = {self._unchecked[key] for key in keys if key in self._unchecked}
        for forward in used:
            if not forward.passed:
                checks.include(forward)

    def _forget_what_was_skipped(self) -> None:
        """A forward is held whole by any of its samples; those of skipped batches would never let it go."""
        alive = [forward for forward in self._alive if forward.left > 0]
        self._alive = alive[-_ALIVE:]
        if len(alive) > _ALIVE:
            kept = {id(forward) for forward in self._alive}
            self._ahead = {key: place for key, place in self._ahead.items() if id(place[0]) in kept}
        self._unchecked = {
            key: checks for key, checks in self._unchecked.items() if not checks.passed and (key in self)
        }

    def __contains__(self, key: int) -> bool:
        return key in self._ahead or self.memo.get(key) is not None


class _Forward:
    """Samples that were made together.

    Attributes:
        made: the samples.
        left: how many of them wait for their batch.
        checks: that wait for their values; None where these were checked at once.
    """

    def __init__(self, made: Any, left: int, checks: Checks | None = None) -> None:
        self.made, self.left, self.checks = made, left, checks


Place = tuple[_Forward, int]  # and which of its samples


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

    def clear(self) -> None:
        """Forget all."""
        self._kept, self.bytes = {}, 0


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
        """The samples in these places, in order."""
        runs = (list(run) for _, run in groupby(places, key=lambda place: id(place[0])))
        return self.join([self.rows(run[0][0].made, [row for _, row in run]) for run in runs])


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
