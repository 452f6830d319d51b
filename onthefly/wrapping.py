"""wrap: takes a loader apart and puts it together again with a mix."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, default_collate

from onthefly.augment.apply import is_kornia
from onthefly.augment.fit import check_for_kornia
from onthefly.checks import (
    as_batch_labels,
    as_generators,
    as_plannable,
    check_dataset,
    check_some_synthetic,
    check_stream_options,
    counts_of,
    is_stock,
    is_streamed,
    refuse_stream_options,
)
from onthefly.collate import DeviceCollate
from onthefly.data.batches import default_device, to_device
from onthefly.data.dataset import HostCollate, SyntheticMixDataset, WholeCollate
from onthefly.data.examples import Examples, read_examples, some_rows, typical
from onthefly.data.labels import labels_of
from onthefly.data.normalize import Normalization, find_normalization
from onthefly.data.processes import this_shard
from onthefly.data.sampler import PlanSampler
from onthefly.data.source import Batches, Source
from onthefly.data.stream import MixStream
from onthefly.generators.base import FrozenGenerator
from onthefly.loader import Mix, MixLoader
from onthefly.manifest import Generators
from onthefly.matching import makeable, match_classes, match_samples
from onthefly.mixing.balance import NAMED
from onthefly.mixing.classes import Classes
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.ranks import Shard
from onthefly.mixing.schedule import Constant, Fill, Schedule, as_schedule
from onthefly.mixing.stream import StreamPlan

T = TypeVar("T", covariant=True)

Ints = NDArray[np.int64]

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


def wrap(
    loader: DataLoader[Any] | Batches,
    generator: FrozenGenerator | str | Path | Mapping[Any, Any] | None = None,
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
    shard: tuple[int, int] | None = None,
    counts: Any = None,
    length: int | None = None,
    sharded: bool | None = None,
    top_up: bool = False,
) -> MixLoader[Any]:
    """The same loader, its batches part real and part fresh from a generator, balanced and augmented on the device.

    Args:
        loader: a ``DataLoader``, whose workers, collate function and other settings are kept. Its length stays. One of
            a map-style dataset is planned; one of an iterable dataset, or with a batch sampler of its own, and any
            iterable of batches, or a function that makes one, is a stream: its batches are mixed as they come.
        generator: a frozen generator, the path of its checkpoint, or ``{class: either}``.
        balance: the share of each class: "natural", "uniform", ``{class: share}``, ``Power(a)`` or
            ``EffectiveNumber(beta)``; by default uniform with a generator, natural without.
        ratio: the share of each class's slots that is synthetic: a number in [0, 1], ``{class: number or schedule}``,
            or a schedule; by default ``Fill(cap=0.5)``: what real samples can't supply, and never more than half.
        epochs: the length of training; needed by a schedule that changes.
        seed: equal seeds give equal streams.
        labels: the class of every row, where the dataset doesn't say; ``"scan"`` to read each sample once; 0 for one
            group. Of a stream: a function from a batch to the class of each row.
        augment: a callable ``batch -> batch``, a Kornia module, or ``{"real": either, "synthetic": either}``; on the
            device.
        normalized: ``(mean, std)`` if real images arrive normalised; found by itself if the dataset's transform has one
            ``Normalize``; False to leave all images as they are.
        device: where batches are delivered; by default this process's current CUDA device, or the CPU where there is
            none.
        tag: add a ``MixInfo`` to each batch: as its last part, or under "mix" in a dict.
        shard: ``(rank, world_size)``; by default what ``torch.distributed`` says whenever it is asked. The loader's
            batch size is that of one process.
        counts: of a stream: real samples of each class in a pass, in order or ``{class: number}``; for ``Fill`` and for
            balances that follow them.
        length: of a stream: batches of a pass; for schedules that change. A pass ends there.
        sharded: of a stream in several processes: whether each one's source yields batches of its own.
        top_up: of a stream: add synthetic rows to each batch instead of replacing real ones.

    Returns:
        A ``MixLoader``, which is a ``DataLoader``. With a natural balance and ratio 0 it delivers the batches of
        ``loader`` as they are, in its own sampler's order.

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
    given = as_generators(generator)
    found = find_normalization(getattr(loader, "dataset", None)) if normalized is None else Normalization.of(normalized)
    asked = {
        "balance": balance,
        "epochs": epochs,
        "seed": seed,
        "labels": labels,
        "augment": augment,
        "normalized": normalized,
        "device": device,
        "tag": tag,
        "shard": shard,
        "counts": counts,
        "length": length,
        "sharded": sharded,
        "top_up": top_up,
    }
    wished = _Wished(
        given,
        balance,
        _as_ratio(ratio, given),
        epochs,
        seed,
        labels,
        augment,
        found,
        default_device() if device is None else torch.device(device),
        tag,
        None if shard is None else Shard.of(shard),
        asked,
    )
    if is_streamed(loader):
        return _streamed(loader, wished, counts, length, sharded, top_up)
    refuse_stream_options(counts=counts, length=length, sharded=sharded, top_up=top_up or None)
    return _planned(cast(DataLoader[Any], loader), wished)


