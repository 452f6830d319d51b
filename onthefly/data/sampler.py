"""The sampler: hands the plan to the workers slot by slot, from the place in training that it holds."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from onthefly.data.position import Position
from onthefly.mixing.keys import Purpose, sample_key
from onthefly.mixing.plan import MixPlan, Slots

_RUN = 1 << 14  # slots taken from the plan at once


class Slot(NamedTuple):
    """One slot on its way to a worker, which needs nothing else to load it.

    Attributes:
        row: the dataset row to load, -1 for none.
        label: the class.
        key: what makes the synthetic sample, -1 for a real slot.
        synthetic: whether a generator fills it.
        draw: what random choices about it are keyed by, augmentation among them; 63 bits.
    """

    row: int
    label: int
    key: int
    synthetic: bool
    draw: int


class PlanSampler(Position, DistributedSampler[Slot]):
    """Yields the slots of the plan's current epoch that have not been handed out.

    It is a ``DistributedSampler`` because frameworks leave those as they are and call their ``set_epoch``.
    """

    def __init__(self, plan: MixPlan) -> None:
        self.plan = plan
        self.num_replicas, self.rank = 1, 0

    def __len__(self) -> int:
        return self.plan.length

    def set_epoch(self, epoch: int) -> None:
        """As frameworks call it: just after a state was loaded it means that state's epoch, since some count from 0
        again."""
        self.go_to(self.epoch if self.loaded else epoch)

    def __iter__(self) -> Iterator[Slot]:
        self.aim(*self.next_pass())
        slots, first = self.plan.epoch(self.epoch), self.step * self.plan.batch_size
        starts = range(first, self.plan.length, _RUN)
        runs = (slice(start, min(start + _RUN, self.plan.length)) for start in starts)
        return chain.from_iterable(self._run(slots, self.epoch, run) for run in runs)

    def _run(self, slots: Slots, epoch: int, run: slice) -> Iterator[Slot]:
        draw = sample_key(self.plan.seed, Purpose.AUGMENT, epoch, np.arange(run.start, run.stop))
        columns = (slots.index[run], slots.label[run], slots.key[run], slots.synthetic[run], draw)
        return map(Slot, *(column.tolist() for column in columns))
