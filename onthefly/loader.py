"""The loader: a DataLoader whose batches are filled, mixed and augmented on the device, and otherwise what they
were."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar, cast

import torch
from numpy.typing import ArrayLike
from torch.utils.data import BatchSampler, DataLoader, default_collate

from onthefly.announce import Announcement
from onthefly.budget import Budget
from onthefly.checks import check_divided, warn_of_repeating
from onthefly.collate import DeviceCollate
from onthefly.data.batches import size_of
from onthefly.data.dataset import HostBatch, WholeBatch, WholeCollate
from onthefly.data.labels import check_same_labels
from onthefly.data.meter import Meter, Stats
from onthefly.data.position import Position
from onthefly.data.processes import DisagreementError, this_shard
from onthefly.data.sampler import PlanSampler
from onthefly.data.stream import MixStream
from onthefly.generators.identity import files_of
from onthefly.manifest import (
    Generators,
    Manifest,
    identities,
    manifest_of,
    stream_manifest_of,
    warn_of_another_generator,
)
from onthefly.mixing.changes import Change, Log, reuse_at
from onthefly.mixing.expected import expected
from onthefly.mixing.explain import Explanation, explained, with_costs
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.schedule import Schedule
from onthefly.mixing.stream import StreamPlan
from onthefly.sidestream import SideStream, Started
from onthefly.state import State, load_place, load_planned, load_stream, save_place, save_planned, save_stream
from onthefly.threads import beside_workers

T = TypeVar("T", covariant=True)


@dataclass(frozen=True)
class Mix:
    """What ``wrap`` adds to a DataLoader, beside its sampler or its stream.

    Attributes:
        collate: what happens to a batch on the device.
        generators: as they were given.
        seed: of the augmentation where there is no plan.
        own_labels: whether the plan's classes are what the dataset itself says.
        wished: the ratio as it was asked for; the plan's is 0 for classes that the generator can't make.
        sample_bytes: of a synthetic sample, where one has been made.
        asked: the other arguments of ``wrap``, as they were given: with them another loader is wrapped just so.
    """

    collate: DeviceCollate
    generators: Generators = None
    seed: int = 0
    own_labels: bool = False
    wished: Schedule | None = None
    sample_bytes: int | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def side(self) -> SideStream:
        """Where batches are made ready."""
        return SideStream(self.collate.device)

    @cached_property
    def identities(self) -> Any:
        """Which generators they are; hashed once."""
        return identities(self.generators)


class MixLoader(DataLoader[T]):
    """A ``torch.utils.data.DataLoader`` whose batches are filled, mixed and augmented on the device. ``wrap`` makes
    one.

    It takes what a DataLoader takes, and ``mix``; without one it is a DataLoader. Iterating again begins the next
    epoch.

    Args:
        *args: as for ``DataLoader``.
        mix: what is added to it.
        **kwargs: as for ``DataLoader``.

    Attributes:
        mix: the argument.
        meter: counts what is handed out.
        budget: for the making of samples; None for any.
    """

    def __init__(self, *args: Any, mix: Mix | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mix = mix
        mixed = self._any_plan
        self.meter = Meter(None if mixed is None else mixed.classes)
        self._plain_position = Position()
        self.budget = _budget_of(mix)
        self._is_trusted = False

    @property
    def plan(self) -> MixPlan | None:
        """What every slot of every batch will be; None for a stream, and for a plain loader's batches as they come."""
        return self.sampler.plan if isinstance(self.sampler, PlanSampler) else None

    @property
    def stream_plan(self) -> StreamPlan | None:
        """Which rows of a stream become synthetic; None where there is no stream, or nothing to do to it."""
        return self.dataset.plan if isinstance(self.dataset, MixStream) else None

    @property
    def _any_plan(self) -> MixPlan | StreamPlan | None:
        return self.plan or self.stream_plan

    @property
    def log(self) -> Log:
        """What was changed since training began."""
        return () if self._any_plan is None else self._any_plan.log

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return torch.device("cpu") if self.mix is None else self.mix.collate.device

    @property
    def position(self) -> Position:
        """The place in training; held by what decides on it."""
        if isinstance(self.sampler, PlanSampler):
            return self.sampler
        return self.dataset.position if isinstance(self.dataset, MixStream) else self._plain_position

    @property
    def looks_ahead(self) -> bool:
        """Whether the next batch is made ready beside the step that uses this one. Not where that would fetch it too
        early: a stream's state is that of the batches fetched, and without workers it is the training itself that
        fetches."""
        return self.device.type == "cuda" and self.num_workers > 0 and not isinstance(self.dataset, MixStream)

    @property
    def workers(self) -> int:
        """Processes that load samples beside this one: its own, or those of a stream's source."""
        return self.dataset.source.workers if isinstance(self.dataset, MixStream) else self.num_workers

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers, or goes on with."""
        return self.position.next_pass()[0]

    @property
    def use_stateful_dataloader(self) -> bool:
        """Accelerate saves and restores the state of a loader that has this, with its own."""
        return self.plan is not None or self.stream_plan is not None

    @property
    def _is_accelerate_prepared(self) -> bool:
        """Accelerate leaves a loader that has this as it is. Of any other it makes a plain one with the same dataset,
        sampler and collate, and without the device half."""
        has_device_half = isinstance(self.dataset, MixStream) or isinstance(self.collate_fn, WholeCollate)
        return self.plan is not None or has_device_half

    @_is_accelerate_prepared.setter
    def _is_accelerate_prepared(self, prepared: bool) -> None:
        """Accelerate says so of each loader that it was given, and from then on trusts it to be divided."""
        self._is_trusted = prepared

    def __iter__(self) -> Any:
        if self.mix is None:
            return super().__iter__()
        if self._is_trusted and isinstance(self.collate_fn, WholeCollate):
            check_divided(self)
        self.keep_to_budget()
        return MixIterator(self, self.mix, super().__iter__)

    def keep_to_budget(self) -> None:
        """Before an epoch begins, and already when the one before is over, so that a state knows of it: let samples be
        used as often as that one says. In the midst of an epoch nothing changes."""
        plan, (epoch, step) = self._any_plan, self.position.next_pass()
        if self.budget is None or plan is None or (plan.epochs is not None and epoch >= plan.epochs):
            return
        now = max(reuse_at(plan.log, epoch)[0], self.budget.least)
        needed = now if step else self.budget.reuse(now, limit=int(plan.synthetic_before(epoch).max()))
        if needed != now:
            plan.change(Change(epoch, reuse=needed))
        if isinstance(plan, MixPlan):
            cast(Mix, self.mix).collate.remember(int(plan.reuse_at(epoch).window.sum()))
        self.budget.begin()

    def set_epoch(self, epoch: int) -> None:
        """Deliver this epoch next; without it each pass delivers the next one.

        Args:
            epoch: from 0, and below ``epochs`` where that was given.
        """
        position = self.position
        if self._any_plan is not None:
            self._any_plan.check_epoch(epoch)
        position.go_to(epoch)
        others: tuple[Any, ...] = (self.sampler, self.batch_sampler)
        if self.plan is None:
            others += (self.dataset,)
        for other in others:
            if hasattr(other, "set_epoch") and other is not position:
                other.set_epoch(epoch)

    def stats(self) -> Stats:
        """What has been delivered since the loader was made, counted where it is handed out; and the SHA-256 of the
        checkpoints that it came from."""
        generator = None if self.mix is None else self.mix.collate.generator
        return replace(self.meter.stats(), checkpoints={} if generator is None else files_of(generator))

    def explain(self) -> Explanation:
        """What training will deliver, and what that costs, before it begins: nothing is loaded, made or moved.

        Returns:
            Counts by epoch and class, exact ones of a plan, expected ones of a stream that ``counts=`` tells of;
            printed, a table and warnings; ``plot(path)`` draws them.

        Raises:
            ValueError: of a stream without ``counts=``.

        >>> import onthefly
        >>> from onthefly.testing import CountingGenerator
        >>> data = torch.utils.data.TensorDataset(torch.rand(100, 1, 8, 8), torch.arange(100) // 90)
        >>> generator = CountingGenerator((1, 8, 8), classes=2)
        >>> print(onthefly.wrap(DataLoader(data, 20, shuffle=True), generator, epochs=2, device="cpu").explain())
        2 epochs of 100 slots in 5 batches of 20
                              epoch 0           epoch 1        all 2 epochs
        class   samples   real  synthetic   real  synthetic   real  synthetic  ratio
        1            10     25         25     25         25     50         50  0.500
        0            90     50          0     50          0    100          0  0.000
        all         100     75         25     75         25    150         50  0.250
        in each process: the plan takes 4.2 kB; 25 samples to make an epoch; a sample takes 264 B
        """
        mixed = self._mixed("explain")
        if self.mix is None:
            return mixed.explain()
        generator = self.mix.collate.generator
        makes = None if generator is None else generator.makes
        if isinstance(mixed, StreamPlan):
            return expected(mixed, self.mix.wished, makes)
        return with_costs(
            explained(mixed, self.mix.wished, makes),
            mixed,
            cast(PlanSampler, self.sampler).shard,
            sample_bytes=self.mix.sample_bytes,
            cache_bytes=0 if generator is None else generator.cache_bytes,
        )

    def feedback(self, scores: ArrayLike | Mapping[Any, float]) -> None:
        """Tell the ratio how well each class does, from the next epoch on.

        With several processes, hand the same scores to each; that they are is checked when the next epoch begins.

        Args:
            scores: ``float[C]``, or ``{class: score}``; from 0 to 1, on real validation data, recall say.

        Raises:
            ValueError: if they aren't one score for each class, or the ratio has no ``schedule.Feedback`` in it.
        """
        self._mixed("feedback").feedback(self.position.untouched, scores)

    def manifest(self) -> Manifest:
        """What is delivered and from what: versions, settings, the dataset's fingerprint, the generators' hashes, and
        what was changed; as values that JSON can hold. ``onthefly.replay`` makes any planned sample again from it."""
        mixed = self._mixed("manifest")
        made, sources = (None, None) if self.mix is None else (self.mix.identities, self.mix.collate.sources)
        if isinstance(mixed, StreamPlan):
            return stream_manifest_of(mixed, made)
        return manifest_of(mixed, self.dataset.dataset, made, sources)  # type: ignore[attr-defined]

    def state_dict(self) -> State:
        """Where training has come to, after the last batch handed out: plain numbers, strings and tensors."""
        mixed = self._any_plan
        if mixed is None:
            return save_place(self.position)
        if isinstance(mixed, StreamPlan):
            state = save_stream(cast(MixStream, self.dataset), mixed)
        else:
            state = save_planned(cast(PlanSampler, self.sampler))
        return state | {"manifest": self.manifest()}

    def load_state_dict(self, state: State, *, longer: bool = False) -> None:
        """Go on where ``state_dict`` was taken: the next pass delivers the rest of that epoch.

        A loader that delivers batches as they come can't go on in the midst of an epoch, since its order is its own
        sampler's: the next pass delivers all of it, and a warning says so.

        Args:
            state: of the same mix; the number of workers may be another, and that of processes if all their batches
                together are as large as they were.
            longer: accept that ``epochs`` is more than it was. The epoch that the state was taken in is finished as it
                was planned; those after it reckon with the new length.

        Raises:
            ValueError: if the state is another mix's, naming what differs and both values.
        """
        mixed = self._any_plan
        if mixed is None:
            warn_of_repeating(load_place(self.position, state, is_end=self.is_end))
        elif isinstance(mixed, StreamPlan):
            load_stream(cast(MixStream, self.dataset), mixed, state, longer=longer)
        else:
            load_planned(cast(PlanSampler, self.sampler), state, longer=longer)
        if self.mix is not None and mixed is not None:
            warn_of_another_generator(state.get("manifest", {}).get("generator"), self.mix.identities)

    def is_end(self, step: int) -> bool:
        """Whether so many batches are an epoch; False where nobody knows."""
        try:
            return step >= len(self)
        except (TypeError, NotImplementedError):  # a sampler of the user's, without a length
            return False

    def planned(self, what: str) -> MixPlan:
        """The plan, for something that needs one."""
        if self.plan is None:
            raise RuntimeError(f"MixLoader.{what}: expected a planned mix, found {self._unmixed()}")
        return self.plan

    def _mixed(self, what: str) -> MixPlan | StreamPlan:
        mixed = self._any_plan
        if mixed is None:
            raise RuntimeError(f"MixLoader.{what}: expected a mix, found {self._unmixed()}")
        return mixed

    def _unmixed(self) -> str:
        if self.stream_plan is not None:
            return "a stream, whose batches are known only when they come; give a map-style dataset"
        return (
            "a loader that delivers its batches as they come (natural balance, ratio 0), in an order that its own "
            "sampler draws; wrap it with a balance or a ratio, or with tag=True"
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_iterator": None}  # workers that persist can't be copied; a copy starts its own


def _budget_of(mix: Mix | None) -> Budget | None:
    generator = None if mix is None else mix.collate.generator
    if mix is None or generator is None or generator.max_overhead is None or mix.collate.pace is None:
        return None
    return Budget(generator.max_overhead, int(generator.uses.min()), mix.collate.pace)


class _Coming(NamedTuple):
    """A batch that has been asked for, or that there is none any more."""

    epoch: int
    step: int
    work: Any
    synthetic: int = 0
    is_end: bool = False


class MixIterator(Iterator[Any]):
    """One pass over a ``MixLoader``: a DataLoader's iterator, each of whose batches goes through the device half.

    An error costs its own batch only; iteration can go on after it. Where the loader looks ahead, the next batch is
    made ready before this one is handed out, and nothing of that shows.
    """

    def __init__(self, loader: MixLoader[Any], mix: Mix, plain: Callable[[], Any]) -> None:
        self._loader, self._mix, self._position, self._plain = loader, mix, loader.position, plain
        self._announcement, self._begun = Announcement(), False
        self._next: _Coming | None = None
        self._open()

    def _open(self) -> None:
        """Aim, then make the plain iterator: with workers it begins to ask the sampler at once."""
        self._epoch, self._step = self._position.next_pass()
        self._position.aim(self._epoch, self._step)
        self._asked = self._epoch, self._step
        self._log = self._loader.log
        self._base = self._plain()

    def _begin(self) -> None:
        """Before the first batch: take an epoch that was asked for meanwhile, and what was changed, or stand where this
        pass was opened."""
        if self._position.asked or self._log is not self._loader.log:
            self._open()
        if self._loader.stream_plan is not None:
            self._loader.stream_plan.check_epoch(self._epoch)
        if self._loader.plan is not None:
            if self._mix.own_labels:
                check_same_labels(self._loader.dataset.dataset, self._loader.plan.labels)  # type: ignore[attr-defined]
            self._loader.plan.epoch(self._epoch)  # an epoch that can't be planned is no batch lost
        self._position.aim(self._epoch, self._step)
        self._begun = True

    def __next__(self) -> Any:
        if not self._begun:
            self._begin()
        coming = self._ask() if self._next is None else self._next
        self._next = coming
        self._next = self._ask() if self._loader.looks_ahead and not coming.is_end else None
        if not coming.is_end:
            return self._hand_out(coming)
        self._announcement.over()
        if not self._position.end(self._epoch, self._step):
            raise StopIteration
        self._begin()
        return next(self)

    def _ask(self) -> "_Coming":
        """Ask for a batch, and begin to make it ready. A planned one says itself which it is, since an error may cost a
        batch, several, or none, and with persistent workers another pass may have taken over this one's."""
        epoch, step = self._asked
        try:
            batch = next(self._base)
        except StopIteration:
            return _Coming(epoch, step, None, is_end=True)
        except DisagreementError:  # no batch has been asked for
            raise
        except Exception as error:  # noqa: BLE001  raised when its batch is handed out
            self._asked = epoch, step + 1
            return _Coming(epoch, step, Started(None, error))
        synthetic = 0
        if isinstance(batch, HostBatch):
            epoch, step, synthetic = batch.epoch, batch.step, int(batch.slots.synthetic.sum())
        self._asked = epoch, step + 1
        with beside_workers(self._loader.workers):
            work = self._mix.side.start(
                partial(self._made_ready, batch, epoch, step), partial(self._made_anew, batch, epoch, step)
            )
        return _Coming(epoch, step, work, synthetic)

    def _made_ready(self, batch: Any, epoch: int, step: int) -> tuple[Any, Callable[[Meter], None]]:
        """The batch to deliver, and how to count it."""
        if isinstance(batch, HostBatch):
            done, host, fresh = self._mix.collate.deliver(batch)
            return done, lambda meter: meter.count(host.slots, fresh, host.refilled)
        batch = batch.real if isinstance(batch, WholeBatch) else batch
        done = self._mix.collate.finish(batch, self._mix.seed, epoch, step + 1, this_shard().rank)
        return done, lambda meter: meter.count_unplanned(self._size(batch, step))

    def _made_anew(self, batch: Any, epoch: int, step: int) -> tuple[Any, Callable[[Meter], None]]:
        """The same, of samples that are all made now: among those before was a wrong one."""
        self._mix.collate.forget()
        return self._made_ready(batch, epoch, step)

    def _hand_out(self, coming: "_Coming") -> Any:
        self._epoch, self._step = coming.epoch, coming.step + 1
        self._position.handed_out(self._epoch, self._step)
        self._announcement.handed_out(lambda: self._loader.is_end(self._step))
        if self._loader.budget is not None:  # whether the batch is one or an error: other processes do it now, too
            self._loader.budget.handed_out(coming.synthetic)
            if self._loader.is_end(self._step):
                self._loader.keep_to_budget()
        done, count = coming.work.take()
        count(self._loader.meter)
        return done

    def _size(self, batch: Any, step: int) -> int:
        """Rows of a batch: by arithmetic where the loader makes batches of one size."""
        batches = self._loader.batch_sampler
        collate = getattr(self._loader.collate_fn, "collate_fn", self._loader.collate_fn)  # within a WholeCollate
        if type(batches) is not BatchSampler or collate is not default_collate:
            return size_of(batch)
        if (length := _length(batches.sampler)) is None:
            return size_of(batch)
        left = length - step * batches.batch_size
        return left if 0 < left < batches.batch_size else batches.batch_size

    def __len__(self) -> int:
        return len(self._base)

    def __getattr__(self, name: str) -> Any:
        if name == "_base":
            raise AttributeError(name)
        return getattr(self._base, name)


def _length(sampler: Any) -> int | None:
    """None where it has no length: a sampler needs none to be iterated, and some raise rather than leave it out."""
    try:
        return len(sampler)
    except (TypeError, NotImplementedError):
        return None
