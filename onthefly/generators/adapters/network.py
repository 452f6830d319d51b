"""A network of ``diffusers`` for the loop: what it is told, what it sees in noise, and the image that is left."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.extras import require
from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.loading import load_network
from onthefly.mixing.classes import Classes

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Options:
    """What a user may say about a pipeline; None for what is usual for it."""

    guidance: float | None = None
    size: int | tuple[int, int] | None = None
    classes: Any = None
    prompts: Any = None
    negative: str | None = None


class Pipeline(nn.Module):
    """A network for the loop.

    Attributes:
        classes: that it can make.
        shape: ``(C, H, W)`` of what is denoised.
        image: ``(C, H, W)`` of what is delivered.
        guidance: how much further than asked it goes from what it would make without a class (Ho and Salimans,
            "Classifier-free diffusion guidance", 2022); None for no further.
    """

    classes: Classes
    shape: Shape
    image: Shape
    guidance: float | None = None

    def told(self, labels: Tensor, keys: Tensor) -> Tensor:
        """What the network is told of each sample: ``[N, ...]``, its class."""
        return labels

    def untold(self, labels: Tensor) -> Tensor:
        """What it is told of a sample of no class."""
        raise NotImplementedError

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """The network: ``float32[N, *shape]`` at a time ``[]`` to as many channels, or twice as many."""
        raise NotImplementedError

    def predict(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """The same, guided."""
        if self.guidance is None:
            return self.call(samples, time, told)
        both = self.call(torch.cat([samples] * 2), time, torch.cat([told, self.untold(told)]))
        with_class, without = both.chunk(2)
        mean = without + self.guidance * (with_class - without)
        channels = self.shape[0]
        return torch.cat([mean[:, :channels], with_class[:, channels:]], dim=1)

    def encode(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as what is denoised."""
        return images * 2 - 1

    def decode(self, samples: Tensor) -> Tensor:
        """The other way round."""
        return (samples / 2 + 0.5).clamp(0, 1)


class Latents(Pipeline):
    """What is denoised is the latents of an autoencoder."""

    vae: Any

    def _set_shapes(self, channels: int, size: tuple[int, int]) -> None:
        """Of latents of this size."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.shape = (channels, *size)
        self.image = (self.vae.config.out_channels, size[0] * factor, size[1] * factor)

    def encode(self, images: Tensor) -> Tensor:
        latents = self.vae.encode(super().encode(images)).latent_dist.mode()
        scaled: Tensor = (latents - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
        return scaled

    def decode(self, samples: Tensor) -> Tensor:
        latents = samples / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0)
        return super().decode(first(self.vae.decode(latents, return_dict=False)))


def load_part(folder: Folder, name: str, kind: str, library: str = "diffusers") -> Any:
    """A model among the components, in float32."""
    cls = getattr(require(library, extra="diffusion"), kind)
    return load_network(folder, folder.part(name), f"a {kind}", cls.from_pretrained)


def as_guidance(guidance: float | None, usual: float) -> float | None:
    """None where it is 1, with which nothing is guided further than asked."""
    value = usual if guidance is None else float(guidance)
    if not 0 <= value < float("inf"):
        raise ValueError(f"guidance: expected 0 or more, found {guidance!r}; 1 guides nothing, {usual} is usual")
    return None if value == 1 else value


def as_size(size: Any) -> tuple[int, int]:
    """Height and width."""
    height, width = (*size, 0)[:2] if isinstance(size, list | tuple) else (size, size)
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise ValueError(f"size: expected a number of pixels, or (height, width), found {size!r}; write size=512")
    return height, width


def first(made: Any) -> Tensor:
    """Of what a model returns."""
    tensor: Tensor = made[0]
    return tensor
