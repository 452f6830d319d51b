"""Small backbones for images, signals and vectors of any size, which a card can rebuild.

Nothing in them looks across the batch, in training or after.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.generators.target import Target

Shape = tuple[int, ...]

_SMALLEST = 4  # sides are shortened while this much is left
_SLOPE = 0.2
_LAYERS = 3  # of what makes or reads a vector
_WIDER = 4  # how many times as wide as the width is a vector's hidden layer
_CONVOLUTIONS: dict[int, tuple[Any, Any]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
}
_STEPS = {1: 4, 2: 2}  # how many times shorter a level is: sound is long


def decoder(target: Target, latent: int, width: int) -> nn.Module:
    """From noise ``float32[N, latent]``, ``int64[N]`` classes and, where there are any, conditions, to
    ``float32[N, *target.shape]``.

    Args:
        target: what to make.
        latent: numbers of noise.
        width: channels at full size.
    """
    return GridDecoder(target, latent, width) if target.sides else VectorDecoder(target, latent, width)


def encoder(target: Target, features: int, width: int) -> nn.Module:
    """From ``float32[N, *target.shape]`` to ``float32[N, features]``."""
    return GridEncoder(target, features, width) if target.sides else VectorEncoder(target, features, width)


class Conditional(nn.Module):
    """A network that is told what to make: noise, a class, and conditions.

    Args:
        target: what to make.
        latent: numbers of noise; the class becomes as many.

    Attributes:
        told: how many numbers it is told in all.
    """

    def __init__(self, target: Target, latent: int) -> None:
        super().__init__()
        self.told = 2 * latent + target.conditions
        self.embedding = nn.Embedding(target.classes, latent)

    def code(self, noise: Tensor, label: Tensor, conditions: Tensor | None) -> Tensor:
        """All of it in one vector, ``float32[N, told]``: the class is as long as the noise."""
        kind = F.normalize(self.embedding(label), dim=1) * math.sqrt(noise.shape[1])
        return torch.cat([noise, kind] if conditions is None else [noise, kind, conditions], dim=1)


class GridDecoder(Conditional):
    """Makes images and signals: they grow block by block, and noise and kind scale and shift every block's channels.

    Args:
        target: what to make.
        latent: numbers of noise.
        width: channels at full size; each level below doubles them, up to four times.
    """

    def __init__(self, target: Target, latent: int, width: int) -> None:
        super().__init__(target, latent)
        channels, step = _channels(target.sides, width)[::-1], _STEPS[len(target.sides)]
        convolution, _ = _CONVOLUTIONS[len(target.sides)]
        self.sides, self.bounded = target.sides, target.bounded
        self.smallest = tuple(math.ceil(side / step ** (len(channels) - 1)) for side in self.sides)
        self.start = nn.Linear(self.told, channels[0] * math.prod(self.smallest))
        self.blocks = nn.ModuleList(_Up(*pair, self.told, len(self.sides)) for pair in pairwise(channels))
        self.end = convolution(channels[-1], target.shape[0], 3 if step == 2 else 7, padding="same")

    def forward(self, noise: Tensor, label: Tensor, conditions: Tensor | None = None) -> Tensor:
        """``float32[N, latent]``, ``int64[N]`` and ``float32[N, conditions]`` to ``float32[N, C, ...]``."""
        code = self.code(noise, label, conditions)
        grid = self.start(code).unflatten(1, (-1, *self.smallest))
        for block in self.blocks:
            grid = block(grid, code)
        full: Tensor = self.end(F.silu(grid))
        cut = full[..., : self.sides[-1]] if len(self.sides) == 1 else full[..., : self.sides[0], : self.sides[1]]
        return cut.sigmoid() if self.bounded else cut


class GridEncoder(nn.Module):
    """Reads images and signals: strided convolutions, without normalisation.

    Args:
        target: what to read.
        features: how many numbers come out.
        width: channels at full size, as for ``GridDecoder``.
    """

    def __init__(self, target: Target, features: int, width: int) -> None:
        super().__init__()
        channels, step = _channels(target.sides, width), _STEPS[len(target.sides)]
        convolution, _ = _CONVOLUTIONS[len(target.sides)]
        self.bounded = target.bounded
        layers: list[nn.Module] = [convolution(target.shape[0], width, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        for pair in pairwise(channels):
            layers += [convolution(*pair, 2 * step, stride=step, padding=step // 2), nn.LeakyReLU(_SLOPE)]
        area = math.prod(side // step ** (len(channels) - 1) for side in target.sides)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * area, features))

    def forward(self, samples: Tensor) -> Tensor:
        """``float32[N, C, ...]`` to ``float32[N, features]``."""
        features: Tensor = self.layers(2 * samples - 1 if self.bounded else samples)
        return features


class VectorDecoder(Conditional):
    """Makes vectors: layers, each of which noise and kind scale and shift.

    Args:
        target: what to make.
        latent: numbers of noise.
        width: a quarter of the hidden layers'.
    """

    def __init__(self, target: Target, latent: int, width: int) -> None:
        super().__init__(target, latent)
        self.bounded = target.bounded
        self.start = nn.Linear(self.told, _WIDER * width)
        self.layers = nn.ModuleList(_Layer(_WIDER * width, self.told) for _ in range(_LAYERS))
        self.end = nn.Linear(_WIDER * width, target.shape[0])

    def forward(self, noise: Tensor, label: Tensor, conditions: Tensor | None = None) -> Tensor:
        """``float32[N, latent]``, ``int64[N]`` and ``float32[N, conditions]`` to ``float32[N, D]``."""
        code = self.code(noise, label, conditions)
        hidden = self.start(code)
        for layer in self.layers:
            hidden = layer(hidden, code)
        full: Tensor = self.end(F.silu(hidden))
        return full.sigmoid() if self.bounded else full


class VectorEncoder(nn.Module):
    """Reads vectors.

    Args:
        target: what to read.
        features: how many numbers come out.
        width: a quarter of the hidden layers'.
    """

    def __init__(self, target: Target, features: int, width: int) -> None:
        super().__init__()
        self.bounded = target.bounded
        sizes = [target.shape[0], *[_WIDER * width] * _LAYERS]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.LeakyReLU(_SLOPE))]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], features))

    def forward(self, samples: Tensor) -> Tensor:
        """``float32[N, D]`` to ``float32[N, features]``."""
        features: Tensor = self.layers(2 * samples - 1 if self.bounded else samples)
        return features


class _Up(nn.Module):
    def __init__(self, before: int, after: int, code: int, dims: int) -> None:
        super().__init__()
        step, (_, transposed) = _STEPS[dims], _CONVOLUTIONS[dims]
        self.conv = transposed(before, after, 2 * step, stride=step, padding=step // 2)
        self.norm = nn.GroupNorm(1, after, affine=False)
        self.modulation = nn.Linear(code, 2 * after)

    def forward(self, grid: Tensor, code: Tensor) -> Tensor:
        return _modulated(self.norm(self.conv(F.silu(grid))), self.modulation(code))


class _Layer(nn.Module):
    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(code, 2 * width)

    def forward(self, hidden: Tensor, code: Tensor) -> Tensor:
        return hidden + _modulated(self.norm(self.linear(F.silu(hidden))), self.modulation(code))


def _modulated(grid: Tensor, modulation: Tensor) -> Tensor:
    """Every channel scaled and shifted: ``[N, C, ...]`` by ``[N, 2 C]``."""
    scale, shift = modulation[(..., *[None] * (grid.ndim - 2))].chunk(2, dim=1)
    return grid * (1 + scale) + shift


def _channels(sides: Shape, width: int) -> list[int]:
    """Channels at full size, at the level below, and so on down to the smallest."""
    step = _STEPS[len(sides)]
    levels = max(0, math.floor(math.log(min(sides) / _SMALLEST, step) + 1e-9))
    return [width * min(2**level, 4) for level in range(levels + 1)]
