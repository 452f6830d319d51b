"""Streams: batches that come as they come, of which some rows are left for a generator to fill."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from onthefly.data.batches import check_rows, rows_of, select
from onthefly.data.dataset import HostBatch
from onthefly.data.labels import COLUMNS
from onthefly.data.position import Position
from onthefly.data.processes import check_agreement
from onthefly.data.refill import BatchReserve
from onthefly.data.source import Pass, Source
from onthefly.mixing.classes import Classes
from onthefly.mixing.keys import Purpose, sample_key
from onthefly.mixing.slots import Slots
from onthefly.mixing.stream import StreamPlan

Ints = NDArray[np.int64]

_SAMPLES = "; if these are samples rather than batches, write DataLoader(dataset, batch_size=...)"
_HINT = ", as it has labels; let the stream yield batches of rows, and labels= the class of every row"


class MixStream(IterableDataset[Any]):
    """The batches of a source, each with some rows taken out or slots added, as the plan of the stream says.

    It stands behind a ``DataLoader(stream, batch_size=None)`` without workers: the source has its own.

    Args:
        source: of the batches.
        plan: which rows become synthetic; None if none do.
        labels: ``batch -> class of every row``; None for the labels that the batch holds.
        check: called with the first batch and its labels.
        refills: whether slots may turn out to need a real row after all.
    """

    def __init__(
        self,
        source: Source,
        plan: StreamPlan | None,
        labels: Callable[[Any], Any] | None = None,
        check: Callable[[Any, Ints], None] | None = None,
        refills: bool = False,
    ) -> None:
        self.source, self.plan, self.position = source, plan, Position()
        self._labels, self._check, self._refills = labels, check, refills

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Any]:
        return _MixedPass(self, self.position)

    def check_agreement(self) -> None:
        """Refuse, in all processes, to begin a pass that isn't the same in all of them."""
        if self.plan is not None and self.source.is_one_of_several:
            log = [change.to_plain() for change in self.plan.log]
            check_agreement(
                {"epoch": self.position.epoch, "step": self.position.step, "log": log, **self.plan.settings()}
            )

    def mixed(self, batch: Any, epoch: int, step: int) -> Any:
        """A batch of the source with its synthetic slots still to fill; as it is where there is no plan."""
        if self.plan is None:
            return batch
        labels = self._labels_of(batch, self.plan.classes)
        check_rows(batch, len(labels), _HINT)
        if self._check is not None:
            self._check(batch, labels)
            self._check = None
        return self._host(self.plan, batch, labels, epoch, step)

    def _host(self, plan: StreamPlan, batch: Any, labels: Ints, epoch: int, step: int) -> HostBatch:
        rank = self.source.shard.rank
        slots, kept = plan.batch(labels, epoch, step, rank)
        draw = int(sample_key(plan.seed, Purpose.AUGMENT, epoch, step, rank))
        chosen = np.zeros(len(labels), np.bool_)
        chosen[kept] = True
        real = batch if chosen.all() else select(batch, torch.from_numpy(chosen))
        host = HostBatch(slots, draw, epoch, step, real, _sources(plan, batch, labels, slots), True)
        return replace(host, reserve=BatchReserve(plan, batch, labels)) if self._refills else host

    def _labels_of(self, batch: Any, names: Classes) -> Ints:
        found = _found_in(batch) if self._labels is None else self._labels(batch)
        values = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
        if values.ndim == 1 and values.dtype.kind in "USO":
            values = np.array([names.number(name, "labels") for name in values.tolist()])
        if values.ndim != 1 or values.dtype.kind not in "iub":
            raise ValueError(
                f"labels: expected the class of every row of the batch, found an array of {values.dtype} and shape "
                f"{values.shape}; pass labels=lambda batch: ..., one group number for each row"
                f"{'' if values.ndim else _SAMPLES}"
            )
        wrong = values[(values < 0) | (values >= names.count)] if values.dtype.kind != "b" else values[:0]
        if len(wrong):
            raise ValueError(
                f"labels: expected classes from 0 to {names.count - 1}, found {wrong[0]}; pass counts= with a number "
                "for each class, or labels=lambda batch: ..."
            )
        return values.astype(np.int64)


class _MixedPass(Iterator[Any]):
    """One pass over a stream, opened where its position stands when the first batch is asked for."""

    def __init__(self, stream: MixStream, position: Position) -> None:
        self._stream, self._position = stream, position
        self._pass: Pass | None = None

    def __next__(self) -> Any:
        if self._pass is None:
            self._epoch = self._position.epoch
            self._stream.check_agreement()
            self._pass = self._stream.source.open(self._epoch, self._position.step)
        batch = next(self._pass)
        return self._stream.mixed(batch, self._epoch, self._pass.step - 1)


def _sources(plan: StreamPlan, batch: Any, labels: Ints, slots: Slots) -> Any:
    """A row of its class in the same batch for each synthetic slot."""
    if not plan.sources or not slots.synthetic.any():
        return None
    wanted = slots[slots.synthetic]
    rows = plan.rows_by_key(Purpose.SOURCE, labels, wanted.label, wanted.key)
    if (rows < 0).any():
        missing = np.unique(wanted.label[rows < 0])
        raise ValueError(
            "generator: expected a real row of each class to make samples from, found none of "
            f"{plan.classes.listed(missing)} in this batch; use larger batches, or balance='natural'"
        )
    return rows_of(batch, rows)


def _found_in(batch: Any) -> Any:
    """The labels that a batch holds: under a name for them in a dict, else the second of two parts."""
    if isinstance(batch, Mapping):
        for name in COLUMNS:
            if name in batch:
                return batch[name]
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[1]
    raise ValueError(
        f"labels: expected batches that are (samples, labels), or a dict with one of {', '.join(COLUMNS)}, found a "
        f"{type(batch).__name__}; pass labels=lambda batch: ..., the class of every row"
    )
