"""Normalisation: real images arrive as their dataset's transform left them, generators yield [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onthefly.data.nested import change, change_at, outline, places

_SLACK = 1e-3  # how far a value may leave [0, 1] by rounding
_NAMES = ("['image']", "['pixel_values']", "['img']")  # what images are called in dicts


@dataclass(frozen=True)
class Normalization:
    """What ``torchvision.transforms.Normalize(mean, std)`` does, and its inverse.

    Args:
        mean: of each channel.
        std: of each channel, above 0.

    >>> norm = Normalization((0.5,), (0.25,))
    >>> norm.apply(torch.full((1, 2, 2), 0.75)).unique(), norm.undo(torch.ones(1, 2, 2)).unique()
    (tensor([1.]), tensor([0.7500]))
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean or not all(std > 0 for std in self.std):
            raise ValueError(
                "normalized: expected (mean, std), each with one number for each channel and std above 0, found "
                f"({self.mean}, {self.std}); pass what your transform's Normalize was given"
            )

    @classmethod
    def of(cls, normalized: Any) -> "Normalization | None":
        """From ``(mean, std)``, numbers or one number for each channel; None stays None."""
        if normalized is None or isinstance(normalized, Normalization):
            return normalized
        try:
            mean, std = (_floats(part) for part in normalized)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"normalized: expected (mean, std), found {normalized!r}; write normalized=((0.5,), (0.5,))"
            ) from error
        return cls(mean, std)

    def apply(self, image: Tensor) -> Tensor:
        """``[..., C, H, W]`` in [0, 1] to normalised values."""
        return (image - self._of_channels(self.mean, image)) / self._of_channels(self.std, image)

    def undo(self, image: Tensor) -> Tensor:
        """Normalised values ``[..., C, H, W]`` to [0, 1]."""
        return image * self._of_channels(self.std, image) + self._of_channels(self.mean, image)

    def _of_channels(self, values: tuple[float, ...], image: Tensor) -> Tensor:
        if len(values) not in (1, image.shape[-3]):
            raise ValueError(
                f"normalized: expected one number for each of {image.shape[-3]} channels, found {len(values)}"
            )
        return image.new_tensor(values)[:, None, None]


def find_normalization(dataset: Any) -> Normalization | None:
    """The normalisation in a dataset's own transform, if there is just one ``Normalize`` in it and nothing random hides
    it.

    >>> from torchvision.transforms import Compose, Normalize, ToTensor
    >>> class Photos(list):
    ...     transform = Compose([ToTensor(), Normalize((0.5,), (0.5,))])
    >>> find_normalization(Photos())
    Normalization(mean=(0.5,), std=(0.5,))
    """
    while dataset is not None and getattr(dataset, "transform", None) is None:
        dataset = getattr(dataset, "dataset", None)
    steps = _steps(getattr(dataset, "transform", None))
    found = [step for step in steps if type(step).__name__ == "Normalize" and hasattr(step, "mean")]
    return Normalization(_floats(found[0].mean), _floats(found[0].std)) if len(found) == 1 else None


def on_image(structure: Any, fn: Callable[[Tensor], Tensor], ndim: int, what: str = "normalized") -> Any:
    """Change the image in a sample (``ndim`` 3) or a batch (4): the floating-point tensor of that many dimensions; of
    several, the one that a dict calls so, or the first.

    Raises:
        ValueError: if there is none, or several alike; naming ``what`` needs it.

    >>> on_image([torch.zeros(1, 2, 2), 3], lambda image: image + 1, ndim=3)[0].unique()
    tensor([1.])
    """
    found = list(_images(structure, ndim))
    if len(found) == 1:
        return change_at(found[0], fn, structure)
    kind = f"float[{', '.join('NCHW'[-ndim:])}]"
    if not found:
        raise ValueError(
            f"{what}: expected an image, one tensor {kind}, found none in {outline(structure)}; make it one in your "
            "collate_fn, or in the dataset's transform"
        )
    raise ValueError(
        f"{what}: expected one image {kind}, found several alike at {', '.join(found)} of {outline(structure)}; call "
        "it 'image' in a dict, name all of them in Kornia's data_keys, or normalise in a callable of your own"
    )


def arrives_normalized(sample: Any, normalized: Normalization | None) -> bool:
    """Whether a dataset yields its sample normalised, and not only a ``collate_fn`` does it: the image is a tensor or
    an array with values outside [0, 1]."""
    image = image_in(with_tensors(sample), ndim=3)
    return normalized is not None and image is not None and not is_unit(image)


def is_unit(image: Tensor) -> bool:
    """Whether all values lie in [0, 1], but for rounding."""
    least, most = torch.stack(image.aminmax()).tolist()
    return bool(least >= -_SLACK and most <= 1 + _SLACK)


def with_tensors(sample: Any) -> Any:
    """A sample with tensors for numpy's arrays of floats."""
    return change(lambda part: torch.as_tensor(part) if _is_float_array(part) else part, sample)


def image_in(structure: Any, ndim: int) -> Tensor | None:
    """The image in a sample or a batch, as ``on_image`` finds it; of several alike the first."""
    return next(iter(_images(structure, ndim).values()), None)


def _images(structure: Any, ndim: int) -> dict[str, Tensor]:
    """What may be the image, by place."""
    found = {place: part for place, part in places(structure) if _is_image(part, ndim)}
    named = {place: part for place, part in found.items() if place.endswith(_NAMES)}
    first = next(iter(found.values()), None)
    return named or {place: part for place, part in found.items() if first is not None and part.shape == first.shape}


def _is_float_array(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "f"


def _is_image(part: Any, ndim: int) -> bool:
    return isinstance(part, Tensor) and part.is_floating_point() and part.ndim == ndim


def _steps(transform: Any) -> list[Any]:
    """What is done one after the other, always: of what is done by chance nothing is known."""
    if type(transform).__name__ == "Compose":
        return [step for one in transform.transforms for step in _steps(one)]
    if type(transform) is torch.nn.Sequential:
        return [step for one in transform for step in _steps(one)]
    return [transform]


def _floats(values: Any) -> tuple[float, ...]:
    if isinstance(values, (int, float)):
        return (float(values),)
    return tuple(float(value) for value in values)
