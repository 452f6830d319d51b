"""Denoisers: small networks that tell, of a noisy image, signal or vector, what is noise in it.

U-Nets (Ronneberger et al., MICCAI 2015) in the form that diffusion models have them (Dhariwal and Nichol, NeurIPS
2021): noise level and kind scale and shift every block's channels. Neighbouring pixels are folded into channels first,
since that spares a processor most of its work. Nothing in them looks across the batch, in training or after.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.generators.target import Target

_CODE = 4  # how many times as wide as the width is what tells noise level and kind
_FREQUENCIES = 32
_FASTEST = 100.0  # times that the quickest wave goes up and down while noise becomes a sample
_GROUP = 8  # channels that are normalised together, at least
_SMALLEST = 4  # sides are halved while this much is left
_LONGEST = {1: 512, 2: 16}  # sides are folded into channels down to this
_MOST_FOLDED = {1: 16, 2: 4}
_STEPS = {1: 4, 2: 2}  # how many times shorter a level is: sound is long
_HEADS = 4
_LAYERS = 4  # of what denoises a vector
_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}


class Code(nn.Module):
    """Noise level, class and conditions in one vector.

    Args:
        target: what is made.
        size: of the vector.
    """

    def __init__(self, target: Target, size: int) -> None:
        super().__init__()
        self.nothing = target.classes  # the class of samples of which nothing is told
        self.frequencies = nn.Buffer(math.pi * torch.logspace(0, math.log10(_FASTEST), _FREQUENCIES))
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, size), nn.SiLU(), nn.Linear(size, size))
        self.label = nn.Embedding(target.classes + 1, size)
        self.conditions = nn.Linear(target.conditions, size) if target.conditions else None

    def forward(self, time: Tensor, label: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Shares of noise ``float32[N]``, ``int64[N]`` classes, among them ``nothing``, and ``float32[N, conditions]``
        to ``float32[N, size]``."""
        angle = time[:, None] * self.frequencies
        code = self.time(torch.cat([angle.cos(), angle.sin()], dim=1)) + self.label(label)
        if self.conditions is not None:
            code = code + self.conditions(conditions) * (label != self.nothing)[:, None]
        return F.silu(code)


class GridDenoiser(nn.Module):
    """Denoises images and signals: a U-Net on patches, with attention where they are fewest.

    Args:
        target: what is made.
        beside: channels of what is given beside the noisy sample.
        width: channels at full size; each level below doubles them.
        depth: blocks a level, on the way down as on the way up.
    """

    def __init__(self, target: Target, beside: int, width: int, depth: int) -> None:
        super().__init__()
        self.dims, self.sides = len(target.sides), target.sides
        self.fold, channels, convolution = _fold(target.sides), target.shape[0], _CONVOLUTIONS[len(target.sides)]
        patch, code = self.fold**self.dims, _CODE * width
        widths = _widths([math.ceil(side / self.fold) for side in target.sides], width)
        self.multiple = self.fold * _STEPS[self.dims] ** (len(widths) - 1)
        self.code = Code(target, code)
        self.start = convolution((channels + beside) * patch, width, 3, padding=1)
        self.down, self.up, self.over = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for before, after in pairwise([width, *widths]):
            self.down.append(Blocks(Block(size, after, code, self.dims) for size in [before, *[after] * (depth - 1)]))
            self.up.append(Blocks(Block(after, after, code, self.dims) for _ in range(depth)))
        for above, below in pairwise(widths):
            self.over.append(convolution(below, above, 1))
        self.middle = Blocks([Attention(widths[-1]), Block(widths[-1], widths[-1], code, self.dims)])
        self.norm = _norm(width)
        self.end = _zero(convolution(width, channels * patch, 3, padding=1))

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, C, ...]``, what ``Code`` takes, and ``float32[N, beside, ...]`` to ``float32[N, C, ...]``."""
        code, step = self.code(time, label, conditions), _STEPS[self.dims]
        kept = []
        grid: Tensor = self.start(self._folded(noisy if beside is None else torch.cat([noisy, beside], dim=1)))
        for level, blocks in enumerate(self.down):
            grid = blocks(_shorter(grid, step) if level else grid, code)
            kept.append(grid)
        grid = self.middle(grid, code)
        for level in reversed(range(len(self.up))):
            grid = self.up[level](grid + kept[level], code)
            if level:
                grid = F.interpolate(self.over[level - 1](grid), scale_factor=float(step))
        made: Tensor = self.end(F.silu(self.norm(grid)))
        return self._unfolded(made)

    def _folded(self, grid: Tensor) -> Tensor:
        """Patches as channels; what is missing of a whole number of them is 0."""
        missing = [part for side in reversed(self.sides) for part in (0, -side % self.multiple)]
        grid = F.pad(grid, missing) if any(missing) else grid
        if self.dims == 1:
            patches: Tensor = grid.unflatten(2, (-1, self.fold)).transpose(2, 3).flatten(1, 2)
            return patches
        return F.pixel_unshuffle(grid, self.fold)

    def _unfolded(self, grid: Tensor) -> Tensor:
        if self.dims == 1:
            whole: Tensor = grid.unflatten(1, (-1, self.fold)).transpose(2, 3).flatten(2)
            return whole[..., : self.sides[0]]
        return F.pixel_shuffle(grid, self.fold)[..., : self.sides[0], : self.sides[1]]


class VectorDenoiser(nn.Module):
    """Denoises vectors: layers, each of which noise level and kind scale and shift.

    Args:
        target: what is made.
        beside: numbers that are given beside the noisy vector.
        width: a quarter of the hidden layers'.
        depth: half as many layers as there are.
    """

    def __init__(self, target: Target, beside: int, width: int, depth: int) -> None:
        super().__init__()
        hidden = _CODE * width
        self.code = Code(target, hidden)
        self.start = nn.Linear(target.shape[0] + beside, hidden)
        self.layers = nn.ModuleList(Layer(hidden) for _ in range(2 * depth))
        self.end = _zero(nn.Linear(hidden, target.shape[0]))

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, D]`` and what ``Code`` takes, and ``float32[N, beside]``, to ``float32[N, D]``."""
        code = self.code(time, label, conditions)
        hidden = self.start(noisy if beside is None else torch.cat([noisy, beside], dim=1))
        for layer in self.layers:
            hidden = layer(hidden, code)
        made: Tensor = self.end(F.silu(hidden))
        return made


