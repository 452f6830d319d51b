"""Generators for tests, yours too: one that counts what it is asked, one that goes wrong on purpose."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from onthefly.data.nested import change
from onthefly.data.spec import Spec
from onthefly.generators.base import FrozenGenerator, GeneratorAround
from onthefly.generators.noise import philox

Fault = Literal["raise", "nan", "range", "shape", "count"]
_FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nan": lambda part: part * torch.nan if part.is_floating_point() else part,
    "range": lambda part: part + 2,
    "shape": lambda part: part[..., 1:],
    "count": lambda part: part[1:],
}


class CountingGenerator(FrozenGenerator):
    """Makes images of noise at no cost, and counts what it was asked for.

    An image's first pixel holds its class over the number of classes, so that a test can read it back.

    Args:
        shape: ``(C, H, W)``.
        classes: how many, or their names.

    Attributes:
        calls: how often ``sample`` was called.
        samples: how many samples it made.
        keys: all keys it was asked for, in order.

    >>> gen = CountingGenerator((1, 4, 4), classes=2)
    >>> images = gen.sample(torch.tensor([0, 1]), torch.tensor([7, 8]))
    >>> gen.calls, gen.samples, images[:, 0, 0, 0].tolist()
    (1, 2, [0.0, 0.5])
    """

    batch_size = 256  # measuring it would count

    def __init__(self, shape: tuple[int, int, int], classes: Any) -> None:
        self.spec = Spec.image(shape, classes)
        self.calls = self.samples = 0
        self.keys: list[int] = []

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        self.calls, self.samples = self.calls + 1, self.samples + len(keys)
        self.keys += keys.tolist()
        shape = self.spec.fields["image"].shape
        images = (philox(keys, torch.Size(shape).numel()) / 2**32).float().clamp(max=1).reshape(-1, *shape)
        images[:, 0, 0, 0] = labels / self.classes.count
        return images


class FaultyGenerator(GeneratorAround):
    """Passes on what another generator makes, except that one call goes wrong, or some samples do.

    Args:
        inner: the generator that works.
        fault: "raise" an error, or yield "nan" values, values out of "range", another "shape", or a smaller "count".
        call: which call goes wrong, from 0; None for every call.
        where: instead, every call with a sample for whose key this says so: ``int64[N] -> bool[N]``.
    """

    def __init__(
        self,
        inner: FrozenGenerator,
        fault: Fault,
        call: int | None = 0,
        *,
        where: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(inner)
        self.fault, self.call, self.calls, self._is_wrong = fault, call, 0, where

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        made = self.inner.sample(labels, keys, sources)
        self.calls += 1
        if not self._goes_wrong(keys):
            return made
        if self.fault == "raise":
            raise RuntimeError("FaultyGenerator: raised on purpose")
        wrong = _FAULTS[self.fault]
        return change(lambda part: wrong(part) if isinstance(part, Tensor) else part, made)

    def _goes_wrong(self, keys: Tensor) -> bool:
        if self._is_wrong is not None:
            return bool(self._is_wrong(keys).any())
        return self.call in (None, self.calls - 1)
