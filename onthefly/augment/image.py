"""The image preset: the transforms that most image classifiers are trained with, as one Kornia pipeline."""

import math
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from kornia.augmentation import AugmentationSequential


def image(
    shape: tuple[int, int, int],
    *,
    flip: float = 0.5,
    rotate: float = 10.0,
    translate: float = 0.06,
    scale: float = 0.1,
    shear: float = 5.0,
    crop: int | None = None,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.02,
    gaussian: float = 0.02,
    salt_and_pepper: float = 0.0,
) -> "AugmentationSequential":
    """A Kornia pipeline for images ``float32[N, C, H, W]`` in [0, 1], which stay so. Every strength of 0 leaves its
    transform out.

    Give it to ``wrap(augment=...)``, as it is or as a part of a pipeline of your own; it draws from torch's global
    generator.

    Args:
        shape: ``(C, H, W)``. Saturation and hue are for three channels, and left out for others.
        flip: how often an image is mirrored left to right, in [0, 1]. Digits and letters want 0.
        rotate: by up to so many degrees, either way.
        translate: by up to this share of each side.
        scale: by up to this share, larger or smaller.
        shear: by up to so many degrees.
        crop: pixels of zeros added on each side before a crop to the old size; by default an eighth of the shorter
            side.
        brightness: times 1 plus or minus up to this.
        contrast: times 1 plus or minus up to this.
        saturation: times 1 plus or minus up to this.
        hue: turned by up to this part of a full turn, at most 0.5.
        gaussian: standard deviation of noise added to every pixel.
        salt_and_pepper: the share of pixels that become black or white.

    >>> import torch
    >>> pipeline = image((3, 32, 32))
    >>> images = pipeline(torch.rand(8, 3, 32, 32))
    >>> images.shape, bool((images >= 0).all() and (images <= 1).all())
    (torch.Size([8, 3, 32, 32]), True)
    """
    import kornia.augmentation as K  # heavy, and not needed by who doesn't augment

    channels, height, width = _checked(shape)
    for name, strength, most in (
        ("flip", flip, 1.0),
        ("rotate", rotate, 360.0),
        ("translate", translate, 1.0),
        ("scale", scale, 0.99),
        ("shear", shear, 89.0),
        ("brightness", brightness, math.inf),
        ("contrast", contrast, math.inf),
        ("saturation", saturation, math.inf),
        ("hue", hue, 0.5),
        ("gaussian", gaussian, math.inf),
        ("salt_and_pepper", salt_and_pepper, 1.0),
    ):
        _check_strength(name, strength, most)
    if salt_and_pepper and channels not in (1, 3):
        raise ValueError(
            f"augment.image: expected 1 or 3 channels for salt_and_pepper, found {channels}; leave it out with 0"
        )
    pad = min(height, width) // 8 if crop is None else crop
    _check_strength("crop", pad, math.inf)
    if pad != int(pad):
        raise ValueError(f"augment.image: expected crop in whole pixels, found {crop}; 0 leaves it out")
    jitter = (brightness, contrast, saturation, hue) if channels == 3 else (brightness, contrast, 0.0, 0.0)
    steps: list[Any] = []
    if flip:
        steps.append(K.RandomHorizontalFlip(p=float(flip)))
    if rotate or translate or scale or shear:
        sizes = (1 - scale, 1 + scale)
        steps.append(K.RandomAffine(float(rotate), (translate, translate), sizes, float(shear), p=1.0))
    if pad:
        steps.append(K.RandomCrop((height, width), padding=int(pad), p=1.0))
    if any(jitter):
        steps.append(K.ColorJitter(*jitter, p=1.0))
    if gaussian:
        steps.append(K.RandomGaussianNoise(std=float(gaussian), p=1.0))
    if salt_and_pepper:
        steps.append(K.RandomSaltAndPepperNoise(amount=float(salt_and_pepper), p=1.0))
    steps.append(nn.Hardtanh(0.0, 1.0))
    return K.AugmentationSequential(*steps, data_keys=["image"])


def _checked(shape: Any) -> tuple[int, int, int]:
    if len(tuple(shape)) != 3:
        raise ValueError(f"augment.image: expected a shape (C, H, W), found {tuple(shape)}; write image((3, 32, 32))")
    channels, height, width = shape
    return int(channels), int(height), int(width)


def _check_strength(name: str, strength: float, most: float) -> None:
    if not 0 <= strength <= most:
        limit = f"from 0 to {most:g}" if most < math.inf else "of 0 or more"
        raise ValueError(f"augment.image: expected {name} {limit}, found {strength}; 0 leaves it out")
