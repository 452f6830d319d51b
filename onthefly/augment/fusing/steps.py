"""Parts made ready for a batch: small tensors, sent to the device at once; and run on images, masks and points."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor

from onthefly.augment.fusing.colour import painter
from onthefly.augment.fusing.geometry import Sampling, matrix_of
from onthefly.augment.fusing.palette import Palette
from onthefly.augment.fusing.parts import Given, Part
from onthefly.augment.fusing.pointwise import Stage, compiled, run
from onthefly.augment.fusing.sampling import Shape
from onthefly.augment.fusing.warp import is_affine, source_map, warp
from onthefly.data.batches import sent

Size = tuple[int, int]


@dataclass(frozen=True)
class Warp:
    """A warp of a batch: ``maps`` float32[N, 3, 3] as ``source_map`` makes them."""

    maps: Tensor
    size: Size
    mode: str
    padding: str
    affine: bool

    @classmethod
    def of(cls, matrix: Tensor, before: Size, after: Size, sampling: Sampling) -> "Warp":
        """From ``matrix`` float64[N, 3, 3]; where whole pixels move, they are read as they are."""
        mode, padding = sampling.mode or "nearest", sampling.padding or "zeros"
        maps = source_map(matrix, before, after, mode, padding)
        return cls(maps, after, mode, padding, is_affine(maps))

    def __call__(self, image: Tensor, rows: slice) -> Tensor:
        maps = self.maps[rows].to(image.device, non_blocking=True)
        return warp(image, maps, self.size, self.mode, self.padding, affine=self.affine)

    def small(self) -> list[Tensor]:
        """What is sent to the device."""
        return [self.maps]

    def sent(self, tensors: Iterable[Tensor]) -> "Warp":
        """The same, with what was sent."""
        return replace(self, maps=next(iter(tensors)))


@dataclass(frozen=True)
class Paint:
    """A pointwise pass on a batch."""

    stages: tuple[Stage, ...]
    compile: bool

    def __call__(self, image: Tensor, rows: slice) -> Tensor:
        kinds = tuple(stage.kind for stage in self.stages)
        tensors = [tuple(_as(tensor[rows], image) for tensor in stage.tensors) for stage in self.stages]
        return (compiled(kinds) if self.compile else run)(image, kinds, tensors)

    def small(self) -> list[Tensor]:
        """What is sent to the device."""
        return [tensor for stage in self.stages for tensor in stage.tensors if _is_small(tensor)]

    def sent(self, tensors: Iterable[Tensor]) -> "Paint":
        """The same, with what was sent."""
        arrived = iter(tensors)
        return replace(self, stages=tuple(_refilled(stage, arrived) for stage in self.stages))


@dataclass(frozen=True)
class Moved:
    """What a warp does: to images, to masks, and to points by ``matrix`` float64[N, 3, 3]; None changes nothing."""

    image: Warp | None
    mask: Warp | None
    matrix: Tensor


def moved(part: Part, given: Given, *, masks: bool) -> Moved:
    """A warp made ready; for masks too, if there are any."""
    before, after = _size(part.shapes[0]), _size(part.shapes[-1])
    matrix = _product(part, given.image)
    if before == after and bool((matrix == torch.eye(3, dtype=torch.float64, device="cpu")).all()):
        return Moved(None, None, matrix)
    image = Warp.of(matrix, before, after, part.image)
    return Moved(image, Warp.of(_product(part, given.mask), before, after, part.mask) if masks else None, matrix)


def painted(part: Part, device: torch.device, *, exact: bool, uniform: bool, unit: bool) -> tuple[Paint, bool]:
    """A pointwise pass made ready; and whether values are in [0, 1] after it, if they are before."""
    samples, channels = _known(part.shapes[0])[:2]
    palette = Palette(samples, channels, strict=exact, uniform=uniform, unit=unit, device=device)
    for one in part.operations:
        cast(Callable[..., None], painter(one, channels))(palette, one)
    stages = tuple(palette.done())
    return Paint(stages, uniform), palette.unit


def send(steps: list[Any], device: torch.device) -> list[Any]:
    """Steps with their small tensors on the device: one transfer for all."""
    if device.type == "cpu":
        return steps
    small = [step.small() for step in steps]
    flat = torch.cat([tensor.reshape(-1) for tensors in small for tensor in tensors] or [torch.zeros(0, device="cpu")])
    arrived = iter(sent(flat, device).split([one.numel() for tensors in small for one in tensors]))
    return [
        step.sent([next(arrived).view(tensor.shape) for tensor in tensors])
        for step, tensors in zip(steps, small, strict=True)
    ]


def _product(part: Part, given: Any) -> Tensor:
    """Of the matrices of all operations, as Kornia reports them."""
    first, *others = (
        matrix_of(one, _known(shape), given) for one, shape in zip(part.operations, part.shapes, strict=False)
    )
    return reduce(lambda product, matrix: matrix @ product, others, first)


def _known(shape: Shape | None) -> tuple[int, ...]:
    """Parts are made ready for a batch, whose shape is known."""
    return tuple(cast(Shape, shape))


def _size(shape: Shape | None) -> Size:
    _, _, height, width = _known(shape)
    return height, width


def _refilled(stage: Stage, arrived: Any) -> Stage:
    return Stage(stage.kind, tuple(next(arrived) if _is_small(tensor) else tensor for tensor in stage.tensors))


def _is_small(tensor: Tensor) -> bool:
    """Not noise, which is as large as the images, and on the device already."""
    return tensor.ndim < 4


def _as(tensor: Tensor, image: Tensor) -> Tensor:
    return tensor.to(image.dtype) if tensor.is_floating_point() else tensor
