"""Slots whose synthetic sample went wrong, filled with a real sample of their class, picked by the sample's key."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from onthefly.data.batches import merge, rows_of
from onthefly.data.dataset import HostBatch, SyntheticMixDataset
from onthefly.mixing.classes import Classes
from onthefly.mixing.keys import Purpose
from onthefly.mixing.slots import Slots
from onthefly.mixing.stream import StreamPlan

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Reserve(Protocol):
    """Where real samples are found that no plan has asked for."""

    def take(self, slots: Slots, *, collated: bool) -> tuple[Ints, Any]:
        """For each synthetic slot the row of a real sample of its class, -1 where rows have no number; and the samples,
        as a batch if ``collated``, else as a list.

        Raises:
            ValueError: if a class has none.
        """


class DatasetReserve:
    """The rows of a planned dataset, loaded in this process, the same one for the same key.

    Args:
        mixed: the dataset with its plan.
    """

    def __init__(self, mixed: SyntheticMixDataset) -> None:
        self.mixed, self.plan = mixed, mixed.sampler.plan  # a copy of the dataset has no sampler

    def take(self, slots: Slots, *, collated: bool) -> tuple[Ints, Any]:
        rows = self.plan.rows_by_key(Purpose.REFILL, slots.label, slots.key)
        _check_found(rows, slots, self.plan.classes, "the dataset")
        samples = self.mixed.__getitems__(rows.tolist())
        return rows, default_collate(samples) if collated else samples


@dataclass
class BatchReserve:
    """The rows of a stream's batch, those that synthetic ones replace among them.

    Attributes:
        plan: of the stream.
        batch: as it came.
        labels: ``int64[n]``, the class of each of its rows.
    """

    plan: StreamPlan
    batch: Any
    labels: Ints

    def take(self, slots: Slots, *, collated: bool) -> tuple[Ints, Any]:
        rows = self.plan.rows_by_key(Purpose.REFILL, self.labels, slots.label, slots.key)
        _check_found(rows, slots, self.plan.classes, "its batch")
        return np.full_like(rows, -1), rows_of(self.batch, rows)


def refill(host: HostBatch, wrong: Bools, reserve: Reserve) -> HostBatch:
    """The batch with real samples in some of its synthetic slots.

    Args:
        host: a batch with slots to fill.
        wrong: ``bool[s]``, which of its synthetic slots.
        reserve: where real samples are.
    """
    places = np.flatnonzero(host.slots.synthetic)[wrong]
    rows, samples = reserve.take(host.slots[places], collated=host.collated)
    refilled = np.zeros(len(host.slots.label), np.bool_)
    refilled[places] = True
    slots = _made_real(host.slots, places, rows)
    added = refilled[~slots.synthetic]
    real = merge(host.real, samples, torch.from_numpy(added)) if host.collated else _joined(host.real, samples, added)
    return replace(host, slots=slots, real=real, sources=_left(host, ~wrong), refilled=refilled)


def _made_real(slots: Slots, places: Ints, rows: Ints) -> Slots:
    index, key = slots.index.copy(), slots.key.copy()
    synthetic, last = slots.synthetic.copy(), slots.last.copy()
    index[places], key[places], synthetic[places], last[places] = rows, -1, False, True
    return Slots(index, slots.label, key, synthetic, last)


def _joined(real: list[Any] | None, samples: list[Any], added: Bools) -> list[Any]:
    old, new = iter(real or ()), iter(samples)
    return [next(new) if one else next(old) for one in added]


def _left(host: HostBatch, kept: Bools) -> Any:
    """The sources of the synthetic slots that are left."""
    if host.sources is None or not kept.any():
        return None
    rows = np.flatnonzero(kept)
    return rows_of(host.sources, rows) if host.collated else [host.sources[row] for row in rows]


def _check_found(rows: Ints, slots: Slots, classes: Classes, where: str) -> None:
    if (rows < 0).any():
        missing = classes.listed(np.unique(slots.label[rows < 0]))
        raise ValueError(
            f"generator: expected a real sample of {missing} in {where} to fill a slot whose synthetic sample went "
            "wrong, found none; train the generator again"
        )
