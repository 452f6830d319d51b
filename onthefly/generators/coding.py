"""Coding: between what `dataset[i]` yields and the tensor that a network makes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor

from onthefly.data.spec import Field


class Coding(ABC):
    """How samples become tensors for a network, and back: each by itself, and always in the same way.

    Attributes:
        kind: what a card calls it.
        looks: whether it is fitted to many samples, or one tells it all.
        sees_all: whether it is fitted to every sample there is, in the order of the dataset, held out or not.
        options: the parts of a family's config that ``fit`` takes by name.
        field: what a sample is.
        shape: of one encoded sample.
        bounded: whether encoded values lie in [0, 1]; else their mean is about 0 and their scale about 1.
        tokens: how many different whole numbers encoded samples are made of, from 0; 0 where they are ``float32``.
    """

    kind: ClassVar[str]
    looks: ClassVar[bool] = True
    sees_all: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()
    field: Field
    shape: tuple[int, ...]
    bounded: bool
    tokens: int = 0

    @classmethod
    @abstractmethod
    def fit(cls, field: Field, samples: Sequence[Any], dataset: Any) -> Self:
        """The coding that suits these samples of a dataset, each of them as ``dataset[i]`` yields it, without label."""

    @abstractmethod
    def encode(self, samples: Any) -> Tensor:
        """N samples, batched, to ``float32[N, *shape]``; of tokens, ``int64[N, *shape]``."""

    @abstractmethod
    def decode(self, encoded: Tensor) -> Any:
        """What ``encode`` makes, to N samples, batched."""

    def jitter(self, encoded: Tensor) -> Tensor:
        """Others at random, from torch's global generator, that are decoded to the same samples: a density can be
        fitted to them where samples are distinct values (dequantisation: Theis, van den Oord and Bethge, ICLR 2016)."""
        return encoded

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What a card holds of it, beside its kind and the field: plain values."""

    @classmethod
    @abstractmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        """The coding that ``to_json`` wrote."""


class Unit(Coding):
    """Images and waveforms: their range becomes [0, 1].

    >>> import torch
    >>> waves = Unit(Field((1, 4), "float32", (-1.0, 1.0)))
    >>> waves.encode(torch.tensor([[[-1.0, 0.0, 0.5, 1.0]]]))
    tensor([[[0.0000, 0.5000, 0.7500, 1.0000]]])
    """

    kind = "unit"
    looks = False
    bounded = True

    def __init__(self, field: Field) -> None:
        self.field, self.shape = field, field.shape
        self._low, self._high = field.range or (0.0, 1.0)

    @classmethod
    def fit(cls, field: Field, samples: Sequence[Any], dataset: Any) -> Self:
        return cls(field)

    def encode(self, samples: Tensor) -> Tensor:
        if (self._low, self._high) == (0.0, 1.0):
            return samples
        return (samples - self._low) / (self._high - self._low)

    def decode(self, encoded: Tensor) -> Tensor:
        if (self._low, self._high) == (0.0, 1.0):
            return encoded
        return encoded * (self._high - self._low) + self._low

    def to_json(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        return cls(field)
