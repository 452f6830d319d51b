"""The half of the mix that runs on the device: fill the synthetic slots, merge with the real rows, augment."""

import copy
from collections import namedtuple
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate, get_worker_info

from onthefly.augment.apply import as_augment
from onthefly.data.batches import as_collated, default_device, like, merge, numbered, owned, sent, to_device
from onthefly.data.dataset import HostBatch, SyntheticMixDataset
from onthefly.data.hermetic import hermetic
from onthefly.data.images import on_image
from onthefly.data.nested import change, contained
from onthefly.data.normalize import Normalization, arrives_normalized
from onthefly.data.refill import DatasetReserve
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.faults import Faults
from onthefly.generators.pace import Pace
from onthefly.generators.supply import Supply
from onthefly.mixing.keys import Purpose, sample_key
from onthefly.mixing.slots import Slots

Bools = NDArray[np.bool_]

_NONE: Bools = np.zeros(0, np.bool_)


class MixInfo(NamedTuple):
    """What each slot of a batch was, for ``tag=True``; all on the batch's device.

    Attributes:
        synthetic: ``bool[N]``.
        label: ``int64[N]``, the class that was balanced.
        key: ``int64[N]``, what made the synthetic sample; -1 for a real one.
        source: ``int64[N]``, the dataset row that a real sample is, or a synthetic one was made from; -1 for noise
            alone.
        weight: ``float32[N]``, the natural share of the class over its delivered share: a loss weighted by it sees the
            classes as often as the data set has them.
    """

    synthetic: Tensor
    label: Tensor
    key: Tensor
    source: Tensor
    weight: Tensor


