"""Generators that are a network from noise and a class to a sample: the GAN, the VAE, and other people's modules."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Spec
from onthefly.generators.batching import best_batch_size
from onthefly.generators.coding import Coding
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.noise import normal
from onthefly.generators.running import (
    Call,
    Compile,
    Compiled,
    as_compile,
    as_dtype,
    check_bfloat16,
    in_pieces,
    lay_out,
    numbers,
)
from onthefly.generators.sound import check_asked
from onthefly.generators.sources import field_of
from onthefly.mixing.given import at_least_one

_PROBES = 4  # samples that are made in both kinds of numbers


class LatentGenerator(NetworkGenerator):
    """A network that makes samples from normal noise and a class, frozen where it stands.

    Args:
        network: put into eval mode, its parameters without gradient.
        spec: what it makes.
        latent: the shape of one sample's noise.
        call: ``call(network, noise, labels)``, if not ``network(noise, labels)``; its result is what the spec says, or
            what the coding decodes. Where there are conditions it gets them as ``conditions=float32[N, conditions]``,
            where samples are made of real ones, these as ``source=``, encoded, and the keys as ``keys=`` if it is
            ``keyed``.
        card: what is known about it.
        coding: decodes what the network makes.

    Attributes:
        conditions: how many numbers the network takes for them; what attributes don't fill is 0.
        keyed: whether the call draws more noise, by the samples' keys: of streams from 1000 on.
    """

    conditions: int = 0
    keyed: bool = False

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        latent: Sequence[int],
        *,
        call: Call | None = None,
        card: Mapping[str, Any] | None = None,
        coding: Coding | None = None,
    ) -> None:
        super().__init__(network, spec, card=card)
        self.latent, self.coding = tuple(latent), coding
        self._call = call or _plain_call
        self._compiled: Compiled | None = None
        self._lay_out()

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
        if how is not False and self.wants_source and batch_size is None:
            raise ValueError(
                "compile: expected batch_size= too for samples that are made from real ones, found "
                f"compile={compile!r} alone; write batch_size=64"
            )
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
        check_asked(labels, keys, self.classes)
        size = self.batch_size or (best_batch_size(self, keys.device) if self._compiled else None)
        if size is None or not len(keys):
            return self.at_once(labels, keys, sources)
        make = partial(self._made, self._compiled or self._plain)
        return in_pieces(
            make, (labels, keys, *self._given(sources, len(keys))), size, padded=self._compiled is not None
        )

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        return self._made(self._plain, labels, keys, *self._given(sources, len(keys)))

    def encoded(self, labels: Tensor, keys: Tensor) -> Tensor:
        """What the network makes of ``int64[N]`` classes and keys, before it is decoded: ``float32[N, ...]``."""
        return self._encoded(self._plain, labels, keys)

    def to(self, device: torch.device | str) -> Self:
        super().to(device)
        self._lay_out()
        return self

    def _plain(self, noise: Tensor, labels: Tensor, **beside: Tensor) -> Tensor:
        return self._call(self.network, noise, labels, **beside)

    def _given(self, sources: Any, count: int) -> tuple[Tensor, ...]:
        """What samples are made from, encoded, where they are made from something."""
        if not self.wants_source:
            return ()
        found = field_of(sources, self.spec.field)
        if len(found) != count:
            raise ValueError(
                f"sample: expected a real sample for each of {count} samples to be made, found {len(found)}; pass as "
                "many sources as keys"
            )
        return (found if self.coding is None else self.coding.encode(found),)

    def _made(self, call: Callable[..., Tensor], labels: Tensor, keys: Tensor, *source: Tensor) -> Tensor:
        samples = self._encoded(call, labels, keys, *source)
        decoded: Tensor = samples if self.coding is None else self.coding.decode(samples)
        return decoded if self.card is None else decoded.contiguous()  # channels last shows in strides

    def _encoded(self, call: Callable[..., Tensor], labels: Tensor, keys: Tensor, *source: Tensor) -> Tensor:
        with torch.no_grad(), numbers(self.dtype, keys.device):
            beside = {"source": source[0]} if source else {}
            keyed = {"keys": keys} if self.keyed else {}
            samples = call(normal(keys, self.latent), labels, **self.conditions_of(keys), **beside, **keyed)
        return samples.float() if self.dtype == torch.bfloat16 and samples.dtype == torch.bfloat16 else samples

    def conditions_of(self, keys: Tensor) -> dict[str, Tensor]:
        """The conditions that samples of keys ``int64[N]`` are made under, as the call takes them."""
        if not self.conditions:
            return {}
        drawn = keys.new_zeros((len(keys), self.conditions), dtype=torch.float32)
        if self.attributes.size:
            drawn[:, : self.attributes.size] = self.attributes.draw(keys)
        return {"conditions": drawn}

    def _lay_out(self) -> None:
        """A module of the user's keeps its own layout, since that can be seen: safetensors doesn't save another."""
        if self.card is not None:
            lay_out(self.network, self.dtype)

    def _check_bfloat16(self) -> None:
        if not self.allows_bfloat16:
            raise ValueError(
                f"dtype: expected 'float32' for a {(self.card or {}).get('family', 'generator')}, whose samples in "
                "bfloat16 would be others, found 'bfloat16'; leave dtype= out"
            )
        plain = copy.copy(self)
        plain.dtype = torch.float32
        keys = torch.arange(_PROBES, device=self.where)
        probe = torch.zeros(_PROBES, *self.spec.field.shape, device=self.where) if self.wants_source else None
        with hermetic(0, self.where):
            made, expected = (one.at_once(keys % self.classes.count, keys, probe) for one in (self, plain))
        check_bfloat16(made, expected, self.spec.field.range)


def _plain_call(network: nn.Module, noise: Tensor, labels: Tensor, **beside: Tensor) -> Tensor:
    samples: Tensor = network(noise, labels, **beside)
    return samples
