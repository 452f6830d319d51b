"""Generators that are a network from noise and a class to a sample: the GAN, the VAE, and other people's modules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from onthefly.data.spec import Spec
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.noise import normal

Call = Callable[[nn.Module, Tensor, Tensor], Tensor]


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

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        """``int64[N]`` classes and ``int64[N]`` keys to samples ``[N, ...]``."""
        with torch.no_grad(), _plain_float32(keys.device):
            return self._call(self.network, normal(keys, self.latent), labels)

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        return self


def _plain_call(network: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:
    samples: Tensor = network(noise, labels)
    return samples


@contextmanager
def _plain_float32(device: torch.device) -> Iterator[None]:
    """Neither autocast nor TF32, with which a sample would depend on the batch it is made in."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
