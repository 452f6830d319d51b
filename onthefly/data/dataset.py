"""The half of the mix that runs in the DataLoader's workers: load real rows, leave synthetic slots numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate

from onthefly.data.nested import change
from onthefly.data.sampler import PlanSampler, SlotBatch
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.slots import Slots

_UNFILLED = (
    "HostBatch: expected a batch, found one whose synthetic slots are not filled yet: the loader was rebuilt without "
    "its device half; iterate the loader that wrap() returned (after a restart, load_state_dict() skips what was "
    "delivered), or write: batch = DeviceCollate(generator)(host_batch)"
)
_UNCHANGED = (
    "WholeBatch: expected a batch, found one that is not augmented yet: the loader was rebuilt without its device "
    "half; iterate the loader that wrap() returned, or, where a framework rebuilds it to divide it among processes, "
    "let the mix do that: wrap(loader, augment=..., labels=0, balance='uniform')"
)


class SyntheticMixDataset(Dataset[Any]):
    """A map-style dataset in which some slots of each batch are left for a generator to fill.

    It yields the rows of ``dataset`` by number, as that does; asked for the slots of a batch by its own ``sampler``, it
    loads the rows behind them, where there are any. Put it into a ``DataLoader`` with that sampler, the batch size of
    the plan and a ``HostCollate``.

    Args:
        dataset: anything with ``len`` and ``dataset[i]``.
        plan: what every slot will be.
        sampler: hands out its slots; by default one for the processes that ``torch.distributed`` knows of.

    >>> plan = MixPlan([0, 0, 1], batch_size=3, balance="natural", ratio={1: 1.0})
    >>> mixed = SyntheticMixDataset(["a", "b", "c"], plan)
    >>> batch, samples = mixed.__getitems__(list(mixed.sampler))
    >>> sorted(samples), int(batch.slots.synthetic.sum())
    (['a', 'b'], 1)
    """

    def __init__(self, dataset: Any, plan: MixPlan, sampler: PlanSampler | None = None) -> None:
        if len(dataset) != len(plan.labels):
            raise ValueError(
                f"SyntheticMixDataset: expected a plan of the dataset's {len(dataset)} samples, found one of "
                f"{len(plan.labels)}; make the MixPlan from the labels of this dataset"
            )
        self.dataset = dataset
        self._sampler: PlanSampler | None = PlanSampler(plan) if sampler is None else sampler

    @property
    def sampler(self) -> PlanSampler:
        """Yields the slots of the plan; only in the process that made it."""
        if self._sampler is None:
            raise RuntimeError(
                "SyntheticMixDataset: a copy has no plan; take the sampler from the original, in the main process"
            )
        return self._sampler

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        return self.dataset[row]

    def __getitems__(self, items: list[Any]) -> Any:
        """Rows by number as a list; or a ``SlotBatch`` and, in their order, the samples of those of its slots that have
        a row."""
        first = items[0]
        if not isinstance(first, SlotBatch) and first is not None:
            return self._read(items)
        if first is None or len(items) != len(first.slots.label) or items.count(None) != len(items) - 1:
            raise RuntimeError(
                f"SyntheticMixDataset: expected the slots of one batch of its plan, found {len(items)} that are not: "
                "the loader has another batch size, or something grouped its batches anew; write DataLoader(mixed, "
                "batch_size=..., sampler=mixed.sampler, ...) with the batch size of one process"
            )
        rows = first.slots.index
        return first, self._read(rows[rows >= 0].tolist())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What a ``worker_init_fn`` writes on its dataset is meant for the one that loads the samples."""
        if name in ("dataset", "_sampler"):
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_sampler": None}  # a worker needs no copy of the plan

    def _read(self, rows: list[Any]) -> list[Any]:
        many = getattr(self.dataset, "__getitems__", None)
        return list(many(rows)) if many and rows else [self.dataset[row] for row in rows]


