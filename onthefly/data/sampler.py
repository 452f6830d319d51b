"""The sampler: hands the plan to the workers slot by slot, from the place in training that it holds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from onthefly.data.position import Position
from onthefly.mixing.keys import Purpose, sample_key
from onthefly.mixing.plan import MixPlan


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

    def __iter__(self) -> Iterator[Slot]:
        self.aim(*self.next_pass())
        first = self.step * self.plan.batch_size
        draw = sample_key(self.plan.seed, Purpose.AUGMENT, self.epoch, np.arange(first, self.plan.length))
        slots = self.plan.epoch(self.epoch)
        columns = (slots.index[first:], slots.label[first:], slots.key[first:], slots.synthetic[first:], draw)
        return map(Slot, *(column.tolist() for column in columns))
