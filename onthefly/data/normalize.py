"""Normalisation: real images arrive as their dataset's transform left them, generators yield [0, 1]."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


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
    found = [
        step
        for step in _steps(getattr(dataset, "transform", None))
        if type(step).__name__ == "Normalize" and hasattr(step, "mean")
    ]
    return Normalization(_floats(found[0].mean), _floats(found[0].std)) if len(found) == 1 else None


def on_image(structure: Any, change: Callable[[Tensor], Tensor], ndim: int) -> Any:
    """Change the image in a sample (``ndim`` 3) or a batch (4): its first floating-point tensor of that many
    dimensions.

    A structure without one is returned as it is.

    >>> on_image([torch.zeros(1, 2, 2), 3], lambda image: image + 1, ndim=3)[0].unique()
    tensor([1.])
    """
    leaves, outline = tree_flatten(structure)
    place = image_place(leaves, ndim)
    if place is None:
        return structure
    leaves[place] = change(leaves[place])
    return tree_unflatten(leaves, outline)


def image_place(leaves: Sequence[Any], ndim: int) -> int | None:
    """Which of some parts is the image."""
    return next(
        (
            i
            for i, leaf in enumerate(leaves)
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim == ndim
        ),
        None,
    )


def _steps(transform: Any) -> list[Any]:
    if transform is None:
        return []
    inner = getattr(transform, "transforms", None)
    if inner is None and isinstance(transform, torch.nn.Sequential):
        inner = list(transform)
    return [transform] if inner is None else [step for one in inner for step in _steps(one)]


def _floats(values: Any) -> tuple[float, ...]:
    if isinstance(values, (int, float)):
        return (float(values),)
    return tuple(float(value) for value in values)
