"""The loader: a DataLoader whose batches are part real, part synthetic, and otherwise what they were."""

from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import BatchSampler, DataLoader

from onthefly.augment.apply import is_kornia
from onthefly.augment.fit import check_for_kornia
from onthefly.checks import as_generator, as_plannable, check_loader, check_some_synthetic
from onthefly.collate import DeviceCollate
from onthefly.data.batches import default_device, size_of
from onthefly.data.dataset import HostCollate, SyntheticMixDataset
from onthefly.data.examples import read_examples, typical
from onthefly.data.labels import labels_of
from onthefly.data.meter import Meter, Stats
from onthefly.data.normalize import Normalization, find_normalization
from onthefly.data.position import Position
from onthefly.data.sampler import PlanSampler
from onthefly.generators.base import FrozenGenerator
from onthefly.matching import makeable, match_classes, match_samples
from onthefly.mixing.balance import NAMED
from onthefly.mixing.plan import MixPlan, Totals
from onthefly.mixing.schedule import Constant, Fill, Schedule, as_schedule

T = TypeVar("T", covariant=True)

_FILL, _NOTHING = Fill(cap=0.5), Constant(0.0)
_KEPT = (
    "dataset",
    "num_workers",
    "collate_fn",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
    "prefetch_factor",
    "persistent_workers",
    "pin_memory_device",
    "in_order",
)


