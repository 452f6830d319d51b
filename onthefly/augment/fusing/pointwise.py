"""The pointwise pass: a few stages, each a function of one pixel and of what its sample drew."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """One stage, by name, with tensors of one row a sample.

    "scale": factor [N, C], shift [N, C]; "affine": matrix [N, C, C], shift [N, C]; "affine of mean": these, and
    [N, C, C] for the mean of each channel; "hue": [N], in turns; "saturation": [N], a factor in HSV, [N] 1 or 0;
    "gamma": exponent [N], gain [N]; "solarize": threshold [N]; "clamp": least [N], most [N]; "clamp to unit": none;
    "add": noise [N, C, H, W], [N] 1 or 0; "put": two masks bool[N, C, H, W] for 1 and for 0, [N] 1 or 0.
    """

    kind: str
    tensors: tuple[Tensor, ...]


def run(image: Tensor, kinds: tuple[str, ...], tensors: list[tuple[Tensor, ...]]) -> Tensor:
    """All stages on images ``float[N, C, H, W]``, which are left as they are."""
    for kind, given in zip(kinds, tensors, strict=True):
        image = _STAGES[kind](image, *given)
    return image


@cache
def compiled(kinds: tuple[str, ...]) -> Callable[..., Tensor]:
    """``run`` for stages of these kinds as one kernel. ``torch.compile`` gives up on code that it has compiled eight
    times: each sequence of kinds has code of its own."""
    code = run.__code__.replace(co_name=f"run: {', '.join(kinds)}")
    compiled: Callable[..., Tensor] = torch.compile(FunctionType(code, globals()), fullgraph=True)
    return compiled


def _scale(image: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(_each(shift), image, _each(factor))


def _affine(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    if image.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.baddbmm(shift[:, :, None], matrix, image.flatten(2)).view(image.shape)
    mixed = _each(shift)  # elsewhere a matrix product may round to TF32, and can't be one kernel with what is around it
    for channel in range(image.shape[1]):
        mixed = torch.addcmul(mixed, _each(matrix[:, :, channel]), image[:, channel : channel + 1])
    return mixed


def _affine_of_mean(image: Tensor, matrix: Tensor, shift: Tensor, of_mean: Tensor) -> Tensor:
    mean = image.mean((2, 3))
    return _affine(image, matrix, shift + (of_mean * mean[:, None]).sum(2))


def _hue(image: Tensor, turns: Tensor) -> Tensor:
    """Turning the hue keeps a pixel's largest and smallest value; between them, a channel is a trapezoid of it."""
    red, green, blue = image.unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    range_ = most - least
    scale = range_.clamp_min(torch.finfo(image.dtype).tiny).reciprocal_()
    after_green, after_blue = (blue - red).mul_(scale).add_(2), (red - green).mul_(scale).add_(4)
    sixths = torch.where(green >= most, after_green, after_blue)
    sixths = torch.where(red >= most, (green - blue).mul_(scale), sixths).add_(_each(turns * 6))
    sixths = torch.sub(sixths, (sixths * (1 / 6)).floor_(), alpha=6)
    shares = (
        (sixths - 3).abs_().sub_(1),
        (sixths - 2).abs_().neg_().add_(2),
        (sixths - 4).abs_().neg_().add_(2),
    )
    return torch.stack([share.clamp_(0, 1).mul_(range_).add_(least) for share in shares], 1)


def _saturation(image: Tensor, factor: Tensor, applied: Tensor) -> Tensor:
    """Scaling HSV's saturation moves all channels away from the largest, until the smallest is 0."""
    most = image.amax(1, keepdim=True)
    range_ = most - image.amin(1, keepdim=True)
    limit = (most / range_.clamp_min(torch.finfo(image.dtype).tiny)).clamp_min(0)
    scale = torch.where(_image(applied) > 0, torch.minimum(_image(factor), limit), 1.0)
    return most - (most - image) * scale


def _gamma(image: Tensor, exponent: Tensor, gain: Tensor) -> Tensor:
    return _image(gain) * image.pow(_image(exponent))


def _solarize(image: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(image < _image(threshold), image, 1 - image)


def _clamp(image: Tensor, least: Tensor, most: Tensor) -> Tensor:
    return torch.clamp(image, _image(least), _image(most))


def _unit(image: Tensor) -> Tensor:
    return image.clamp(0, 1)


def _add(image: Tensor, noise: Tensor, applied: Tensor) -> Tensor:
    return torch.addcmul(image, noise.to(image.dtype), _image(applied))


def _put(image: Tensor, ones: Tensor, zeros: Tensor, applied: Tensor) -> Tensor:
    chosen = _image(applied) > 0
    return image.masked_fill(ones & chosen, 1.0).masked_fill(zeros & chosen, 0.0)


def _each(values: Tensor) -> Tensor:
    """The same for all pixels: ``[..., 1, 1]``."""
    return values[..., None, None]


def _image(values: Tensor) -> Tensor:
    """One value a sample, beside images ``[N, C, H, W]``."""
    return values[:, None, None, None]


_STAGES: dict[str, Callable[..., Tensor]] = {
    "scale": _scale,
    "affine": _affine,
    "affine of mean": _affine_of_mean,
    "hue": _hue,
    "saturation": _saturation,
    "gamma": _gamma,
    "solarize": _solarize,
    "clamp": _clamp,
    "clamp to unit": _unit,
    "add": _add,
    "put": _put,
}
