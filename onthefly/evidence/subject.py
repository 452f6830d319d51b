"""The subject: a user's loader, taken apart so that copies of it can be measured while it stays where it is."""

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from onthefly.augment.apply import Change, as_augment, is_kornia, takes_bytes
from onthefly.augment.fused import Fused
from onthefly.augment.fusing.chunks import as_floats
from onthefly.checks import is_stock
from onthefly.data.batches import as_collated, default_device, to_device
from onthefly.data.images import image_in, on_image
from onthefly.data.normalize import Normalization, arrives_normalized
from onthefly.data.processes import this_shard
from onthefly.data.stream import MixStream
from onthefly.evidence.contender import no_batch
from onthefly.generators.base import FrozenGenerator
from onthefly.loader import Mix, MixLoader
from onthefly.mixing.plan import MixPlan
from onthefly.wrapping import arguments_of, wrap


@dataclass(frozen=True)
class Subject:
    """A loader to measure: a wrapped one, a plain one, or a stream of batches.

    Attributes:
        loader: the user's own. It is never iterated, unless it is a stream that can't be copied.
    """

    loader: Any

    @property
    def mix(self) -> Mix | None:
        """What ``wrap`` added to it; None where nobody has wrapped it."""
        return self.loader.mix if isinstance(self.loader, MixLoader) else None

    @property
    def plan(self) -> MixPlan | None:
        """Of a loader that is planned."""
        return self.loader.plan if isinstance(self.loader, MixLoader) else None

    @property
    def is_stream(self) -> bool:
        """Whether its batches can't be asked for by row."""
        return not _is_known(self.loader) or isinstance(self.loader.dataset, IterableDataset)

    @property
    def batch_size(self) -> int:
        """Of a loader; 0 where that isn't known before a batch comes."""
        return getattr(self.loader, "batch_size", None) or 0

    def settings(self) -> dict[str, int | None]:
        """What is known about the loader; as values that JSON can hold."""
        try:
            samples = len(self.loader.dataset)
        except (AttributeError, TypeError, NotImplementedError):
            samples = None
        return {
            "batch_size": self.batch_size or None,
            "workers": getattr(self.loader, "num_workers", 0),
            "samples": samples,
        }

    @property
    def device(self) -> torch.device:
        """Where batches are delivered."""
        return self.loader.device if self.mix is not None else default_device()

    @property
    def generator(self) -> FrozenGenerator | None:
        """Under the classes of the dataset, on the device."""
        return None if self.mix is None else self.mix.collate.generator

    @cached_property
    def augment(self) -> Any:
        """A copy of the augmentation: Kornia's remember what they drew last."""
        return None if self.mix is None else _copied(self.mix.asked["augment"])

    @property
    def sequential(self) -> Any:
        """The augmentation as one would run it by hand: what is fused here, as Kornia runs it."""
        return _unfused(self.augment)

    @property
    def not_fused(self) -> str:
        """What to add to a note where a mix is fused, and what it is compared with is not."""
        return "; augmented by Kornia, not fused" if _is_fused(self.augment) else ""

    @property
    def where(self) -> str:
        """Where samples are read."""
        return "by the workers" if getattr(self.loader, "num_workers", 0) else "in the main process"

    @property
    def normalized(self) -> Normalization | None:
        """How images arrive."""
        return None if self.mix is None else self.mix.collate.normalized

    def change(self, augment: Any) -> Change:
        """An augmentation as it runs on a batch on the device; of bytes, floats are made where it takes none."""
        run = as_augment(_on(augment, self.device), self.normalized)
        if not is_kornia(augment) or takes_bytes(augment) or not takes_bytes(self.augment):
            return run
        image = image_in(self.first, ndim=4, or_bytes=True)
        if image is None or image.dtype != torch.uint8:
            return run
        return lambda batch, synthetic: run(on_image(batch, as_floats, 4, "augment", or_bytes=True), synthetic)

    def plain(self, **changes: Any) -> Any:
        """The loader as it was before somebody wrapped it, with workers and random numbers of its own; or with some
        other settings. Of a stream that is no ``DataLoader`` of torch's: its source."""
        loader = self.loader
        if isinstance(getattr(loader, "dataset", None), MixStream):
            loader = loader.dataset.source.batches
        if not _is_known(loader):
            return loader
        kept = _with_own_sampler(arguments_of(loader)) | {"generator": None} | changes
        if "num_workers" in changes and not changes["num_workers"]:
            kept |= {"prefetch_factor": None, "multiprocessing_context": None, "timeout": 0}
        return DataLoader(**kept | {"persistent_workers": kept["num_workers"] > 0})

    @cached_property
    def first(self) -> Any:
        """A batch of the plain loader, on the device."""
        batches = self.plain(num_workers=0)
        for batch in batches() if callable(batches) else batches:
            return to_device(batch, self.device)
        raise no_batch(batches)

    def mixed(self, ratio: float | None = None) -> MixLoader[Any]:
        """Another loader with the same mix, at the same epoch; or with this ratio wherever there are real samples."""
        mix = cast(Mix, self.mix)
        own = {**mix.asked, "labels": self._labels(), "augment": self.augment, "device": self.device}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user was told when the loader itself was wrapped
            made = wrap(
                self.plain(), mix.generators, **own | {"ratio": mix.wished if ratio is None else self._ratio(ratio)}
            )
        if ratio is None and made.plan is not None and self.plan is not None:
            made.plan.log = self.plan.log
            made.set_epoch(
                self.loader.epoch if self.plan.epochs is None else min(self.loader.epoch, self.plan.epochs - 1)
            )
        return made

    @property
    def normalized_samples(self) -> Normalization | None:
        """How images arrive in single samples: their collate function may normalise them later."""
        mix = cast(Mix, self.mix)
        return self.normalized if arrives_normalized(mix.collate.example, self.normalized) else None

    def ask(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Classes that the generator can make and keys, ``int64[count]`` each, on the device."""
        labels = rng.choice(np.flatnonzero(cast(FrozenGenerator, self.generator).makes), count)
        keys = rng.integers(0, 1 << 62, count)
        return torch.from_numpy(labels).to(self.device), torch.from_numpy(keys).to(self.device)

    def generate(self, count: int, rng: np.random.Generator) -> Any:
        """A batch as the generator makes it, with nothing around it."""
        generator = cast(FrozenGenerator, self.generator)
        labels, keys = self.ask(count, rng)
        with torch.no_grad():
            made = generator.sample(labels, keys)
        return [made, labels] if isinstance(made, Tensor) else as_collated(made)

    def check(self) -> None:
        """Refuse what can't be measured."""
        if this_shard().world > 1:
            raise RuntimeError(
                "bench: expected one process, found several that torch.distributed joins, which would wait for each "
                "other; run it in a script of its own"
            )
        if isinstance(self.loader, Iterator) or not (isinstance(self.loader, Iterable) or callable(self.loader)):
            raise TypeError(
                "bench: expected a loader that wrap() returned, a DataLoader, or batches that can be gone through "
                f"again, found a {type(self.loader).__name__}; pass the loader itself, not iter(loader)"
            )

    def _labels(self) -> Any:
        """As they were given, but for those that all samples were read for."""
        given = cast(Mix, self.mix).asked["labels"]
        if self.plan is None or not isinstance(given, str):
            return given
        names: NDArray[Any] = np.array([self.plan.classes.key(number) for number in range(self.plan.classes.count)])
        return names[self.plan.labels]

    def _ratio(self, ratio: float) -> Any:
        """A class without real samples has to be made."""
        if self.plan is None:
            return ratio
        plan = self.plan
        real = np.bincount(plan.labels, minlength=plan.classes.count)
        return {plan.classes.key(number): ratio if count else 1.0 for number, count in enumerate(real.tolist())}


def _is_known(loader: Any) -> bool:
    """Whether it makes its batches as torch's does, or as a mix does, and not in some way of its own."""
    return isinstance(loader, MixLoader) or (isinstance(loader, DataLoader) and is_stock(loader))


def _copied(augment: Any) -> Any:
    if isinstance(augment, Mapping):
        return {side: _copied(one) for side, one in augment.items()}
    return copy.deepcopy(augment) if isinstance(augment, nn.Module) else augment


def _unfused(augment: Any) -> Any:
    if isinstance(augment, Mapping):
        return {side: _unfused(one) for side, one in augment.items()}
    return augment.pipeline if isinstance(augment, Fused) else augment


def _is_fused(augment: Any) -> bool:
    return any(map(_is_fused, augment.values())) if isinstance(augment, Mapping) else isinstance(augment, Fused)


def _on(augment: Any, device: torch.device) -> Any:
    if isinstance(augment, Mapping):
        return {side: _on(one, device) for side, one in augment.items()}
    return augment.to(device) if isinstance(augment, nn.Module) else augment


def _with_own_sampler(arguments: dict[str, Any]) -> dict[str, Any]:
    """A sampler may hold random numbers, or a place in them: these stay as they are."""
    sampler = arguments.get("sampler")
    if type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(arguments["dataset"]):
        return {name: value for name, value in arguments.items() if name != "sampler"} | {"shuffle": True}
    shared = {id(arguments["dataset"]): arguments["dataset"]}  # samplers often hold the dataset, which may be large
    own = {
        name: copy.deepcopy(arguments[name], dict(shared)) for name in ("sampler", "batch_sampler") if name in arguments
    }
    return arguments | own