def arguments_of(loader: DataLoader[Any]) -> dict[str, Any]:
    """What a plain ``DataLoader`` like this one is made with; of a wrapped one, like the one that was wrapped.

    >>> data = torch.utils.data.TensorDataset(torch.rand(100, 1, 8, 8), torch.arange(100) // 90)
    >>> mixed = wrap(DataLoader(data, batch_size=20, shuffle=True), balance="uniform", device="cpu")
    >>> plain = DataLoader(**arguments_of(mixed))
    >>> plain.dataset is data, plain.batch_size, type(plain.sampler).__name__
    (True, 20, 'RandomSampler')
    """
    kept = {name: getattr(loader, name) for name in _KEPT}
    if isinstance(loader.collate_fn, (HostCollate, WholeCollate)):
        kept["collate_fn"] = loader.collate_fn.collate_fn
    if not isinstance(loader.sampler, PlanSampler):
        return kept | _batching(loader)
    plain = {"shuffle": True, "batch_size": loader.batch_size, "drop_last": loader.drop_last}
    return kept | plain | {"dataset": loader.dataset.dataset}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Wished:
    """What was asked of ``wrap``, for any loader."""

    given: Generators
    balance: Any
    schedule: Schedule
    epochs: int | None
    seed: int
    labels: Any
    augment: Any
    normalized: Normalization | None
    device: torch.device
    tag: bool
    shard: Shard | None
    asked: Mapping[str, Any]

    def nothing_to_mix(self, balance: str) -> bool:
        """Whether batches stay what they are, but for the augmentation; with this balance, if none was asked for."""
        asked = balance if self.balance is None else self.balance
        return asked in ("natural", NAMED["natural"]) and self.schedule.is_zero and not self.tag

    def matched(self, classes: Classes) -> tuple[FrozenGenerator | None, Schedule]:
        """The generator under the dataset's classes; and the ratio of those that it can make."""
        if self.given is None:
            return None, self.schedule
        made = match_classes(self.given, classes)
        return made, makeable(made, self.schedule)

    def mix(self, collate: DeviceCollate, *, own_labels: bool = False, sample_bytes: int | None = None) -> Mix:
        return Mix(collate, self.given, self.seed, own_labels, self.schedule, sample_bytes, self.asked)

    def check(self, examples: Examples, collate_fn: Any, made: FrozenGenerator | None, labels: Ints) -> int | None:
        """Compare real samples with what is to be done to them, and with synthetic ones; the bytes of one of these."""
        if is_kornia(self.augment):
            check_for_kornia(examples, collate_fn, self.normalized, self.augment)
        if made is None:
            return None
        return match_samples(
            examples, made, labels, collate_fn=collate_fn, normalized=self.normalized, device=self.device
        )


def _planned(loader: DataLoader[T], wished: _Wished) -> MixLoader[T]:
    balance = "natural" if wished.given is None else "uniform"
    if wished.nothing_to_mix(balance):
        return _as_it_comes(loader, wished)
    check_dataset(loader.dataset)
    batches = as_plannable(loader)
    known = labels_of(loader.dataset, wished.labels)
    made, schedule = wished.matched(known.classes)
    plan = MixPlan(
        known.values,
        batch_size=batches.batch_size * (wished.shard or this_shard()).world,
        balance=wished.balance or balance,
        ratio=schedule,
        epochs=wished.epochs,
        seed=wished.seed,
        drop_last=batches.drop_last,
        classes=known.classes,
        sources=made is not None and made.wants_source,
        reuse=1 if made is None else made.uses,
    )
    examples = read_examples(loader.dataset, wished.device)
    sample_bytes = wished.check(examples, loader.collate_fn, made, known.values)
    if made is not None and not schedule.is_zero:
        check_some_synthetic(plan)
    sampler = PlanSampler(plan, shard=wished.shard, batch_size=batches.batch_size)
    mixed = SyntheticMixDataset(loader.dataset, plan, sampler)
    device_half = DeviceCollate(
        made,
        wished.augment,
        wished.device,
        collate_fn=loader.collate_fn,
        normalized=wished.normalized,
        tag=wished.tag,
        weight=plan.weights,
        example=typical(examples, wished.normalized),
        window=int(plan.reuse.window.sum()),
        dataset=mixed,
    )
    host_half = HostCollate(loader.collate_fn)
    batching = {"sampler": sampler, "batch_size": batches.batch_size, "drop_last": batches.drop_last}
    mix = wished.mix(device_half, own_labels=wished.labels is None, sample_bytes=sample_bytes)
    return _rebuilt(loader, mix, batching, dataset=mixed, collate_fn=host_half)