class DeviceCollate:
    """Makes a batch to train on of a ``HostBatch``: moves it, fills its synthetic slots, merges in slot order,
    augments.

    Real and synthetic samples are augmented alike, under a random generator keyed by the batch's place in training; the
    global ones are left as they were. It runs in the main process.

    Args:
        generator: what fills synthetic slots; None for a plan without any.
        augment: a callable ``batch -> batch`` on the device, a Kornia module, or ``{"real": either, "synthetic":
            either}``.
        device: by default this process's current CUDA device, or the CPU where there is none.
        collate_fn: the one that ``HostCollate`` was given.
        normalized: ``(mean, std)`` if real images arrive normalised. Synthetic images are normalised like them; with an
            augmentation, all are augmented in [0, 1] and normalised after.
        tag: add a ``MixInfo`` to the batch.
        weight: ``float[C]``, the weight of each class in ``MixInfo``; by default 1.
        example: a sample of the dataset. With a ``collate_fn`` of the user's, synthetic samples are handed to it in the
            types of this one, tensors, numpy arrays, PIL images, numbers; and normalised if this one is, not if that is
            left to the ``collate_fn``.
        window: the most samples to remember of those that are used again, ``plan.reuse.window.sum()``; by default as
            many as the generator's ``cache_bytes`` hold.
        dataset: the one that the loader has: samples are then made ahead, as many together as suits the generator; and
            its faults can be filled with real samples.

    See ``SyntheticMixDataset`` and ``docs/by-hand.md`` for a complete example.
    """

    def __init__(
        self,
        generator: FrozenGenerator | None,
        augment: Any = None,
        device: torch.device | str | None = None,
        *,
        collate_fn: Callable[[list[Any]], Any] = default_collate,
        normalized: Any = None,
        tag: bool = False,
        weight: ArrayLike | None = None,
        example: Any = None,
        window: int | None = None,
        dataset: SyntheticMixDataset | None = None,
    ) -> None:
        self.device = default_device() if device is None else numbered(torch.device(device))
        self.generator = generator
        self._where = self.device if generator is None else generator.placed(self.device)
        self._supply = None if generator is None else Supply(generator, self._where, window)
        ahead = dataset is not None and generator is not None and not generator.wants_source
        self._coming = dataset.sampler.coming if dataset is not None and ahead else None
        self.collate_fn, self.tag, self.example = collate_fn, tag, example
        self.normalized = Normalization.of(normalized)
        self._change = None if augment is None else as_augment(_moved(augment, self.device), self.normalized)
        by_collate = example is not None and not arrives_normalized(example, self.normalized)
        self._of_samples = None if by_collate else self.normalized
        self._faults = Faults(generator, None if dataset is None else DatasetReserve(dataset))
        self._weight = None if weight is None else torch.as_tensor(weight, dtype=torch.float32)

    def __call__(self, host: HostBatch) -> Any:
        """``HostBatch`` to the batch that the user's collate makes, on the device.

        Raises:
            RuntimeError: in a DataLoader's worker.
            ValueError: if the generator's samples are not what ``dataset[i]`` yields.
        """
        return self.deliver(host)[0]

    def deliver(self, host: HostBatch) -> tuple[Any, HostBatch, Bools]:
        """The same; what its slots then are, which differs from what was planned where real samples had to fill some;
        and which of the synthetic samples were made for it, the others being remembered ones."""
        if get_worker_info() is not None:
            raise RuntimeError(
                "DeviceCollate: expected the main process, found a DataLoader worker, which must not hold a generator; "
                "write collate_fn=HostCollate() in the DataLoader, and batch = device_collate(host_batch) in the loop"
            )
        none_synthetic = not host.slots.synthetic.any()
        if none_synthetic and self._change is None and not self.tag:
            return to_device(host.real, self.device), host, _NONE
        is_synthetic = torch.from_numpy(host.slots.synthetic)
        if none_synthetic and self._change is None:
            batch, fresh = to_device(host.real, self.device), _NONE
        else:
            with torch.no_grad(), hermetic(host.draw, self.device, self._where):
                try:
                    batch, fresh = self._filled(host, is_synthetic)
                except Exception as error:  # noqa: BLE001 - raised again, unless it is a fault that can be filled
                    host = self._faults.filled(host, self._where, self._sources(host), error)
                    is_synthetic = torch.from_numpy(host.slots.synthetic)
                    batch, fresh = self._filled(host, is_synthetic)
                batch = batch if self._change is None else self._change(batch, is_synthetic)
        return (_tagged(batch, self._info(host.slots, is_synthetic)) if self.tag else batch), host, fresh

    @property
    def pace(self) -> Pace | None:
        """How long making samples takes; None without a generator."""
        return None if self._supply is None else self._supply.pace

    def forget(self) -> None:
        """All samples that are remembered or made ahead: something among them is wrong."""
        if self._supply is not None:
            self._supply.forget()

    def remember(self, count: int) -> None:
        """So many samples at most, from now on."""
        if self._supply is not None:
            self._supply.memo.count = count

    def finish(self, batch: Any, seed: int, epoch: int, step: int, rank: int = 0) -> Any:
        """Move a batch that no plan has made, all of it real, and augment it, keyed by its place in training."""
        if self._change is None:
            return to_device(batch, self.device)
        with torch.no_grad(), hermetic(int(sample_key(seed, Purpose.AUGMENT, epoch, step, rank)), self.device):
            return self._change(to_device(batch, self.device), None)

    @property
    def sources(self) -> dict[str, Any]:
        """How a generator is given the real samples that it makes others of, as plain values."""
        collated = self.collate_fn is default_collate
        normalized = self.normalized if collated else self._of_samples
        return {"collated": collated, "normalized": normalized and [list(normalized.mean), list(normalized.std)]}

    def _filled(self, host: HostBatch, is_synthetic: Tensor) -> tuple[Any, Bools]:
        if not host.slots.synthetic.any():
            return to_device(host.real if host.collated else self.collate_fn(host.real), self.device), _NONE
        if self._supply is None:
            raise ValueError(
                "DeviceCollate: expected a generator for the plan's synthetic slots, found None; write "
                "DeviceCollate(generator)"
            )
        chosen, sources = host.slots.synthetic, self._sources(host)
        wanted = host.slots[chosen]
        coming = () if self._coming is None else self._coming(host.epoch, host.step + 1)
        if host.collated:
            made, fresh = self._supply.batch(wanted, sources, coming)
            made = _normalized(made, self.normalized, ndim=4)
            if host.real is None:
                return contained(to_device(_own(made), self.device), as_collated(self.example)), fresh
            return _merge(to_device(host.real, self.device), to_device(made, self.device), is_synthetic), fresh
        items, fresh = self._supply.items(wanted, sources, coming)
        items = [_normalized(item, self._of_samples, ndim=3) for item in items]
        fakes, reals = iter(to_device(_own(items), torch.device("cpu"))), iter(host.real or ())
        example = self.example if self.example is not None or not host.real else host.real[0]
        samples = [like(next(fakes), example) if fake else next(reals) for fake in chosen]
        return to_device(self.collate_fn(samples), self.device), fresh

    def _sources(self, host: HostBatch) -> Any:
        """In [0, 1], as the generator yields images."""
        sources = to_device(host.sources, self._where)
        normalized = self.normalized if host.collated else self._of_samples
        if sources is None or normalized is None:
            return sources
        if host.collated:
            return on_image(sources, normalized.undo, ndim=4)
        return [on_image(source, normalized.undo, ndim=3) for source in sources]

    def _info(self, slots: Slots, is_synthetic: Tensor) -> MixInfo:
        label, key, source = (torch.tensor(part) for part in (slots.label, slots.key, slots.index))
        weight = torch.ones(len(label)) if self._weight is None else self._weight[slots.label]
        return MixInfo(*(sent(part, self.device) for part in (is_synthetic.clone(), label, key, source, weight)))


def _normalized(made: Any, normalized: Normalization | None, ndim: int) -> Any:
    return made if normalized is None else on_image(made, normalized.apply, ndim)


def _moved(augment: Any, device: torch.device) -> Any:
    if isinstance(augment, Mapping):
        return {side: _moved(one, device) for side, one in augment.items()}
    return augment.to(device) if isinstance(augment, nn.Module) else augment


def _merge(real: Any, synthetic: Any, is_synthetic: Tensor) -> Any:
    try:
        return merge(real, synthetic, is_synthetic)
    except ValueError as error:
        raise ValueError(
            f"generator: {error}; train one for this shape, or change its samples with generator.map(lambda sample, "
            "label: ...)"
        ) from error


def _own(made: Any) -> Any:
    """Copies that the user may write to and learn from: what a generator yields may be a view, or made for inference
    only."""
    return change(owned, made)


def _tagged(batch: Any, info: MixInfo) -> Any:
    """The batch with one element more: the key "mix" in a dict, the field ``mix`` in a named tuple."""
    if isinstance(batch, Mapping):
        tagged: Any = copy.copy(batch) if isinstance(batch, MutableMapping) else dict(batch)
        tagged["mix"] = info
        return tagged
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return _with_mix(type(batch))(*batch, info)
    if isinstance(batch, tuple):
        return (*batch, info)
    return [*batch, info] if isinstance(batch, list) else [batch, info]


@cache
def _with_mix(kind: type) -> type:
    return namedtuple(kind.__name__, (*kind._fields, "mix"))  # type: ignore[attr-defined]
