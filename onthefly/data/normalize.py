"""Normalisation: real images arrive as their dataset's transform left them, generators yield [0, 1]."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onthefly.data.images import images_of, is_unit, value_range


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
        """From ``(mean, std)``, numbers or one number for each channel; None and False are none."""
        if normalized is None or normalized is False:
            return None
        if isinstance(normalized, Normalization):
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


def arrives_normalized(sample: Any, normalized: Normalization | None) -> bool:
    """Whether a dataset yields its sample normalised, and not only a ``collate_fn`` does it: the image is a tensor or
    an array with values outside [0, 1]."""
    return normalized is not None and not all(map(is_unit, images_of([sample])))


def check_unit(images: list[Tensor], normalized: Normalization | None) -> None:
    """Refuse images outside [0, 1], their normalisation undone.

    Raises:
        ValueError: naming ``normalized``.
    """
    plain = undone(images, normalized)
    if all(map(is_unit, plain)):
        return
    after = f"with {normalized} undone" if normalized else "and their dataset's transform has no lone Normalize to undo"
    raise ValueError(
        f"dataset: expected images in [0, 1], found values {value_range(plain)}, {after}; pass normalized=(mean, std), "
        "what the images were normalised with"
    )


def undone(images: list[Tensor], normalized: Normalization | None) -> list[Tensor]:
    """Images without their normalisation."""
    return images if normalized is None else [normalized.undo(image) for image in images]


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
