"""Whether a Kornia pipeline fits the batches that it will be given."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from onthefly.augment.apply import is_kornia, takes_bytes
from onthefly.data.examples import Examples
from onthefly.data.hermetic import hermetic
from onthefly.data.images import image_in, on_image
from onthefly.data.nested import outline, places
from onthefly.data.normalize import Normalization, check_unit


def check_for_kornia(
    examples: Examples, collate_fn: Callable[[list[Any]], Any], normalized: Normalization | None, augment: Any
) -> None:
    """Refuse batches that Kornia would spoil: with images that are not floats in [0, 1], their normalisation undone; or
    bytes, for a fused pipeline.

    Raises:
        ValueError: naming ``augment`` or ``normalized``.
    """
    with hermetic(0):
        batch = collate_fn([sample for _, sample in examples])
    or_bytes = takes_bytes(augment) and normalized is None
    image = image_in(batch, ndim=4, or_bytes=or_bytes)
    if image is None and collate_fn is default_collate:
        raise ValueError(
            f"augment: expected images float[N, C, H, W] in [0, 1] for Kornia, found {outline(batch)}; give the "
            "dataset transform=torchvision.transforms.ToTensor(), or v2.ToDtype(torch.float32, scale=True); "
            "onthefly.augment.fused(pipeline) takes uint8 too, of datasets that don't normalise"
        )
    if image is not None:
        if image.is_floating_point():
            check_unit([image], normalized)
        if _sees_images_alone(augment):
            on_image(batch, _unchanged, ndim=4, what="augment", or_bytes=or_bytes)
        _warn_of_what_stays(batch, image, augment)


def _warn_of_what_stays(batch: Any, image: Tensor, augment: Any) -> None:
    """Masks and second views that a pipeline of images alone would leave where they are."""
    for place, part in places(batch):
        same_size = isinstance(part, Tensor) and part is not image and part.shape[-2:] == image.shape[-2:]
        if same_size and part.ndim > 2 and _moves_images_alone(augment):
            warnings.warn(
                f"augment: it moves the image, but not {place} of the same size; if that is a mask, give "
                'AugmentationSequential data_keys=["input", "mask"], in the order of the batch',
                stacklevel=4,
            )


def _moves_images_alone(augment: Any) -> bool:
    if isinstance(augment, Mapping):
        return any(map(_moves_images_alone, augment.values()))
    if not _sees_images_alone(augment):
        return False
    from kornia.augmentation import GeometricAugmentationBase2D

    return any(isinstance(part, GeometricAugmentationBase2D) for part in augment.modules())


def _sees_images_alone(augment: Any) -> bool:
    if isinstance(augment, Mapping):
        return any(map(_sees_images_alone, augment.values()))
    return is_kornia(augment) and len(getattr(augment, "data_keys", ["image"]) or ()) == 1


def _unchanged(image: Tensor) -> Tensor:
    return image
