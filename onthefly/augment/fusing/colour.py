"""What each of Kornia's pointwise operations does, said to a palette."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from onthefly.augment.fusing.operations import Operation
from onthefly.augment.fusing.palette import Palette

Paint = Callable[[Palette, Operation], None]


def painter(operation: Operation, channels: int | None) -> Paint | str | None:
    """What an operation does, or why the pointwise pass can't do it; None if it isn't pointwise.

    Args:
        operation: with parameters, or before they were drawn.
        channels: of its images; None if not known.
    """
    paint = _PAINTS.get(operation.kind)
    if paint is None:
        return None
    if channels not in (None, 1, 3):
        return f"it is fused for 1 or 3 channels, not {channels}"
    if channels == 1 and _needs_colour(operation):
        return "it needs three channels"
    if operation.kind in ("Normalize", "Denormalize", "RandomInvert", "RandomGrayscale"):
        flags = {
            **getattr(operation.module, "flags", {}),
            "rgb_weights": getattr(operation.module, "rgb_weights", None),
        }
        if any(isinstance(value, Tensor) and not _one_a_channel(value, channels) for value in flags.values()):
            return "its numbers are not one for each channel"
    return paint


def is_noise(operation: Operation) -> bool:
    """Whether it adds noise made on the device."""
    return operation.kind in ("RandomGaussianNoise", "RandomSaltAndPepperNoise")


def _one_a_channel(value: Tensor, channels: int | None) -> bool:
    return value.ndim <= 1 and value.numel() in (1, channels or value.numel())


def _needs_colour(operation: Operation) -> bool:
    """Kornia's ColorJitter leaves the saturation of grey images alone, ColorJiggle refuses them."""
    module: Any = operation.module
    asked = {"ColorJitter": ("hue",), "ColorJiggle": ("hue", "saturation")}.get(operation.kind, ())
    values = [getattr(module, name) for name in asked]
    return operation.kind in ("RandomHue", "RandomSaturation") or not all(
        isinstance(value, (int, float)) and value == 0 for value in values
    )


def _factor(operation: Operation, name: str, neutral: float) -> Tensor:
    """What was drawn, or what changes nothing where the gate is shut; ``float64[N]``."""
    drawn = operation.params[name].detach().to("cpu", torch.float64)
    return torch.where(operation.applied, drawn, neutral)


def _jitter(palette: Palette, operation: Operation) -> None:
    applied = operation.applied
    palette.expect_unit(applied)
    steps = (palette.scale, palette.towards_mean, palette.towards_grey, _turn(palette))
    _in_order(palette, operation, steps)
    palette.clamp(applied)


def _jiggle(palette: Palette, operation: Operation) -> None:
    applied = operation.applied
    palette.expect_unit(applied)
    steps = (
        lambda factor: palette.linear(palette.eye, (factor - 1)[:, None]),
        palette.scale,
        lambda factor: palette.other("saturation", factor, applied.double()),
        _turn(palette),
    )
    _in_order(palette, operation, steps)
    palette.clamp(applied)


def _turn(palette: Palette) -> Callable[[Tensor], None]:
    return lambda turns: palette.other("hue", turns)


def _in_order(palette: Palette, operation: Operation, steps: tuple[Callable[[Tensor], None], ...]) -> None:
    """Brightness, contrast, saturation and hue in the order that was drawn; Kornia clamps after the first two, and in
    ColorJitter after saturation. A step that nobody drew is left out, but for ``torch.compile``."""
    module: Any = operation.module
    order = module._fixed_order if module._fixed_order is not None else operation.params["order"].tolist()
    clamped = (0, 1, 2) if operation.kind == "ColorJitter" else (0, 1)
    for step in order:
        name, neutral = _STEPS[step]
        asked = bool((operation.params[name] != neutral).any())
        if (palette.channels == 3 or step < 2) and (asked or palette.uniform):
            palette.separate()
            steps[step](_factor(operation, name, neutral))
            palette.separate()
        if asked and step in clamped:
            palette.clamp(operation.applied)


def _brightness(palette: Palette, operation: Operation) -> None:
    _clipped(palette, operation, palette.eye, (_factor(operation, "brightness_factor", 1.0) - 1)[:, None])


def _contrast(palette: Palette, operation: Operation) -> None:
    _clipped(palette, operation, _factor(operation, "contrast_factor", 1.0)[:, None, None] * palette.eye, 0.0)