@dataclass(frozen=True)
class Mix:
    """What ``wrap`` adds to a DataLoader.

    Attributes:
        collate: what happens to a batch on the device.
        plan: what every slot will be; None if the plain loader's batches are delivered as they come.
        seed: of the augmentation where there is no plan.
    """

    collate: DeviceCollate
    plan: MixPlan | None = None
    seed: int = 0


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
    """

    def __init__(self, *args: Any, mix: Mix | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mix = mix
        self._position: Position = self.sampler if isinstance(self.sampler, PlanSampler) else Position()
        self.meter = Meter(None if self.plan is None else self.plan.classes)

    @property
    def plan(self) -> MixPlan | None:
        """What every slot will be; None if the plain loader's batches are delivered as they come."""
        return None if self.mix is None else self.mix.plan

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return torch.device("cpu") if self.mix is None else self.mix.collate.device

    def __iter__(self) -> Any:
        return super().__iter__() if self.mix is None else MixIterator(self, self.mix, self._position, super().__iter__)

    def set_epoch(self, epoch: int) -> None:
        """Deliver this epoch next; without it each pass delivers the next one.

        Args:
            epoch: from 0.
        """
        self._position.go_to(epoch)
        samplers: tuple[Any, ...] = (self.sampler, self.batch_sampler)
        for sampler in samplers:
            if hasattr(sampler, "set_epoch") and sampler is not self._position:
                sampler.set_epoch(epoch)

    def stats(self) -> Stats:
        """What has been delivered since the loader was made, counted where it is handed out."""
        return self.meter.stats()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_iterator": None}  # workers that persist can't be copied; a copy starts its own

    def state_dict(self) -> dict[str, Any]:
        """Where training has come to, after the last batch handed out: plain numbers, strings and tensors.

        Raises:
            RuntimeError: where there is no plan, so that the order is the plain loader's own.
        """
        plan = self.planned("state_dict")
        epoch, step = self._position.reached()
        totals = {name: torch.from_numpy(values.copy()) for name, values in plan.totals(epoch)._asdict().items()}
        return {"epoch": epoch, "step": step, "totals": totals, "settings": plan.settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken: the next pass delivers the rest of that epoch.

        Raises:
            ValueError: if the state is another plan's, naming what differs and both values.
        """
        plan = self.planned("load_state_dict")
        _check_state(state, plan.settings())
        plan.resume(state["epoch"], Totals(**{name: values.numpy() for name, values in state["totals"].items()}))
        over = state["step"] >= plan.steps
        self._position.resume(*((state["epoch"] + 1, 0) if over else (state["epoch"], state["step"])))

    def planned(self, what: str) -> MixPlan:
        """The plan, for something that needs one."""
        if self.plan is None:
            raise RuntimeError(
                f"MixLoader.{what}: expected a planned mix, found a loader that delivers its batches as they come "
                "(natural balance, ratio 0), in an order that its own sampler draws; wrap it with a balance or a "
                "ratio, or with tag=True"
            )
        return self.plan


class MixIterator(Iterator[Any]):
    """One pass over a ``MixLoader``: a DataLoader's iterator, each of whose batches goes through the device half.

    An error costs its own batch only; iteration can go on after it.
    """

    def __init__(self, loader: MixLoader[Any], mix: Mix, position: Position, plain: Callable[[], Any]) -> None:
        self._loader, self._mix, self._position, self._plain = loader, mix, position, plain
        self._begun = False
        self._open()

    def _open(self) -> None:
        """Aim, then make the plain iterator: with workers it begins to ask the sampler at once."""
        self._epoch, self._step = self._position.next_pass()
        self._position.aim(self._epoch, self._step)
        self._base = self._plain()

    def _begin(self) -> None:
        """Before the first batch: take an epoch that was asked for meanwhile, or stand where this pass was opened."""
        if self._position.asked:
            self._open()
        if self._mix.plan is not None:
            self._mix.plan.epoch(self._epoch)  # an epoch that can't be planned is no batch lost
        self._position.aim(self._epoch, self._step)
        self._begun = True

    def __next__(self) -> Any:
        if not self._begun:
            self._begin()
        try:
            batch = next(self._base)
        except StopIteration:
            raise
        except Exception:
            self._hand_out()
            raise
        self._hand_out()
        return self._deliver(batch)

    def _hand_out(self) -> None:
        self._step += 1
        self._position.handed_out(self._epoch, self._step)

    def _deliver(self, batch: Any) -> Any:
        if self._mix.plan is not None:
            done = self._mix.collate(batch)
            self._loader.meter.count(batch.slots)
            return done
        done = self._mix.collate.finish(batch, self._mix.seed, self._epoch, self._step)
        self._loader.meter.count_unplanned(self._size(batch))
        return done

    def _size(self, batch: Any) -> int:
        """Rows of the batch just handed out: by arithmetic where the loader makes batches of one size."""
        batches = self._loader.batch_sampler
        if type(batches) is not BatchSampler or not isinstance(batches.sampler, Sized):
            return size_of(batch)
        return min(batches.batch_size, len(batches.sampler) - (self._step - 1) * batches.batch_size)

    def __len__(self) -> int:
        return len(self._base)

    def __getattr__(self, name: str) -> Any:
        if name == "_base":
            raise AttributeError(name)
        return getattr(self._base, name)


def wrap(
    loader: DataLoader[T],
    generator: FrozenGenerator | str | Path | None = None,
    *,
    balance: Any = None,
    ratio: Any = _FILL,
    epochs: int | None = None,
    seed: int = 0,
    labels: Any = None,
    augment: Any = None,
    normalized: Any = None,
    device: torch.device | str | None = None,
    tag: bool = False,
) -> MixLoader[T]:
    """The same loader, its batches part real and part fresh from a generator, balanced and augmented on the device.

    Args:
        loader: a map-style ``DataLoader``, whose workers, collate function and other settings are kept. Its length
            stays.
        generator: a frozen generator, or the path of its checkpoint.
        balance: the share of each class: "natural", "uniform", ``{class: share}``, ``Power(a)`` or
            ``EffectiveNumber(beta)``; by default uniform with a generator, natural without.
        ratio: the share of each class's slots that is synthetic: a number in [0, 1], ``{class: number or schedule}``,
            or a schedule; by default ``Fill(cap=0.5)``: what real samples can't supply, and never more than half.
        epochs: the length of training; needed by a schedule that changes.
        seed: equal seeds give equal streams.
        labels: the class of every row, where the dataset doesn't say; ``"scan"`` to read each sample once; 0 for one
            group.
        augment: a callable ``batch -> batch``, a Kornia module, or ``{"real": either, "synthetic": either}``; on the
            device.
        normalized: ``(mean, std)`` if real images arrive normalised; found by itself if the dataset's transform has one
            ``Normalize``; False to leave all images as they are.
        device: where batches are delivered; by default this process's current CUDA device, or the CPU where there is
            none.
        tag: add a ``MixInfo`` to each batch: as its last part, or under "mix" in a dict.

    Returns:
        A ``DataLoader``. With a natural balance and ratio 0 it delivers the batches of ``loader`` as they are, in its
        own sampler's order.

    Raises:
        TypeError, ValueError: naming what was given, what was expected, and what to type.

    >>> from onthefly.testing import CountingGenerator
    >>> data = torch.utils.data.TensorDataset(torch.rand(100, 1, 8, 8), torch.arange(100) // 90)
    >>> plain = DataLoader(data, batch_size=20, shuffle=True)
    >>> loader = wrap(plain, CountingGenerator((1, 8, 8), classes=2), device="cpu")
    >>> for x, y in loader:
    ...     assert x.shape == (20, 1, 8, 8) and y.tolist().count(1) == 10
    >>> print(loader.stats())
    class      real synthetic
    0            50         0
    1            25        25
    all          75        25  in 5 batches
    """
    if isinstance(loader, MixLoader):
        raise TypeError("wrap: expected a plain DataLoader, found a wrapped one; wrap the loader that it was made from")
    check_loader(loader)
    made = as_generator(generator)
    schedule = _as_ratio(ratio, made)
    balance = ("natural" if made is None else "uniform") if balance is None else balance
    where = default_device() if device is None else torch.device(device)
    norm = find_normalization(loader.dataset) if normalized is None else Normalization.of(normalized)
    if balance in ("natural", NAMED["natural"]) and schedule.is_zero and not tag:
        if is_kornia(augment):
            check_for_kornia(read_examples(loader.dataset, where), loader.collate_fn, norm, augment)
        return _rebuilt(loader, Mix(DeviceCollate(None, augment, where, normalized=norm), seed=seed))
    batches = as_plannable(loader)
    known = labels_of(loader.dataset, labels)
    if made is not None:
        made = match_classes(made, known.classes).to(where)
        schedule = makeable(made, schedule)
    plan = MixPlan(
        known.values,
        batch_size=batches.batch_size,
        balance=balance,
        ratio=schedule,
        epochs=epochs,
        seed=seed,
        drop_last=batches.drop_last,
        classes=known.classes,
        sources=made is not None and made.wants_source,
    )
    examples = read_examples(loader.dataset, where)
    if is_kornia(augment):
        check_for_kornia(examples, loader.collate_fn, norm, augment)
    if made is not None:
        match_samples(examples, made, known.values, collate_fn=loader.collate_fn, normalized=norm, device=where)
    if made is not None and not schedule.is_zero:
        check_some_synthetic(plan)
    device_half = DeviceCollate(
        made,
        augment,
        where,
        collate_fn=loader.collate_fn,
        normalized=norm,
        tag=tag,
        weight=plan.weights,
        example=typical(examples, norm),
    )
    mixed = SyntheticMixDataset(loader.dataset, plan)
    host_half = HostCollate(loader.collate_fn)
    batching = {"sampler": mixed.sampler, "batch_size": batches.batch_size, "drop_last": batches.drop_last}
    return _rebuilt(loader, Mix(device_half, plan), batching, dataset=mixed, collate_fn=host_half)


def _as_ratio(ratio: Any, generator: FrozenGenerator | None) -> Schedule:
    schedule = as_schedule(ratio)
    if generator is not None:
        return schedule
    if not schedule.is_zero and ratio is not _FILL:
        raise ValueError(
            f"ratio: expected a generator to make synthetic samples, found None with ratio={ratio!r}; pass generator="
        )
    return _NOTHING


def _rebuilt(
    loader: DataLoader[T], mix: Mix, batching: Mapping[str, Any] | None = None, **changes: Any
) -> MixLoader[T]:
    """A ``MixLoader`` with the settings of a loader, but for some."""
    kept = {name: getattr(loader, name) for name in _KEPT}
    if batching is None and loader.batch_size is None:
        batching = {"batch_sampler": loader.batch_sampler}
    elif batching is None:
        batching = {name: getattr(loader, name) for name in ("sampler", "batch_size", "drop_last")}
    return MixLoader(mix=mix, **kept | changes | dict(batching))


def _check_state(state: dict[str, Any], settings: dict[str, Any]) -> None:
    missing = {"epoch", "step", "totals", "settings"} - state.keys()
    if missing:
        raise ValueError(f"state: expected {', '.join(sorted(missing))} too; load what MixLoader.state_dict() gave")
    if not isinstance(state["totals"], Mapping) or not isinstance(state["settings"], Mapping):
        raise ValueError("state: expected totals and settings by name; load what MixLoader.state_dict() gave")
    for name in ("epoch", "step"):
        if not isinstance(state[name], int) or state[name] < 0:
            raise ValueError(
                f"state: expected {name} to be a whole number from 0, found {state[name]!r}; load what "
                "MixLoader.state_dict() gave"
            )
    lines = [
        f"{name}: expected {settings.get(name)!r}, found {state['settings'].get(name)!r}"
        for name in sorted(settings.keys() | state["settings"].keys())
        if settings.get(name) != state["settings"].get(name)
    ]
    if lines:
        raise ValueError(
            "state: it belongs to another mix; wrap the loader as when the state was saved:\n  " + "\n  ".join(lines)
        )
