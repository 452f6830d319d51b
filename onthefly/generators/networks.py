"""Small convolutional backbones, for any image size and number of channels, that a card can rebuild."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, ...]

_SMALLEST = 4  # sides are halved while this much is left
_SLOPE = 0.2


class ImageDecoder(nn.Module):
    """From noise and a class to an image: the size doubles block by block, and both scale and shift every block's
    channels.

    Nothing in it looks across the batch, in training or after.

    Args:
        shape: ``(C, H, W)`` of the image.
        classes: how many.
        latent: numbers of noise.
        width: channels at full size; each halving of the size doubles them, up to four times.
    """

    def __init__(self, shape: Shape, classes: int, latent: int, width: int) -> None:
        super().__init__()
        channels = _channels(shape, width)[::-1]
        self.height, self.width = shape[1:]
        self.smallest = tuple(math.ceil(side / 2 ** (len(channels) - 1)) for side in shape[1:])
        self.embedding = nn.Embedding(classes, latent)
        self.start = nn.Linear(2 * latent, channels[0] * math.prod(self.smallest))
        self.blocks = nn.ModuleList(_Up(*pair, 2 * latent) for pair in pairwise(channels))
        self.end = nn.Conv2d(channels[-1], shape[0], 3, padding=1)

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        """``float32[N, latent]`` and ``int64[N]`` to ``float32[N, C, H, W]`` in [0, 1]."""
        kind = F.normalize(self.embedding(label), dim=1) * math.sqrt(noise.shape[1])  # as long as the noise is
        code = torch.cat([noise, kind], dim=1)
        image = self.start(code).unflatten(1, (-1, *self.smallest))
        for block in self.blocks:
            image = block(image, code)
        full: Tensor = self.end(F.silu(image))
        return full[..., : self.height, : self.width].sigmoid()


class ImageEncoder(nn.Module):
    """From an image to features: strided convolutions that halve the size, without normalisation.

    Args:
        shape: ``(C, H, W)`` of the image.
        features: how many numbers come out.
        width: channels at full size, as for ``ImageDecoder``.
    """

    def __init__(self, shape: Shape, features: int, width: int) -> None:
        super().__init__()
        channels = _channels(shape, width)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        area = math.prod(side // 2 ** (len(channels) - 1) for side in shape[1:])
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * area, features))

    def forward(self, image: Tensor) -> Tensor:
        """``float32[N, C, H, W]`` in [0, 1] to ``float32[N, features]``."""
        features: Tensor = self.layers(2 * image - 1)
        return features


class _Up(nn.Module):
    def __init__(self, before: int, after: int, code: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        self.norm = nn.GroupNorm(1, after, affine=False)
        self.modulation = nn.Linear(code, 2 * after)

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.modulation(code)[..., None, None].chunk(2, dim=1)
        large: Tensor = self.norm(self.conv(F.silu(image)))
        shaped: Tensor = large * (1 + scale) + shift
        return shaped


def _channels(shape: Shape, width: int) -> list[int]:
    """Channels at full size, at half of it, and so on down to the smallest."""
    halvings = max(0, math.floor(math.log2(min(shape[1:]) / _SMALLEST)))
    return [width * min(2**level, 4) for level in range(halvings + 1)]
