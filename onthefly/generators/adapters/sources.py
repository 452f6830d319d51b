"""The images among the real samples that synthetic ones are made from, as a model takes them."""

from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor

from onthefly.data.images import image_in
from onthefly.data.nested import change, outline


def as_images(sources: Any, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Images in [0, 1] of a model's size and channels: ``float32[N, C, H, W]``.

    Args:
        sources: what ``FrozenGenerator.sample`` is given: a batch, or a list of samples of any sizes; tensors
            ``[C, H, W]``, numpy arrays, or PIL images; of bytes, or in [0, 1].
        shape: ``(C, H, W)``.
        device: where they are wanted.

    Raises:
        ValueError: if there are none, or they have no image.

    >>> as_images([torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])], (3, 4, 4), torch.device("cpu")).shape
    torch.Size([2, 3, 4, 4])
    """
    if sources is None:
        raise ValueError(
            "sources: expected the real images that samples are made from, found None; pass them, or load the "
            "generator without strength="
        )
    together = image_in(sources, ndim=4, or_bytes=True)
    if together is not None:
        return _fitted(together.to(device), shape)
    images = [image_in(change(_as_tensor, sample), ndim=3, or_bytes=True) for sample in sources]
    found = [image for image in images if image is not None]
    if not found or len(found) < len(images):
        raise ValueError(
            f"sources: expected images [N, C, H, W], or a list of samples with one each, found {outline(sources)}; "
            "give the generator a dataset of images"
        )
    return torch.cat([_fitted(image[None].to(device), shape) for image in found])


def _fitted(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    if images.shape[2:] != shape[1:]:  # by the same rule whether an image comes alone or not
        images = F.interpolate(images, size=shape[1:], mode="bilinear", antialias=True).clamp(0, 1)
    return _in_channels(images, shape[0])


def _in_channels(images: Tensor, channels: int) -> Tensor:
    found = images.shape[1]
    if found == channels:
        return images
    if found == 4 and channels == 3:
        return images[:, :3]  # without transparency
    if found == 1:
        return images.expand(-1, channels, -1, -1)
    if channels == 1:
        return images[:, :3].mean(dim=1, keepdim=True)
    raise ValueError(
        f"sources: expected images of {channels} channels, or grey ones, found {found}; change them in the dataset's "
        "transform"
    )


def _as_tensor(part: Any) -> Any:
    if isinstance(part, Image):
        return pil_to_tensor(part)
    if not isinstance(part, np.ndarray) or part.ndim != 3:
        return part
    tensor = torch.from_numpy(part.copy())
    return tensor.movedim(2, 0) if part.dtype == np.uint8 and part.shape[2] in (1, 3, 4) else tensor
