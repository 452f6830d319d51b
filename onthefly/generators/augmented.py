"""Augmentation of what a generator is shown, of which nothing leaks into what it makes.

Images are turned, scaled, moved and mirrored, and the network is told by how much, as conditions beside the others;
it then makes images that are not (Karras et al., "Elucidating the design space of diffusion-based generative models",
NeurIPS 2022, appendix F). A GAN's critic needs none of it: see ``diff_augment``.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from onthefly.generators.shown import Batch

NUMBERS = 5  # that tell how an image was augmented: turned, scaled, moved twice, mirrored; all 0 for not at all

_SHARE = 0.5  # of images, for each of them
_ANGLE = math.pi / 8
_SCALE = 1.2
_MOVE = 0.25  # of half a side


def augmented(batch: Batch) -> Batch:
    """Images ``[N, C, H, W]`` changed at random, each by itself, and their conditions with five numbers more."""
    if not len(batch.samples):
        return plain(batch)
    told = _drawn(len(batch.samples), batch.samples.device)
    sources = None if batch.sources is None else _warped(batch.sources, told)
    return _with(batch._replace(samples=_warped(batch.samples, told), sources=sources), told)


def plain(batch: Batch) -> Batch:
    """The images as they are, with numbers that say so."""
    return _with(batch, batch.samples.new_zeros(len(batch.samples), NUMBERS))


def _with(batch: Batch, told: Tensor) -> Batch:
    """These numbers behind the conditions."""
    return batch._replace(conditions=told if batch.conditions is None else torch.cat([batch.conditions, told], dim=1))


def _drawn(count: int, device: torch.device) -> Tensor:
    """``float32[N, 5]``: each number in [-1, 1], but 0 where nothing is done."""
    drawn = 2 * torch.rand(count, NUMBERS, device=device) - 1
    drawn[:, -1] = 1
    return torch.where(torch.rand(count, NUMBERS, device=device) < _SHARE, drawn, 0.0)


def _warped(images: Tensor, told: Tensor) -> Tensor:
    turn, scale = told[:, 0] * _ANGLE, _SCALE ** told[:, 1]
    mirror = 1 - 2 * told[:, 4]
    height, width = images.shape[2:]
    side = turn.cos() / scale, turn.sin() / scale
    rows = [
        torch.stack([side[0] * mirror, -side[1] * height / width, told[:, 2] * _MOVE], dim=1),
        torch.stack([side[1] * width / height * mirror, side[0], told[:, 3] * _MOVE], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
