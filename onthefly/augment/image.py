"""The image preset: the transforms that most image classifiers are trained with, as one Kornia pipeline."""

from typing import TYPE_CHECKING

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

    _, height, width = shape
    pad = min(height, width) // 8 if crop is None else crop
    jitter = (brightness, contrast, saturation, hue) if shape[0] == 3 else (brightness, contrast, 0.0, 0.0)
    steps = {
        K.RandomHorizontalFlip(p=flip): flip,
        K.RandomAffine(rotate, (translate, translate), (1 - scale, 1 + scale), shear, p=1.0): rotate
        or translate
        or scale
        or shear,
        K.RandomCrop((height, width), padding=pad, p=1.0): pad,
        K.ColorJitter(*jitter, p=1.0): any(jitter),
        K.RandomGaussianNoise(std=gaussian, p=1.0): gaussian,
        K.RandomSaltAndPepperNoise(amount=salt_and_pepper, p=1.0): salt_and_pepper,
        nn.Hardtanh(0.0, 1.0): True,
    }
    return K.AugmentationSequential(*(step for step, strength in steps.items() if strength), data_keys=["image"])
