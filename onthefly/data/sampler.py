"""The sampler: hands the plan to the workers batch by batch, from the place in training that it holds."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from onthefly.data.position import Position
from onthefly.data.processes import check_agreement, this_shard
from onthefly.mixing.keys import Purpose, sample_key
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.ranks import Shard
from onthefly.mixing.slots import Slots

_RUN = 64  # batches taken from the plan at once
_FEW = 4  # and of those that are looked at ahead


class SlotBatch(NamedTuple):
    """The slots of one batch on their way to a worker, which needs nothing else to load them.

    Attributes:
        slots: what they are.
        draw: what random choices about the batch are keyed by, augmentation among them; 63 bits.
        epoch: its epoch.
        step: its number in the epoch.
    """

    slots: Slots
    draw: int
    epoch: int
    step: int


class PlanSampler(Position, DistributedSampler[Any]):
    """Yields this process's slots of the plan's current epoch that have not been handed out: for each batch a
    ``SlotBatch``, then None for each further slot, so that torch's own ``BatchSampler`` groups them.

    Which process this is, is looked up whenever it matters: a loader may be older than the process group. It is a
    ``DistributedSampler`` because frameworks leave those as they are and call their ``set_epoch``.

    Args:
        plan: of the global batches.
        shard: this process's part; None for what ``torch.distributed`` says.
        batch_size: slots in a batch of one process, where that stays and the plan follows the number of processes; None
            where the plan stays.
    """

    def __init__(self, plan: MixPlan, *, shard: Shard | None = None, batch_size: int | None = None) -> None:
        self._plan, self._shard, self._batch_size = plan, shard, batch_size
        self._behind = 0
        self._resumed: tuple[int, int] | None = None

    @property
    def shard(self) -> Shard:
        """This process's part of every global batch."""
        return this_shard() if self._shard is None else self._shard

    @property
    def plan(self) -> MixPlan:
        """What every slot of every global batch will be."""
        world = self.shard.world
        if self._batch_size is not None and self._plan.batch_size != self._batch_size * world:
            self._plan = self._plan.with_batch_size(self._batch_size * world)
        if self._plan.batch_size % world:
            raise ValueError(
                f"MixPlan: expected a batch_size, that of all processes together, that {world} processes can share, "
                f"found {self._plan.batch_size}; write batch_size={world} * the size of one process's batch"
            )
        return self._plan

    @property
    def num_replicas(self) -> int:  # type: ignore[override]
        """As ``DistributedSampler`` calls the number of processes."""
        return self.shard.world

    @property
    def rank(self) -> int:  # type: ignore[override]
        """As ``DistributedSampler`` calls this process."""
        return self.shard.rank

    @property
    def steps(self) -> int:
        """Batches of an epoch, the same for every process."""
        return self.shard.batches(self.plan.length, self.plan.batch_size)

    def __len__(self) -> int:
        return self.shard.slots(self.plan.length, self.plan.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """As frameworks call it. Some count from 0 again after a state was loaded: the first epoch that is set then
        means that state's, and later ones follow on it."""
        if self.loaded:
            self._behind = self.epoch - epoch
        self.go_to(epoch + self._behind)

    def resume(self, epoch: int, step: int) -> None:
        """As ``Position`` does; how a framework counts shows when it sets the next epoch."""
        self._behind, self._resumed = 0, (self.plan.batch_size, step)
        super().resume(epoch, step)

    def go_to(self, epoch: int) -> None:
        """As ``Position`` does, refusing an epoch beyond the length of training."""
        self.plan.check_epoch(epoch)
        super().go_to(epoch)

    def __iter__(self) -> Iterator[SlotBatch | None]:
        self.aim(*self.next_pass())
        plan, shard = self.plan, self.shard
        if self._shard is None and shard.world > 1:
            check_agreement({"epoch": self.epoch, "step": self.step, "log": plan.log, **plan.settings()})
        self._check_resumed(plan)
        plan.epoch(self.epoch)  # what can't be planned is refused now
        return chain.from_iterable(map(_in_place_of_its_slots, self._batches(plan, shard, self.epoch, self.step)))

    def coming(self, epoch: int, step: int) -> Iterator[Slots]:
        """This process's slots of each batch of an epoch, from a step on; none of one that would have to be planned
        again, since another one has been asked for meanwhile."""
        if not self.plan.holds(epoch):
            return iter(())
        return (batch.slots for batch in self._batches(self.plan, self.shard, epoch, step, run=_FEW))

    def _check_resumed(self, plan: MixPlan) -> None:
        """Refuse to count a state's steps in global batches of another size."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and resumed[1] == self.step > 0 and resumed[0] != plan.batch_size:
            raise ValueError(
                f"state: expected global batches of {plan.batch_size}, those of {self.shard.world} processes, found "
                f"{resumed[0]} when it was loaded; load it once the process group exists"
            )

    def _batches(self, plan: MixPlan, shard: Shard, epoch: int, step: int, run: int = _RUN) -> Iterator[SlotBatch]:
        slots = plan.epoch(epoch)
        keys = slots.key if shard.world > 1 and plan.reuse_at(epoch).times.max() > 1 else None
        steps = shard.batches(plan.length, plan.batch_size)
        for start in range(step, steps, run):
            batches = range(start, min(start + run, steps))
            parts = shard.parts(batches, length=plan.length, batch_size=plan.batch_size, keys=keys)
            draws = sample_key(plan.seed, Purpose.AUGMENT, epoch, np.array([part[0] for part in parts])).tolist()
            for batch, part, draw in zip(batches, parts, draws, strict=True):
                some = slice(part.start, part.stop) if isinstance(part, range) else part
                yield SlotBatch(slots[some], draw, epoch, batch)


def _in_place_of_its_slots(batch: SlotBatch) -> Iterator[SlotBatch | None]:
    return chain((batch,), repeat(None, len(batch.slots.label) - 1))