def _clipped(palette: Palette, operation: Operation, matrix: Tensor, shift: Tensor | float) -> None:
    module: Any = operation.module
    if module.clip_output:
        palette.expect_unit(operation.applied)
    else:
        palette.settle()
    palette.linear(matrix, shift)
    if module.clip_output:
        palette.clamp(operation.applied)
    else:
        palette.unit = False


def _saturation(palette: Palette, operation: Operation) -> None:
    applied = operation.applied
    palette.expect_unit(applied)
    palette.other("saturation", _factor(operation, "saturation_factor", 1.0), applied.double())
    palette.clamp(applied)


def _hue(palette: Palette, operation: Operation) -> None:
    palette.expect_unit(operation.applied)
    palette.other("hue", _factor(operation, "hue_factor", 0.0))
    palette.clamp(operation.applied)


def _greyscale(palette: Palette, operation: Operation) -> None:
    weights: Any = operation.module.rgb_weights
    grey = palette.grey if weights is None else weights.detach().double().cpu().expand(palette.grey.shape)
    palette.linear(torch.where(operation.applied[:, None, None], grey, palette.eye))


def _invert(palette: Palette, operation: Operation) -> None:
    most = torch.as_tensor(operation.module.flags["max_val"], dtype=torch.float64, device="cpu")  # type: ignore[index]
    sign = torch.where(operation.applied, -1.0, 1.0).double()[:, None]
    if bool((most != 1).any()):
        palette.settle()
        palette.unit = False
    palette.linear(sign[:, :, None] * palette.eye, torch.where(sign < 0, most, 0.0))


def _normalize(palette: Palette, operation: Operation) -> None:
    mean, std = _statistics(palette, operation)
    _per_channel(palette, operation, 1 / std, -mean / std)


def _denormalize(palette: Palette, operation: Operation) -> None:
    mean, std = _statistics(palette, operation)
    _per_channel(palette, operation, std, mean)


def _statistics(palette: Palette, operation: Operation) -> tuple[Tensor, ...]:
    flags: Any = operation.module.flags
    return tuple(flags[name].detach().double().cpu().expand(palette.channels) for name in ("mean", "std"))


def _per_channel(palette: Palette, operation: Operation, scale: Tensor, shift: Tensor) -> None:
    palette.settle()
    applied = operation.applied[:, None]
    palette.linear(torch.diag_embed(torch.where(applied, scale, 1.0)), torch.where(applied, shift, 0.0))
    palette.unit = False


def _gamma(palette: Palette, operation: Operation) -> None:
    palette.clamp(operation.applied, always=True)
    palette.other("gamma", _factor(operation, "gamma_factor", 1.0), _factor(operation, "gain_factor", 1.0))
    palette.clamp(operation.applied)


def _solarize(palette: Palette, operation: Operation) -> None:
    applied = operation.applied
    palette.clamp(applied, always=True)
    palette.linear(palette.eye, _factor(operation, "additions", 0.0)[:, None])
    palette.clamp(applied, always=True)
    palette.other("solarize", _factor(operation, "thresholds", torch.inf))


def _gaussian_noise(palette: Palette, operation: Operation) -> None:
    palette.settle()
    noise = operation.params["gaussian_noise"].to(palette.device)
    palette.other("add", noise.expand(palette.samples, *noise.shape[1:]), operation.applied.double())
    palette.unit = False


def _salt_and_pepper(palette: Palette, operation: Operation) -> None:
    palette.settle()
    ones, zeros = (operation.params[name].to(palette.device) for name in ("mask_salt", "mask_pepper"))
    palette.other("put", ones, zeros, operation.applied.double())


def _hardtanh(palette: Palette, operation: Operation) -> None:
    module = cast(nn.Hardtanh, operation.module)
    palette.limit(float(module.min_val), float(module.max_val))


def _nothing(*_: Any) -> None:
    pass


_STEPS = (("brightness_factor", 1.0), ("contrast_factor", 1.0), ("saturation_factor", 1.0), ("hue_factor", 0.0))
_PAINTS: dict[str, Paint] = {
    "ColorJitter": _jitter,
    "ColorJiggle": _jiggle,
    "RandomBrightness": _brightness,
    "RandomContrast": _contrast,
    "RandomSaturation": _saturation,
    "RandomHue": _hue,
    "RandomGrayscale": _greyscale,
    "RandomInvert": _invert,
    "RandomGamma": _gamma,
    "RandomSolarize": _solarize,
    "Normalize": _normalize,
    "Denormalize": _denormalize,
    "RandomGaussianNoise": _gaussian_noise,
    "RandomSaltAndPepperNoise": _salt_and_pepper,
    "Hardtanh": _hardtanh,
    "Identity": _nothing,
}
