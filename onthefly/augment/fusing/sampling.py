"""What a pipeline draws for one batch: by Kornia's own samplers, on the CPU; whole images of noise on the device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.augment.fusing.operations import children_of, is_container

Shape = Sequence[int]


def draw(container: nn.Module, shape: Shape, device: torch.device | None) -> list[Any]:
    """Kornia's parameters for images of a shape ``(N, C, H, W)``, from torch's global generators.

    Args:
        container: the pipeline.
        shape: of the batch.
        device: where noise is drawn; None for Kornia's own numbers.
    """
    from kornia.augmentation.container.params import ParamItem  # heavy, and not needed by who doesn't augment

    items = []
    for name, child in children_of(container):
        item = ParamItem(name, _drawn(child, shape, device))
        shape = shape_after(item, shape, child)
        items.append(item)
    return items


def shape_after(item: Any, shape: Shape, module: nn.Module) -> Shape:
    """The shape of a batch once an operation has run on it, as Kornia reckons it."""
    from kornia.augmentation.container.image import _get_new_batch_shape

    return tuple(int(side) for side in _get_new_batch_shape(item, torch.Size(shape), module))


def shape_before(params: Sequence[Any]) -> Shape | None:
    """The shape of the images that parameters were drawn for, as far as they tell it."""
    for item in params:
        data = shape_before(item.data) if isinstance(item.data, list) else item.data
        if isinstance(data, tuple):
            return data
        if data and "forward_input_shape" in data:
            left, right, top, bottom = data["padding_size"][0].tolist() if "padding_size" in data else (0, 0, 0, 0)
            *rest, height, width = data["forward_input_shape"].tolist()
            return (*rest, height - top - bottom, width - left - right)
    return None


def _drawn(module: nn.Module, shape: Shape, device: torch.device | None) -> Any:
    kind = type(module).__name__
    if is_container(module):
        return draw(module, shape, device)
    if not hasattr(module, "forward_parameters"):
        return None
    if device is None or kind not in _NOISES or not type(module).__module__.startswith("kornia."):
        return module.forward_parameters(torch.Size(shape))
    batch, channels, height, width = shape
    # for images of one pixel Kornia draws all but the noise: who gets it, and how much
    params = module.forward_parameters(torch.Size((batch, channels, 1, 1)))
    params["forward_input_shape"] = torch.tensor(shape)
    rows = 1 if module.same_on_batch else batch
    params.update(_NOISES[kind](module, params, (rows, channels, height, width), device))
    return params


def _gaussian(module: Any, params: dict[str, Tensor], shape: Shape, device: torch.device) -> dict[str, Tensor]:
    generator = module._param_generator
    return {"gaussian_noise": torch.empty(tuple(shape), device=device).normal_(generator.mean, generator.std)}


def _salt_and_pepper(module: Any, params: dict[str, Tensor], shape: Shape, device: torch.device) -> dict[str, Tensor]:
    rows, channels, height, width = shape
    batch = len(params["batch_prob"])
    amount, salt = (params[name].to(device).view(-1, 1, 1, 1) for name in ("amount_factor", "salt_and_pepper_factor"))
    fate = torch.rand(rows, 1, height, width, device=device)
    salted, peppered = fate < amount * salt, (fate >= amount * salt) & (fate < amount)
    all_channels = (batch, channels, height, width)
    return {"mask_salt": salted.expand(all_channels), "mask_pepper": peppered.expand(all_channels)}


_NOISES = {"RandomGaussianNoise": _gaussian, "RandomSaltAndPepperNoise": _salt_and_pepper}
