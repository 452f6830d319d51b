"""Images among the parts of samples and batches: found, changed, looked at."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onthefly.data.nested import change, change_at, outline, places

_SLACK = 1e-3  # how far a value may leave [0, 1] by rounding
_NAMES = ("['image']", "['pixel_values']", "['img']")  # what images are called in dicts


def on_image(
    structure: Any, fn: Callable[[Tensor], Tensor], ndim: int, what: str = "normalized", *, or_bytes: bool = False
) -> Any:
    """Change the image in a sample (``ndim`` 3) or a batch (4): the floating-point tensor of that many dimensions; of
    several, the one that a dict calls so, or the first. With ``or_bytes`` it may be a tensor of bytes.

    Raises:
        ValueError: if there is none, or several alike; naming ``what`` needs it.

    >>> on_image([torch.zeros(1, 2, 2), 3], lambda image: image + 1, ndim=3)[0].unique()
    tensor([1.])
    """
    found = list(_images(structure, ndim, or_bytes))
    if len(found) == 1:
        return change_at(found[0], fn, structure)
    kind = f"float[{', '.join('NCHW'[-ndim:])}]"
    if not found:
        raise ValueError(
            f"{what}: expected an image, one tensor {kind}, found none in {outline(structure)}; make it one in your "
            "collate_fn or in the dataset's transform, or pass normalized=False to leave images as they are"
        )
    raise ValueError(
        f"{what}: expected one image {kind}, found several alike at {', '.join(found)} of {outline(structure)}; call "
        "it 'image' in a dict, name all of them in Kornia's data_keys, or pass normalized=False to leave images as "
        "they are"
    )


def is_unit(image: Tensor) -> bool:
    """Whether all values lie in [0, 1], but for rounding."""
    return image.numel() == 0 or bool(image.min() >= -_SLACK and image.max() <= 1 + _SLACK)


def images_of(samples: list[Any]) -> list[Tensor]:
    """The images of some samples, arrays of floats among them."""
    found = (image_in(change(_as_tensor, sample), ndim=3) for sample in samples)
    return [image for image in found if image is not None]


def value_range(images: list[Tensor]) -> str:
    """Their least and their largest value, for a message."""
    least, most = min(float(image.min()) for image in images), max(float(image.max()) for image in images)
    return f"from {least:.3g} to {most:.3g}"


def image_in(structure: Any, ndim: int, *, or_bytes: bool = False) -> Tensor | None:
    """The image in a sample or a batch, as ``on_image`` finds it; of several alike the first."""
    return next(iter(_images(structure, ndim, or_bytes).values()), None)


def _images(structure: Any, ndim: int, or_bytes: bool) -> dict[str, Tensor]:
    """What may be the image, by place."""
    found = {place: part for place, part in places(structure) if _is_image(part, ndim, or_bytes)}
    named = {place: part for place, part in found.items() if place.endswith(_NAMES)}
    first = next(iter(found.values()), None)
    return named or {place: part for place, part in found.items() if first is not None and _alike(part, first)}


def _alike(part: Tensor, other: Tensor) -> bool:
    return part.shape == other.shape and part.is_floating_point() == other.is_floating_point()


def _as_tensor(part: Any) -> Any:
    return torch.as_tensor(part) if isinstance(part, np.ndarray) and part.dtype.kind == "f" else part


def _is_image(part: Any, ndim: int, or_bytes: bool) -> bool:
    if not isinstance(part, Tensor) or part.ndim != ndim:
        return False
    return part.is_floating_point() or (or_bytes and part.dtype == torch.uint8)