class _Unfinished:
    """A batch on its way to the device. It is not one to train on, and says so when it is used as one."""

    _why: str

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(self._why)

    __iter__ = __getitem__ = __len__ = __contains__ = keys = to = _refuse


@dataclass
class HostBatch(_Unfinished):
    """A batch on its way to the device: its real samples, and what its synthetic slots are.

    Attributes:
        slots: what each slot is.
        draw: what random choices about the batch are keyed by.
        epoch: its epoch.
        step: its number in the epoch.
        real: the real samples, in slot order: as the user's collate returns them, or a list where that is still to run;
            None for none.
        sources: what the synthetic samples are made from, in slot order and in the same form; None for none.
        collated: whether ``real`` went through the user's collate.
        reserve: of a stream, more real rows, for slots whose synthetic sample goes wrong.
        refilled: ``bool[n]``, which of its real slots are such ones; None for none.
    """

    slots: Slots
    draw: int
    epoch: int
    step: int
    real: Any
    sources: Any
    collated: bool
    reserve: Any = None
    refilled: NDArray[np.bool_] | None = None
    _why = _UNFILLED

    def pin_memory(self) -> "HostBatch":
        """Called by the DataLoader with ``pin_memory=True``."""
        self.real, self.sources = (change(_pinned, part) for part in (self.real, self.sources))
        return self


@dataclass
class WholeBatch(_Unfinished):
    """A batch of real samples only, as the user's collate returns it, on its way to be augmented."""

    real: Any
    _why = _UNCHANGED

    def pin_memory(self) -> "WholeBatch":
        """Called by the DataLoader with ``pin_memory=True``."""
        self.real = change(_pinned, self.real)
        return self


class HostCollate:
    """Collates in a worker what can be collated there.

    Real rows go through ``default_collate`` at once. Any other ``collate_fn`` must see the whole batch, so it runs here
    only if no slot is synthetic; else the samples travel as a list, and the device half runs it.

    Args:
        collate_fn: the one the user's DataLoader has.
    """

    def __init__(self, collate_fn: Callable[[list[Any]], Any] = default_collate) -> None:
        self.collate_fn = collate_fn

    def __call__(self, loaded: Any) -> HostBatch:
        if not (isinstance(loaded, tuple) and isinstance(loaded[0], SlotBatch)):
            raise TypeError(
                f"HostCollate: expected the slots of a plan, found samples of type {type(loaded[0]).__name__}: the "
                "loader has another sampler, as Lightning's overfit_batches gives it one; leave the sampler that "
                "wrap() made, or write DataLoader(mixed, sampler=mixed.sampler, collate_fn=HostCollate(), ...)"
            )
        (slots, draw, epoch, step), samples = loaded
        if not slots.synthetic.any():
            return HostBatch(slots, draw, epoch, step, _run(self.collate_fn, samples), None, True)
        is_source = slots.synthetic[slots.index >= 0].tolist()
        real = [sample for sample, source in zip(samples, is_source, strict=True) if not source]
        sources = [sample for sample, source in zip(samples, is_source, strict=True) if source]
        collate = self.collate_fn if self.collate_fn is default_collate else None
        return HostBatch(slots, draw, epoch, step, _run(collate, real), _run(collate, sources), collate is not None)


class WholeCollate:
    """Collates as the user does, and marks what is still to be augmented, so that a loader that was rebuilt without its
    device half can't train on it without a word.

    Args:
        collate_fn: the one the user's DataLoader has.
    """

    def __init__(self, collate_fn: Callable[[Any], Any]) -> None:
        self.collate_fn = collate_fn

    def __call__(self, samples: Any) -> WholeBatch:
        return WholeBatch(self.collate_fn(samples))


def _pinned(part: Any) -> Any:
    return part.pin_memory() if hasattr(part, "pin_memory") else part


def _run(collate: Callable[[list[Any]], Any] | None, samples: list[Any]) -> Any:
    if not samples:
        return None
    return samples if collate is None else collate(samples)
