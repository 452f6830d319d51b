"""Generators that are a network from noise and a class to a sample: the GAN, the VAE, and other people's modules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
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

    @property
    def makes(self) -> NDArray[np.bool_]:
        """The classes that it was shown, as its card says."""
        shown = (self.card or {}).get("training", {}).get("images_of_each_class")
        return super().makes if shown is None else np.asarray(shown) > 0

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
    # On CUDA only, and no more than needed: what is set no longer follows the user's general setting.
    fast = [one for one in backends if device.type == "cuda" and one.fp32_precision == "tf32"]
    try:
        for backend in fast:
            backend.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend in fast:
            backend.fp32_precision = "tf32"
