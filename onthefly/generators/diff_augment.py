"""DiffAugment: a critic's samples changed at random, differentiably, so that it can't learn a small data set by heart.

Real and synthetic samples are changed alike, so a generator doesn't learn the changes (Zhao et al., NeurIPS 2020).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_NOISE = 0.05  # of the scale of a vector's numbers


def diff_augment(samples: Tensor) -> Tensor:
    """Each sample by itself, to one of its own shape.

    Args:
        samples: images ``float32[N, C, H, W]``: colour, translation and cutout; signals ``[N, C, T]`` in [0, 1]: gain,
            translation and cutout; vectors ``[N, D]``: a little noise.
    """
    if samples.ndim == 4:
        return _cutout(_translate(_colour(samples)))
    if samples.ndim == 3:
        return _cutout(_shift(_gain(samples)))
    return samples + _NOISE * torch.randn_like(samples)


def _gain(signals: Tensor) -> Tensor:
    factor = 0.5 + torch.rand(len(signals), 1, 1, device=signals.device)
    return 0.5 + (signals - 0.5) * factor


def _shift(signals: Tensor) -> Tensor:
    """By up to an eighth of the length, filled with silence."""
    most = round(signals.shape[2] / 8)
    padded = F.pad(signals, (most, most), value=0.5)
    start = torch.randint(2 * most + 1, (len(signals), 1, 1), device=signals.device)
    places = start + torch.arange(signals.shape[2], device=signals.device)
    return padded.gather(2, places.expand_as(signals))


def _rand(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def _colour(images: Tensor) -> Tensor:
    images = images + (_rand(images) - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * _rand(images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + _rand(images))


def _translate(images: Tensor) -> Tensor:
    """By up to an eighth of the side, filled with zeros."""
    height, width = images.shape[2:]
    up, left = round(height / 8), round(width / 8)
    padded = F.pad(images, (left, left, up, up)).movedim(1, -1)
    rows = torch.arange(height, device=images.device) + torch.randint(
        2 * up + 1, (len(images), 1), device=images.device
    )
    columns = torch.arange(width, device=images.device) + torch.randint(
        2 * left + 1, (len(images), 1), device=images.device
    )
    which = torch.arange(len(images), device=images.device)
    return padded[which[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _cutout(images: Tensor) -> Tensor:
    """A box of half of each side, centred anywhere, becomes zero: of an image black, of a signal silence."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for dim in range(2, images.ndim):
        side = images.shape[dim]
        centre = torch.randint(side, (len(images), 1), device=images.device)
        near = (torch.arange(side, device=images.device) - centre).abs() * 4 < side
        inside = inside & near[(slice(None), None, *(slice(None) if d == dim else None for d in range(2, images.ndim)))]
    return torch.where(inside, 0.0 if images.ndim == 4 else 0.5, images)
