"""Which operations move pixels as one warp can, and by which matrices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onthefly.augment.fusing.operations import Operation

Size = tuple[int, int]


@dataclass(frozen=True)
class Sampling:
    """How pixels are read between and beyond those that there are.

    Args:
        mode: "nearest", "nearest-exact" (halves go up), "bilinear" or "bicubic"; None where whole pixels move.
        padding: "zeros", "border", "reflection" (about pixels) or "reflection at edges"; None where none is read
            beyond.
    """

    mode: str | None = None
    padding: str | None = None

    def joined(self, other: "Sampling") -> "Sampling | None":
        """The sampling that serves both, if there is one."""
        exact = {self.mode, other.mode} == {"nearest", "nearest-exact"}
        mode = "nearest" if exact else _common(self.mode, other.mode)
        padding = _common(self.padding, other.padding)
        return None if _DIFFER in (mode, padding) else Sampling(mode, padding)

    def __str__(self) -> str:
        mode = self.mode or "pixel by pixel"
        return mode if self.padding is None else f"{mode}, {self.padding} outside"


_DIFFER = "differ"


@dataclass(frozen=True)
class _Seen:
    """What is known of an operation: its settings; before a batch, neither what it drew nor the size of its images."""

    module: Any
    flags: Mapping[str, Any]
    params: Mapping[str, Tensor] | None
    size: Size | None


def sampling_of(operation: Operation, size: Size | None, given: Mapping[str, Any]) -> Sampling | str | None:
    """How an operation reads pixels, or why one warp can't do it; None if it moves none.

    Args:
        operation: with parameters, or before they were drawn.
        size: (H, W) of its images; None if not known.
        given: what the pipeline's ``extra_args`` say of this kind of data.
    """
    rule = _RULES.get(operation.kind)
    if rule is None:
        return None
    if operation.params is not None and operation.kind in _RESIZING and len(operation.applied.unique()) > 1:
        return "it would change the size of some samples only"
    return rule(_Seen(operation.module, _flags(operation, given), operation.params, size))


def matrix_of(operation: Operation, shape: tuple[int, ...], given: Mapping[str, Any]) -> Tensor:
    """The matrix ``float64[N, 3, 3]`` from pixels before to pixels after, as Kornia reports it; on the CPU."""
    module: Any = operation.module
    params = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in operation.params.items()}
    flags = _flags(operation, given)
    if operation.kind == "RandomResizedCrop" and operation.is_sure and _by_corners(flags):
        return _from_box_to_box(params["src"].double(), params["dst"].double())
    images = torch.empty((), dtype=torch.float64, device="cpu").expand(shape)
    matrix: Tensor = module.generate_transformation_matrix(images, params, flags)
    return matrix.detach().to("cpu", torch.float64).expand(shape[0], 3, 3)


def _by_corners(flags: Mapping[str, Any]) -> bool:
    return bool(flags["align_corners"]) and _mode(flags) != "nearest"


def _from_box_to_box(before: Tensor, after: Tensor) -> Tensor:
    """What Kornia solves eight equations a sample for, in a tenth of the time; corners ``[N, 4, 2]``."""
    scale = (after[:, 2] - after[:, 0]) / (before[:, 2] - before[:, 0])
    matrix = torch.diag_embed(torch.cat([scale, torch.ones_like(scale[:, :1])], 1))
    matrix[:, :2, 2] = after[:, 0] - scale * before[:, 0]
    return matrix


def _flags(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    module: Any = operation.module
    flags = {**module.flags, **{name: value for name, value in given.items() if name in module.flags}}
    if flags.get("align_corners", 0) is None:
        flags["align_corners"] = module.flags.get("align_corners", False)
    return flags


def _common(one: str | None, other: str | None) -> str | None:
    if one is None or other is None or one == other:
        return other if one is None else one
    return _DIFFER


def _mode(flags: Mapping[str, Any]) -> str:
    from kornia.constants import Resample

    name: str = Resample.get(flags["resample"]).name
    return name.lower()


def _flipped(_: _Seen) -> Sampling | str:
    return Sampling()


def _warped(seen: _Seen) -> Sampling | str:
    from kornia.constants import SamplePadding

    flags = seen.flags
    padding = SamplePadding.get(flags.get("padding_mode", "zeros")).name.lower()
    if flags["align_corners"] and seen.size is not None and 1 in seen.size:
        return "its images are one pixel wide or high"
    if padding == "fill":
        return "it fills with a value of its own"
    if padding == "reflection" and not flags["align_corners"]:
        padding = "reflection at edges"
    return Sampling(_mode(flags), padding)


def _cropped(seen: _Seen) -> Sampling | str:
    flags, size, padding = seen.flags, seen.size, None
    if flags["padding"] is not None or flags["pad_if_needed"]:
        padding = _PADDINGS.get(flags["padding_mode"])
        if padding is None or (padding == "zeros" and flags["fill"] != 0):
            return "it pads with a value of its own"
        if padding != "zeros" and flags["cropping_mode"] == "resample":
            return "it pads twice"
    if size is not None:
        left, right, top, bottom = seen.module.compute_padding((1, 1, *size), flags)
        if flags["size"][0] > size[0] + top + bottom or flags["size"][1] > size[1] + left + right:
            return "its crop is larger than the image"
        if padding == "reflection" and (max(left, right) >= size[1] or max(top, bottom) >= size[0]):
            return "it pads with more than the image"
    return Sampling(None, padding)


def _centred(seen: _Seen) -> Sampling | str:
    flags, size = seen.flags, seen.size
    if size is not None and (flags["size"][0] > size[0] or flags["size"][1] > size[1]):
        return "its crop is larger than the image"
    return Sampling()


def _crop_resized(seen: _Seen) -> Sampling | str:
    flags, mode = seen.flags, _mode(seen.flags)
    if seen.params is not None and _has_one_pixel_side(seen.params):
        return "its crop is one pixel wide or high"
    if flags["cropping_mode"] == "resample":
        return Sampling(mode, "zeros")
    if mode == "bicubic" or (mode == "bilinear" and not flags["align_corners"]):
        return f"it repeats the edge of each crop ({mode}, align_corners={flags['align_corners']})"
    return Sampling("nearest-exact" if mode == "nearest" else mode)


def _resized(seen: _Seen) -> Sampling | str:
    flags, mode = seen.flags, _mode(seen.flags)
    if flags["antialias"]:
        return "it blurs before it resizes (antialias=True)"
    if seen.params is not None and _has_one_pixel_side(seen.params):
        return "its images are one pixel wide or high"
    if mode == "nearest":
        return Sampling("nearest-exact")
    return Sampling(mode, None if mode == "bilinear" and flags["align_corners"] else "border")


def _padded(seen: _Seen) -> Sampling | str:
    if seen.flags["pad_mode"] != "constant" or seen.flags["pad_value"] != 0:
        return "it pads with a value of its own"
    return Sampling(None, "zeros")


def _has_one_pixel_side(params: Mapping[str, Tensor]) -> bool:
    """Kornia maps such boxes by a rule of their own."""
    boxes = torch.cat([params["src"], params["dst"]])
    return bool((boxes[:, 2] == boxes[:, 0]).any())


_PADDINGS = {"constant": "zeros", "replicate": "border", "reflect": "reflection"}
_RESIZING = ("RandomCrop", "CenterCrop", "RandomResizedCrop", "Resize", "LongestMaxSize", "SmallestMaxSize")
_RULES: dict[str, Callable[[_Seen], Sampling | str]] = {
    "RandomHorizontalFlip": _flipped,
    "RandomVerticalFlip": _flipped,
    "RandomAffine": _warped,
    "RandomShear": _warped,
    "RandomTranslate": _warped,
    "RandomRotation": _warped,
    "RandomRotation90": _warped,
    "RandomPerspective": _warped,
    "RandomCrop": _cropped,
    "CenterCrop": _centred,
    "RandomResizedCrop": _crop_resized,
    "Resize": _resized,
    "LongestMaxSize": _resized,
    "SmallestMaxSize": _resized,
    "PadTo": _padded,
}
