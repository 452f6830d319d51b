"""Generators that are a network from noise and a class to a sample: the GAN, the VAE, and other people's modules."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Spec
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.batching import best_batch_size
from onthefly.generators.families import family_of
from onthefly.generators.noise import normal
from onthefly.generators.running import (
    Call,
    Compile,
    Compiled,
    as_compile,
    as_dtype,
    check_bfloat16,
    device_of,
    in_pieces,
    lay_out,
    numbers,
)
from onthefly.mixing.given import at_least_one

_PROBES = 4  # samples that are made in both kinds of numbers


class LatentGenerator(FrozenGenerator):
    """A network that makes samples from normal noise and a class, frozen where it stands.

    Args:
        network: put into eval mode, its parameters without gradient.
        spec: what it makes.
        latent: the shape of one sample's noise.
        call: ``call(network, noise, labels)``, if not ``network(noise, labels)``; its result is what the spec says.
        card: what is known about it.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        latent: Sequence[int],
        *,
        call: Call | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.spec, self.latent, self.card = spec, tuple(latent), card
        self._call = call or _plain_call
        self._compiled: Compiled | None = None
        self._lay_out()

    @property
    def makes(self) -> NDArray[np.bool_]:
        """The classes that it was shown, as its card says."""
        shown = (self.card or {}).get("training", {}).get("images_of_each_class")
        return super().makes if shown is None else np.asarray(shown) > 0

    def running(
        self,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype | str | None = None,
        compile: Compile = False,  # noqa: A002 - torch's own word for it
    ) -> Self:
        """The same generator, run in another way; what isn't said is as at first.

        Args:
            batch_size: the most samples that the network makes at a time; None for as many as are asked for at once, or
                as are made fastest (``best_batch_size``) where something has to choose.
            dtype: "bfloat16" to save time where the hardware has it, of a network that allows it. Samples are float32
                still, within 0.02 of what they were, and depend on their batch in the last bits of a bfloat16.
            compile: True to have the network compiled by torch when it is first used, which takes up to minutes;
                "reduce-overhead" for CUDA graphs too, which help small networks. It is then always run on
                ``batch_size`` samples, some of which may be left unused.

        Raises:
            ValueError: for a family or a module whose samples in bfloat16 would not be close enough.

        >>> from onthefly.generators import from_module
        >>> linear = from_module(nn.Linear(4, 8), latent=4, classes=2, call=lambda net, noise, labels: net(noise))
        >>> linear.running(batch_size=2).sample(torch.tensor([0, 1, 1]), torch.tensor([7, 8, 9])).shape
        torch.Size([3, 8])
        """
        again, how = copy.copy(self), as_compile(compile)
        again.batch_size = None if batch_size is None else at_least_one(batch_size, "batch_size")
        again.dtype = as_dtype(dtype)
        vars(again)["_measured"] = {}
        again._compiled = None if how is False else Compiled(self.network, self._call, how)
        if again.dtype == torch.bfloat16:
            again._check_bfloat16()
        again._lay_out()
        return again

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        """``int64[N]`` classes and ``int64[N]`` keys to samples ``[N, ...]``."""
        size = best_batch_size(self, keys.device) if self._compiled else self.batch_size
        if size is None or not len(keys):
            return self.at_once(labels, keys)
        call = self._compiled or self._plain
        return in_pieces(partial(self._made, call), labels, keys, size, padded=self._compiled is not None)

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        return self._made(self._plain, labels, keys)

    @property
    def where(self) -> torch.device:
        return device_of(self.network)

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        self._lay_out()
        return super().to(device)

    def _plain(self, noise: Tensor, labels: Tensor) -> Tensor:
        return self._call(self.network, noise, labels)

    def _made(self, call: Callable[[Tensor, Tensor], Tensor], labels: Tensor, keys: Tensor) -> Tensor:
        with torch.no_grad(), numbers(self.dtype, keys.device):
            samples = call(normal(keys, self.latent), labels)
        if self.dtype == torch.bfloat16 and samples.dtype == torch.bfloat16:
            samples = samples.float()
        return samples if self.card is None else samples.contiguous()  # channels last shows in strides

    def _lay_out(self) -> None:
        """A module of the user's keeps its own layout, since that can be seen: safetensors doesn't save another."""
        if self.card is not None:
            lay_out(self.network, self.dtype)

    def _check_bfloat16(self) -> None:
        family = (self.card or {}).get("family")
        if family is not None and not family_of(family).bfloat16:
            raise ValueError(
                f"dtype: expected 'float32' for a {family}, whose samples in bfloat16 would be others, found "
                "'bfloat16'; leave dtype= out"
            )
        plain = copy.copy(self)
        plain.dtype = torch.float32
        keys = torch.arange(_PROBES, device=self.where)
        field = next(iter(self.spec.fields.values()))
        with hermetic(0, self.where):
            made, expected = (one.at_once(keys % self.classes.count, keys) for one in (self, plain))
        check_bfloat16(made, expected, field.range)


def _plain_call(network: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:
    samples: Tensor = network(noise, labels)
    return samples