def _as_it_comes(loader: DataLoader[T], wished: _Wished) -> MixLoader[T]:
    """A loader without a plan: batches are moved and augmented only."""
    dataset: Any = loader.dataset
    if is_kornia(wished.augment) and not isinstance(dataset, IterableDataset) and loader.batch_size is not None:
        wished.check(read_examples(dataset, wished.device), loader.collate_fn, None, np.zeros(0, np.int64))
    mix = wished.mix(DeviceCollate(None, wished.augment, wished.device, normalized=wished.normalized))
    collate_fn = loader.collate_fn if wished.augment is None else WholeCollate(loader.collate_fn)
    return _rebuilt(loader, mix, _batching(loader), collate_fn=collate_fn)


def _streamed(
    loader: Any, wished: _Wished, counts: Any, length: int | None, sharded: bool | None, top_up: bool
) -> MixLoader[Any]:
    balance = "uniform" if top_up and wished.given is not None else "natural"
    nothing_to_mix = wished.nothing_to_mix(balance)
    if nothing_to_mix and isinstance(loader, DataLoader) and is_stock(loader):
        refuse_stream_options(counts=counts, length=length, sharded=sharded, top_up=top_up or None)
        return _as_it_comes(loader, wished)
    source = Source(loader, length=length, shard=wished.shard, sharded=sharded)
    if nothing_to_mix:
        collate = DeviceCollate(None, wished.augment, wished.device, normalized=wished.normalized)
        return _of_stream(MixStream(source, None), wished.mix(collate))
    check_stream_options(loader, wished.balance)
    classes, known = counts_of(counts, wished.given)
    made, schedule = wished.matched(classes)
    if made is not None and made.wants_source and made.max_overhead is not None:
        raise ValueError(
            f"max_overhead: expected None where the samples of a stream are made from real ones, found "
            f"{made.max_overhead}: when a sample is used again, what it was made from is gone; leave it out"
        )
    plan = StreamPlan(
        classes,
        counts=known,
        length=source.known_length,
        balance=wished.balance or balance,
        ratio=schedule,
        epochs=wished.epochs,
        seed=wished.seed,
        top_up=top_up,
        sources=made is not None and made.wants_source,
        reuse=1 if made is None else made.uses,
    )
    if made is not None and not schedule.is_zero:
        check_some_synthetic(plan)
    collate = DeviceCollate(
        made,
        wished.augment,
        wished.device,
        normalized=wished.normalized,
        tag=wished.tag,
        weight=plan.weights,
    )
    check = partial(_check_first, wished, made)
    refills = made is not None and bool(made.refills.any())
    return _of_stream(MixStream(source, plan, as_batch_labels(wished.labels), check, refills), wished.mix(collate))


def _check_first(wished: _Wished, made: FrozenGenerator | None, batch: Any, labels: Ints) -> None:
    examples = some_rows(to_device(batch, torch.device("cpu")), len(labels))
    wished.check(examples, default_collate, made, labels)


def _of_stream(stream: MixStream, mix: Mix) -> MixLoader[Any]:
    own = torch.Generator()  # what the loader draws from it means nothing, but would shift what the source draws
    return MixLoader(stream, batch_size=None, collate_fn=_as_it_is, generator=own, mix=mix)


def _as_it_is(batch: Any) -> Any:
    return batch


def _as_ratio(ratio: Any, generator: Generators) -> Schedule:
    schedule = as_schedule(ratio)
    if generator is not None:
        return schedule
    if not schedule.is_zero and ratio is not _FILL:
        raise ValueError(
            f"ratio: expected a generator to make synthetic samples, found None with ratio={ratio!r}; pass generator="
        )
    return _NOTHING


def _rebuilt(loader: DataLoader[T], mix: Mix, batching: Mapping[str, Any], **changes: Any) -> MixLoader[T]:
    """A ``MixLoader`` with the settings of a loader, but for some."""
    kept = {name: getattr(loader, name) for name in _KEPT}
    return MixLoader(mix=mix, **kept | changes | dict(batching))


def _batching(loader: DataLoader[Any]) -> dict[str, Any]:
    """How a loader makes batches, as the arguments that say so."""
    if isinstance(loader.dataset, IterableDataset):
        return {name: getattr(loader, name) for name in ("batch_size", "drop_last")}
    if loader.batch_size is None and loader.batch_sampler is not None:
        return {"batch_sampler": loader.batch_sampler}
    return {name: getattr(loader, name) for name in ("sampler", "batch_size", "drop_last")}
