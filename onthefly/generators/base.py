"""The one seam between a mix and whatever makes its synthetic samples."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from onthefly.data.batches import as_collated, unbatch
from onthefly.data.spec import Spec
from onthefly.generators.deferred import expect
from onthefly.generators.noise import philox
from onthefly.generators.running import Compile
from onthefly.generators.sound import check_finite, check_samples
from onthefly.mixing.classes import Classes
from onthefly.mixing.given import at_least_one
from onthefly.mixing.keys import Purpose

PerSample = Callable[[Any, Tensor], Any]

OnFault = Literal["raise", "real"]


class FrozenGenerator(ABC):
    """A generator in eval mode and without gradient, which makes any sample again from its class and key.

    To write one, set ``spec`` and define ``sample``. What the loader delivers is what ``dataset[i]`` yields, batched:
    by default the sample and its label; ``map`` makes it anything else.

    Attributes:
        spec: what one sample is, and the classes.
        wants_source: whether samples are made from real ones.
        card: what is known about a checkpoint; None for a generator that has none.
        reuse: how often the mix uses each sample, never twice in a batch.
        cache_bytes: what samples that are to be used again may take on the device.
        max_overhead: what making samples may take, as a share of everything else in an epoch; samples are used more
            often where it would take more. None for any.
        batch_size: how many samples one forward is to make; None to find out what is fastest.
        on_fault: what a mix does about a sample that goes wrong: "raise", or "real" to fill its slot with a real one.
        dtype: what it computes in, where it isn't float32.
        device: where it was put by ``to``, and stays; None for wherever a loader delivers.
        path: the checkpoint that it was loaded from; None for any other.
        sha256: of that file, as ``sha256sum`` prints it.

    >>> class Grey(FrozenGenerator):
    ...     spec = Spec.image((1, 8, 8), classes=2)
    ...     def sample(self, labels, keys, sources=None):
    ...         return (keys % 256 / 256).float()[:, None, None, None].expand(-1, 1, 8, 8)
    >>> images, labels = Grey().batch(torch.tensor([0, 1]), torch.tensor([7, 8]))
    >>> images.shape, labels.tolist()
    (torch.Size([2, 1, 8, 8]), [0, 1])
    """

    spec: Spec
    wants_source: bool = False
    card: Mapping[str, Any] | None = None
    reuse: int = 1
    cache_bytes: int = 1 << 30
    max_overhead: float | None = None
    batch_size: int | None = None
    on_fault: OnFault = "raise"
    dtype: torch.dtype = torch.float32
    device: torch.device | None = None
    path: Path | None = None
    sha256: str | None = None
    _where: torch.device = torch.device("cpu")

    @abstractmethod
    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        """Make samples, each a function of its own label, key and source, whatever stands beside it.

        Args:
            labels: ``int64[N]``, classes of this generator, on its device.
            keys: ``int64[N]``, non-negative, on its device.
            sources: for a generator that wants them: one real sample for each, images in [0, 1]; collated by
                ``default_collate``, or a list of samples where the loader has another ``collate_fn``.

        Returns:
            A tensor ``[N, ...]``, or a list of N texts, which is delivered with its labels; or N of what ``dataset[i]``
            yields, batched.
        """

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        """``sample`` in a single forward, whatever ``batch_size`` is: what is timed to find that."""
        return self.sample(labels, keys, sources)

    def to(self, device: torch.device | str) -> Self:
        """Move to a device, and stay there wherever a loader delivers; returns itself.

        One that holds tensors moves them, and then calls this.
        """
        self.device = self._where = torch.device(device)
        return self

    @property
    def where(self) -> torch.device:
        """Where it is now, and is to be asked."""
        return self._where if self.device is None else torch.device(self.device)

    def placed(self, device: torch.device) -> torch.device:
        """Where it runs for a loader that delivers on a device, and is to be asked: there, to which it moves, unless
        it was put elsewhere by ``to``.

        >>> from onthefly.testing import CountingGenerator
        >>> generator = CountingGenerator((1, 8, 8), classes=2)
        >>> generator.placed(torch.device("cpu")), generator.to("meta").placed(torch.device("cpu"))
        (device(type='cpu'), device(type='meta'))
        """
        if self.device is not None:
            return self.where
        self.to(device)
        self.device, self._where = None, device  # it is there for the loader's sake
        return device

    @property
    def makers(self) -> "list[FrozenGenerator]":
        """The generators that its samples come from: itself, or those that it is around."""
        return [self]

    @property
    def measured(self) -> dict[torch.device, int]:
        """The batch size at which it was found to be fastest on each device; its copies share it."""
        known: dict[torch.device, int] = vars(self).setdefault("_measured", {})
        return known

    @property
    def classes(self) -> Classes:
        """The classes it can make."""
        return self.spec.classes

    @property
    def makes(self) -> NDArray[np.bool_]:
        """Which of its classes it can make: ``bool[C]``."""
        return np.ones(self.classes.count, np.bool_)

    @property
    def uses(self) -> NDArray[np.int64]:
        """How often samples of each class are used: ``int64[C]``."""
        return np.full(self.classes.count, self.reuse)

    @property
    def refills(self) -> NDArray[np.bool_]:
        """Of which classes a slot is filled with a real sample where the synthetic one goes wrong: ``bool[C]``."""
        return np.full(self.classes.count, as_on_fault(self.on_fault) == "real")

    def reused(self, times: int = 1, *, cache_bytes: int = 1 << 30, max_overhead: float | None = None) -> Self:
        """The same generator, each of whose samples a mix uses several times: that much less is generated.

        A sample's uses lie as close together as they can without two of them being in one batch, and it is remembered
        between them, on the device.

        Args:
            times: uses of each sample, at least.
            cache_bytes: what the remembered samples may take; what finds no room is made again.
            max_overhead: what making samples may take, as a share of everything else in an epoch, such as 0.1: after
                each epoch samples are used as often as that takes. The first one is as ``times`` says.

        >>> from onthefly.testing import CountingGenerator
        >>> CountingGenerator((1, 8, 8), classes=2).reused(4).uses
        array([4, 4])
        """
        again = copy.copy(self)
        vars(again)["_measured"] = self.measured
        again.reuse, again.cache_bytes = at_least_one(times, "reuse"), at_least_one(cache_bytes, "cache_bytes")
        again.max_overhead = _as_share(max_overhead)
        return again

    def running(
        self,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype | str | None = None,
        compile: Compile = False,  # noqa: A002 - torch's own word for it
    ) -> Self:
        """The same generator, run in another way; see ``LatentGenerator.running``.

        Raises:
            TypeError: for one that is no network of this library's.
        """
        raise TypeError(
            f"running: expected a generator that is a network, from train(), load() or from_module(), found a "
            f"{type(self).__name__}; set batch_size on it, and run it as suits it in its sample()"
        )

    def batch(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        """What ``default_collate`` would make of N samples of the dataset: what ``sample`` yields, with the labels if
        that is a tensor or texts: ``[samples, labels]``.

        Raises:
            ValueError: if the samples are not as many as asked for, not finite, or, where ``sample`` yields a tensor,
                not of the declared shape, dtype and range.
        """
        with torch.no_grad():
            made = self.sample(labels, keys, sources)
        check_samples(made, len(labels), self.spec)
        if isinstance(made, Tensor):
            return [made, labels]
        return [tuple(made), labels] if _are_texts(made) else as_collated(made)

    def items(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[Any]:
        """N samples, each what ``dataset[i]`` yields."""
        return unbatch(self.batch(labels, keys, sources), len(labels))

    def map(self, fn: PerSample) -> "FrozenGenerator":
        """A generator whose samples are ``fn(sample, label)``, whatever ``dataset[i]`` yields: a dict, an image and its
        mask, ...

        Args:
            fn: deterministic; gets one sample and its label (``int64[]``), both on the device.

        >>> from onthefly.testing import CountingGenerator
        >>> gen = CountingGenerator((1, 8, 8), classes=2).map(lambda x, y: {"pixel_values": x, "labels": y})
        >>> sorted(gen.batch(torch.tensor([0]), torch.tensor([1])))
        ['labels', 'pixel_values']
        """
        return MappedGenerator(self, fn)

    def relabel(self, table: Mapping[Any, Any], classes: Any = None) -> "FrozenGenerator":
        """A generator for other classes, each made of one or several of this one's.

        Args:
            table: ``{class: class of this generator, or several}``, by number or name. Among several the sample's key
                chooses.
            classes: the number or the names of the new classes, where the table's keys don't tell: names alone, or 0,
                1, 2, ...

        >>> from onthefly.testing import CountingGenerator
        >>> gen = CountingGenerator((1, 8, 8), classes=("cat", "car", "bus"))
        >>> gen.relabel({"animal": "cat", "vehicle": ("car", "bus")}).classes
        classes animal, vehicle
        """
        return RelabeledGenerator(self, table, classes)


class GeneratorAround(FrozenGenerator):
    """A generator that does something to what another one makes, and is otherwise like it."""

    def __init__(self, inner: FrozenGenerator) -> None:
        self.inner, self.spec = inner, inner.spec
        self.wants_source, self.card = inner.wants_source, inner.card
        self.reuse, self.cache_bytes, self.max_overhead = inner.reuse, inner.cache_bytes, inner.max_overhead
        self.batch_size = inner.batch_size

    @property
    def device(self) -> torch.device | None:  # type: ignore[override]
        """Where the inner one was put."""
        return self.inner.device

    @property
    def where(self) -> torch.device:
        return self.inner.where

    @property
    def on_fault(self) -> OnFault:
        """What is done about a sample that goes wrong, here or inside."""
        return self.inner.on_fault

    @on_fault.setter
    def on_fault(self, policy: OnFault) -> None:
        self.inner.on_fault = policy

    @property
    def refills(self) -> NDArray[np.bool_]:
        return self.inner.refills

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """What the inner one computes in."""
        return self.inner.dtype

    @property
    def makers(self) -> list[FrozenGenerator]:
        return self.inner.makers

    @property
    def makes(self) -> NDArray[np.bool_]:
        return self.inner.makes

    @property
    def uses(self) -> NDArray[np.int64]:
        return self.inner.uses

    def reused(self, times: int = 1, *, cache_bytes: int = 1 << 30, max_overhead: float | None = None) -> Self:
        again = super().reused(times, cache_bytes=cache_bytes, max_overhead=max_overhead)
        again.inner = self.inner.reused(times, cache_bytes=cache_bytes, max_overhead=max_overhead)
        return again

    def running(
        self,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype | str | None = None,
        compile: Compile = False,  # noqa: A002 - torch's own word for it
    ) -> Self:
        again = copy.copy(self)
        again.inner = self.inner.running(batch_size=batch_size, dtype=dtype, compile=compile)
        again.batch_size = again.inner.batch_size
        return again

    def to(self, device: torch.device | str) -> Self:
        self.inner.to(device)
        return self

    def placed(self, device: torch.device) -> torch.device:
        return self.inner.placed(device)


class MappedGenerator(GeneratorAround):
    """A generator whose every sample goes through a function; made by ``FrozenGenerator.map``."""

    def __init__(self, inner: FrozenGenerator, fn: PerSample) -> None:
        super().__init__(inner)
        self.fn = fn

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return default_collate(self.items(labels, keys, sources))

    def batch(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return self.sample(labels, keys, sources)

    def items(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[Any]:
        with torch.no_grad():
            made = self.inner.sample(labels, keys, sources)
            check_samples(made, len(labels), self.inner.spec)
            items = [self.fn(sample, label) for sample, label in zip(unbatch(made, len(labels)), labels, strict=True)]
        check_finite(items, missing=any(field.missing for field in self.spec.fields.values()))
        return items

    def map(self, fn: PerSample) -> FrozenGenerator:
        return MappedGenerator(self.inner, lambda sample, label: fn(self.fn(sample, label), label))

    def relabel(self, table: Mapping[Any, Any], classes: Any = None) -> FrozenGenerator:
        return MappedGenerator(self.inner.relabel(table, classes), self.fn)


class RelabeledGenerator(GeneratorAround):
    """A generator under other classes; made by ``FrozenGenerator.relabel``."""

    def __init__(self, inner: FrozenGenerator, table: Mapping[Any, Any], classes: Any = None) -> None:
        super().__init__(inner)
        known = Classes.of_keys(table, "relabel", "; or pass classes=") if classes is None else Classes.of(classes)
        self.spec = Spec(inner.spec.fields, known)
        self._options = _options(table, self.spec.classes, inner)
        self._several = (self._options >= 0).sum(dim=1)

    @property
    def makes(self) -> NDArray[np.bool_]:
        return np.asarray(self._several.cpu() > 0)

    @property
    def uses(self) -> NDArray[np.int64]:
        """The least of the classes that each is made of."""
        options = self._options.cpu().numpy()
        uses = np.where(options >= 0, self.inner.uses[options], np.iinfo(np.int64).max).min(axis=1)
        return np.where(self.makes, uses, 1)

    @property
    def refills(self) -> NDArray[np.bool_]:
        """Where all classes that each is made of are."""
        options = self._options.cpu().numpy()
        return np.asarray(np.where(options >= 0, self.inner.refills[options], True).all(axis=1))

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        several = self._several.to(labels.device)[labels]
        expect(torch.where(several > 0, -1, labels), self._check_known)
        choice = philox(keys, 1, stream=Purpose.RELABEL)[:, 0] % several.clamp(min=1)
        # What is unknown is refused, if only when the batch is handed out; until then it must be some class.
        chosen = self._options.to(labels.device)[labels, choice].clamp(min=0)
        return self.inner.sample(chosen, keys, sources)

    def to(self, device: torch.device | str) -> Self:
        self._options, self._several = self._options.to(device), self._several.to(device)
        return super().to(device)

    def placed(self, device: torch.device) -> torch.device:
        where = super().placed(device)
        self._options, self._several = self._options.to(where), self._several.to(where)
        return where

    def _check_known(self, unknown: list[float]) -> None:
        missing = sorted({int(number) for number in unknown if number >= 0})
        if missing:
            raise ValueError(
                f"relabel: expected classes that the table says how to make, found {self.classes.listed(missing)}; "
                "add them"
            )


def _are_texts(made: Any) -> bool:
    return isinstance(made, (list, tuple)) and all(isinstance(one, str) for one in made)


def _as_share(max_overhead: float | None) -> float | None:
    if max_overhead is not None and not 0 < max_overhead < math.inf:
        raise ValueError(
            f"max_overhead: expected more than 0, a share of the training time, found {max_overhead!r}; write "
            "max_overhead=0.1"
        )
    return max_overhead


def as_on_fault(policy: Any) -> OnFault:
    """What is done about samples that go wrong."""
    if policy not in get_args(OnFault):
        raise ValueError(
            f"on_fault: expected 'raise' or 'real', found {policy!r}; 'real' fills the slot with a real sample"
        )
    known: OnFault = policy
    return known


def _options(table: Mapping[Any, Any], classes: Classes, inner: FrozenGenerator) -> Tensor:
    """``int64[C, most]``: the inner classes that each class may be made of, then -1."""
    rows: list[list[int]] = [[] for _ in range(classes.count)]
    for key, value in table.items():
        several = (value,) if isinstance(value, (str, Integral)) else value
        numbers = {inner.classes.number(one, "relabel") for one in several}
        rows[classes.number(key, "relabel")] = sorted(number for number in numbers if inner.makes[number])
    most = max(1, *map(len, rows))
    return torch.tensor([row + [-1] * (most - len(row)) for row in rows])
