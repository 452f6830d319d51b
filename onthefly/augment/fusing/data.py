"""What runs with the images: masks, boxes and keypoints, by the same matrices."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onthefly.augment.fusing.parts import Part
from onthefly.augment.fusing.steps import Moved, Warp

_BOXES = ("BBOX", "BBOX_XYXY", "BBOX_XYWH")
_ALL = slice(None)


def along(key: str, value: Any, part: Part, moved: Moved | None) -> Any:
    """What a part of the pipeline does to data of a key (a name of Kornia's ``DataKey``) that is not the image.

    Args:
        key: what it is.
        value: as Kornia's ``AugmentationSequential`` hands it to its operations: tensors, lists of masks, ``Boxes``,
            ``Keypoints``.
        part: which part.
        moved: what it does, if it is a warp.
    """
    if key == "MASK":
        return _masks(value, part, None if moved is None else moved.mask)
    if moved is None:
        return value
    if key in _BOXES:
        return value.transform_boxes(_like(moved.matrix, value.data))
    return value.transform_keypoints(_like(moved.matrix, value.data)) if key == "KEYPOINTS" else value


def own(output: Any, given: Any) -> Any:
    """A result that shares no memory with what was given, so that writing to one leaves the other as it is."""
    if isinstance(output, list) and isinstance(given, Sequence):
        return [own(*pair) for pair in zip(output, given, strict=True)]
    shared = output is given
    if isinstance(output, Tensor) and isinstance(given, Tensor):
        shared = output.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    return output.clone() if shared and hasattr(output, "clone") else output


def _masks(value: Any, part: Part, warp: Warp | None) -> Any:
    if isinstance(value, Sequence):
        return [_mask(mask, part, warp, slice(row, row + 1)) for row, mask in enumerate(value)]
    return _mask(value, part, warp, _ALL)


def _mask(mask: Tensor, part: Part, warp: Warp | None, rows: slice) -> Tensor:
    planes = mask if mask.ndim == 4 else _planes(mask, part, rows)
    if warp is not None:
        planes = warp(planes.float() if planes.dtype != torch.float64 else planes, rows).to(mask.dtype)
    if mask.ndim == 4 or not all(getattr(one.module, "keepdim", True) for one in part.operations):
        return planes
    return planes.view(*mask.shape[:-2], *planes.shape[-2:])


def _planes(mask: Tensor, part: Part, rows: slice) -> Tensor:
    """``[N, C, H, W]``: of masks of three dimensions the first is the batch, if it is as long."""
    samples = 1 if rows != _ALL or part.shapes[0] is None else part.shapes[0][0]
    if mask.ndim == 3 and mask.shape[0] == samples and rows == _ALL:
        return mask[:, None]
    return mask[(None,) * (4 - mask.ndim)]


def _like(matrix: Tensor, points: Tensor) -> Tensor:
    return matrix.to(points.device, points.dtype if points.is_floating_point() else torch.float32)