class Blocks(nn.ModuleList):
    """One after the other."""

    def forward(self, grid: Tensor, code: Tensor) -> Tensor:
        """``float32[N, before, ...]`` and ``float32[N, code]`` to ``float32[N, after, ...]``."""
        for block in self:
            grid = block(grid, code)
        return grid


class Block(nn.Module):
    """Two convolutions around which the grid goes, the second scaled and shifted by the code."""

    def __init__(self, before: int, after: int, code: int, dims: int) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[dims]
        self.first, self.second = _norm(before), _norm(after, affine=False)
        self.read = convolution(before, after, 3, padding=1)
        self.modulation = nn.Linear(code, 2 * after)
        self.write = _zero(convolution(after, after, 3, padding=1))
        self.around = convolution(before, after, 1) if before != after else nn.Identity()

    def forward(self, grid: Tensor, code: Tensor) -> Tensor:
        """``float32[N, before, ...]`` and ``float32[N, code]`` to ``float32[N, after, ...]``."""
        inside = self.read(F.silu(self.first(grid)))
        scale, shift = self.modulation(code)[(..., *[None] * (grid.ndim - 2))].chunk(2, dim=1)
        inside = F.silu(torch.addcmul(shift, self.second(inside), 1 + scale))
        made: Tensor = self.around(grid) + self.write(inside)
        return made


class Attention(nn.Module):
    """Every place looks at every other one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = _HEADS if width % _HEADS == 0 else 1
        self.norm, self.asked, self.write = _norm(width), nn.Linear(width, 3 * width), _zero(nn.Linear(width, width))

    def forward(self, grid: Tensor, code: Tensor) -> Tensor:
        """``float32[N, width, ...]`` to the same."""
        places = self.norm(grid).flatten(2).transpose(1, 2)
        asked = self.asked(places).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(asked[0], asked[1], asked[2]).transpose(1, 2).flatten(2)
        made: Tensor = grid + self.write(seen).transpose(1, 2).reshape(grid.shape)
        return made


class Layer(nn.Module):
    """Two linear maps around which the vector goes, the first scaled and shifted by the code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation, self.read = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.write = _zero(nn.Linear(width, width))

    def forward(self, hidden: Tensor, code: Tensor) -> Tensor:
        """``float32[N, width]``, twice, to the same."""
        scale, shift = self.modulation(code).chunk(2, dim=1)
        made: Tensor = hidden + self.write(F.silu(self.read(self.norm(hidden) * (1 + scale) + shift)))
        return made


def _fold(sides: tuple[int, ...]) -> int:
    """How many neighbours a side become channels."""
    fold = 1
    while min(sides) / fold > _LONGEST[len(sides)] and fold < _MOST_FOLDED[len(sides)]:
        fold *= 2
    return fold


def _widths(sides: list[int], width: int) -> list[int]:
    """Channels of every level."""
    step = _STEPS[len(sides)]
    levels = max(0, math.floor(math.log(min(sides) / _SMALLEST, step) + 1e-9))
    return [width * min(2**level, 4) for level in range(levels + 1)]


def _shorter(grid: Tensor, step: int) -> Tensor:
    return F.avg_pool2d(grid, step) if grid.ndim == 4 else F.avg_pool1d(grid, step)


def _norm(channels: int, *, affine: bool = True) -> nn.Module:
    return nn.GroupNorm(math.gcd(channels, max(1, channels // _GROUP)), channels, affine=affine)


def _zero(layer: Any) -> Any:
    """A layer that says nothing until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
