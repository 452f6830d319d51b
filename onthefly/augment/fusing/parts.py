"""A pipeline cut into parts: warps, pointwise passes, and operations that run as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onthefly.augment.fusing.colour import is_noise, painter
from onthefly.augment.fusing.geometry import Sampling, sampling_of
from onthefly.augment.fusing.operations import Operation
from onthefly.augment.fusing.sampling import Shape, shape_after

WARP, POINTWISE, AS_IT_IS = "warp", "pointwise", "as it is"


@dataclass(frozen=True, repr=False)
class Part:
    """Neighbouring operations that run as one.

    Attributes:
        kind: "warp", "pointwise" or "as it is".
        operations: in their order.
        shapes: of the images before each, (N, C, H, W), and after the last; None before a batch.
        why: it isn't one with the part before, or runs as it is.
        image, mask: how a warp reads images, and how masks.
    """

    kind: str
    operations: tuple[Operation, ...]
    shapes: tuple[Shape | None, ...]
    why: str = ""
    image: Sampling = field(default_factory=Sampling)
    mask: Sampling = field(default_factory=Sampling)

    def __repr__(self) -> str:
        names = ", ".join(one.name for one in self.operations)
        return f"{self.kind:<10}{names}{self._note()}"

    def _note(self) -> str:
        notes = [str(self.image)] if self.kind == WARP else []
        if self.mask.mode not in (None, "nearest", "nearest-exact") or self.mask.padding not in (
            None,
            self.image.padding,
        ):
            notes.append(f"masks {self.mask}")
        if self.kind == POINTWISE and any(map(is_noise, self.operations)):
            notes.append("noise made on the device")
        return "".join(f"; {note}" for note in [*notes, self.why] if note)


@dataclass(frozen=True)
class Given:
    """What the pipeline's ``extra_args`` say of images and of masks; and all of them."""

    image: Mapping[str, Any]
    mask: Mapping[str, Any]
    all: Mapping[Any, Any]


def cut(operations: Sequence[Operation], shape: Shape | None, given: Given, *, exact: bool) -> list[Part]:
    """The parts of a pipeline for images of a shape ``(N, C, H, W)``; before a batch, as far as they can be told.

    Args:
        operations: in their order.
        shape: of the batch; None if it isn't known yet.
        given: what the pipeline says of images and masks.
        exact: each operation that moves pixels is a warp of its own, as it is in Kornia.
    """
    from kornia.augmentation.container.params import ParamItem  # heavy, and not needed by who doesn't augment

    parts: list[Part] = []
    for one in operations:
        after = None if shape is None else shape_after(ParamItem(one.name, one.params), shape, one.module)
        part = _alone(one, (shape, after), given)
        joined = _joined(parts[-1], part, exact) if parts else ""
        if isinstance(joined, Part):
            parts[-1] = joined
        else:
            parts.append(replace(part, why=part.why or joined))
        shape = after
    return [_by_kornia(part) for part in parts]


def _by_kornia(part: Part) -> Part:
    """A warp costs more than one move of whole pixels, unless it does others too."""
    if part.kind == WARP and len(part.operations) == 1 and part.image.mode is None:
        return replace(part, kind=AS_IT_IS, why="it moves whole pixels, and no other warp is joined to it")
    return part


def uncut(operations: Sequence[Operation], why: str) -> list[Part]:
    """Each operation as it is, and why."""
    return [Part(AS_IT_IS, (one,), (None, None), why) for one in operations]


def _alone(one: Operation, shapes: tuple[Shape | None, ...], given: Given) -> Part:
    shape = shapes[0]
    if shape is not None and (len(shape) != 4 or not shape[0]):
        return Part(AS_IT_IS, (one,), shapes, "there is no batch of images [N, C, H, W]")
    size = None if shape is None else (shape[2], shape[3])
    image, mask = sampling_of(one, size, given.image), sampling_of(one, size, given.mask)
    if isinstance(image, Sampling) and isinstance(mask, Sampling):
        return Part(WARP, (one,), shapes, "", image, mask)
    paint = painter(one, None if shape is None else shape[1])
    if callable(paint):
        return Part(POINTWISE, (one,), shapes)
    return Part(AS_IT_IS, (one,), shapes, next(why for why in (image, mask, paint, _OTHER) if isinstance(why, str)))


def _joined(last: Part, part: Part, exact: bool) -> Part | str:
    """Both as one part, or why they can't be."""
    if last.kind != part.kind or part.kind == AS_IT_IS:
        return ""
    both = replace(last, operations=last.operations + part.operations, shapes=last.shapes + part.shapes[1:])
    if part.kind == POINTWISE:
        return both
    if exact:
        return "exact: as many warps as there are operations"
    image, mask = last.image.joined(part.image), last.mask.joined(part.mask)
    if image is None or mask is None:
        return f"its own warp, as the one before is {last.image if image is None else last.mask}"
    return replace(both, image=image, mask=mask)


_OTHER = "it is neither a warp nor pointwise, or not known to be"
