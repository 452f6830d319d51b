"""The U-Nets of ``diffusers``, built from sizes, told class and conditions."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.extras import require
from onthefly.generators.target import Target

_TIMES = 1000  # those of images are thousandths
_LEVELS = 4  # at most
_GROUP = 8  # channels that are normalised together, at least
_HEAD = 32  # channels of each head of attention, at a signal's lowest level
_TOLD = 16  # channels that tell a signal's network the class; as many tell the time


class Kind(nn.Module):
    """Class and conditions in one vector.

    Args:
        target: what is made.
        size: of the vector.
    """

    def __init__(self, target: Target, size: int) -> None:
        super().__init__()
        self.nothing = target.classes  # the class of samples of which nothing is told
        self.label = nn.Embedding(target.classes + 1, size)
        self.conditions = nn.Linear(target.conditions, size) if target.conditions else None

    def forward(self, label: Tensor, conditions: Tensor | None) -> Tensor:
        """``int64[N]`` classes, among them ``nothing``, and ``float32[N, conditions]`` to ``float32[N, size]``."""
        kind: Tensor = self.label(label)
        if self.conditions is not None:
            kind = kind + self.conditions(conditions) * (label != self.nothing)[:, None]
        return kind


class ForeignUNet(nn.Module):
    """What the two have in common: samples are filled up to sides that can be halved.

    Args:
        target: what is made.
        dims: sides that it must have.
        name: of the network, for errors.
        smallest: sides are halved while this much is left.
        least: what the smallest of them is a multiple of.
    """

    def __init__(self, target: Target, dims: int, name: str, *, smallest: int, least: int) -> None:
        super().__init__()
        if len(target.sides) != dims:
            expected = "images [C, H, W]" if dims == 2 else "signals [C, T]"
            raise ValueError(
                f"network: expected {expected} for {name!r}, found samples of shape {list(target.shape)}; write "
                "config={'network': 'small'}"
            )
        self.sides = target.sides
        self.above = min(_LEVELS - 1, max(1, math.floor(math.log2(min(self.sides) / smallest) + 1e-9)))
        multiple = least * 2**self.above
        self.padding = [part for side in reversed(self.sides) for part in (0, -side % multiple)]

    def channels(self, width: int) -> tuple[int, ...]:
        """Of every level."""
        return tuple(width * min(2**level, 4) for level in range(self.above + 1))

    def filled(self, noisy: Tensor, beside: Tensor | None) -> Tensor:
        """Both of them, one behind the other, with zeros where something is missing."""
        return F.pad(noisy if beside is None else torch.cat([noisy, beside], dim=1), self.padding)

    def cut(self, grid: Tensor) -> Tensor:
        """Without what they were filled up with."""
        for place, side in enumerate(self.sides, start=2):
            grid = grid.narrow(place, 0, side)
        return grid


class ImageUNet(ForeignUNet):
    """``UNet2DModel``, with attention at its lowest level.

    Args:
        target: what is made.
        beside: channels of what is given beside the noisy sample.
        width: channels at full size.
        depth: blocks a level.
    """

    def __init__(self, target: Target, beside: int, width: int, depth: int) -> None:
        super().__init__(target, 2, "unet2d", smallest=4, least=1)
        self.kind = Kind(target, 4 * width)
        self.inner: Any = require("diffusers", extra="diffusion").UNet2DModel(
            in_channels=target.shape[0] + beside,
            out_channels=target.shape[0],
            layers_per_block=depth,
            block_out_channels=self.channels(width),
            down_block_types=("DownBlock2D",) * self.above + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * self.above,
            norm_num_groups=math.gcd(width, max(1, width // _GROUP)),
            attention_head_dim=None,
            class_embed_type="identity",
        )

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, C, H, W]``, what ``Kind`` takes, and ``float32[N, beside, H, W]`` to ``float32[N, C, H, W]``."""
        kind = self.kind(label, conditions)
        return self.cut(self.inner(self.filled(noisy, beside), time * _TIMES, class_labels=kind).sample)


class SignalUNet(ForeignUNet):
    """``UNet1DModel``, which knows no classes: they are told it as channels, as it tells itself the time.

    Args:
        target: what is made.
        beside: channels of what is given beside the noisy sample.
        width: channels at full length.
        depth: blocks a level.
    """

    def __init__(self, target: Target, beside: int, width: int, depth: int) -> None:
        super().__init__(target, 1, "unet1d", smallest=8, least=8)
        *above, lowest = self.channels(width)
        self.kind = Kind(target, _TOLD)
        self.inner: Any = require("diffusers", extra="diffusion").UNet1DModel(
            in_channels=target.shape[0] + beside + _TOLD,
            out_channels=target.shape[0],
            extra_in_channels=_TOLD,
            time_embedding_dim=_TOLD,
            layers_per_block=depth,
            block_out_channels=(*above, lowest + -lowest % _HEAD),
            down_block_types=("DownBlock1DNoSkip",) + ("DownBlock1D",) * self.above,
            up_block_types=("UpBlock1D",) * self.above + ("UpBlock1DNoSkip",),
        )

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, C, T]``, what ``Kind`` takes, and ``float32[N, beside, T]`` to ``float32[N, C, T]``."""
        grid = self.filled(noisy, beside)
        kind = self.kind(label, conditions)[:, :, None].expand(-1, -1, grid.shape[2])
        return self.cut(self.inner(torch.cat([grid, kind], dim=1), time).sample)
