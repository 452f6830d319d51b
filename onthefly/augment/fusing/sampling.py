"""What a pipeline draws for one batch: by Kornia's own samplers, on the CPU; whole images of noise on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from onthefly.augment.fusing.operations import children_of, is_container

Shape = Sequence[int]


def draw(container: Any, shape: Shape, device: torch.device | None) -> list[Any]:
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


def shape_after(item: Any, shape: Shape, module: Any) -> Shape:
    """The shape of a batch once an operation has run on it, as Kornia reckons it."""
    from kornia.augmentation.container.image import _get_new_batch_shape

    return tuple(int(side) for side in _get_new_batch_shape(item, torch.Size(shape), module))


def shape_before(params: Sequence[Any]) -> Shape | None:
    """The shape of the images that parameters were drawn for, as far as they tell it."""
    for item in params:
        found = shape_before(item.data) if isinstance(item.data, list) else _shape_in(item.data or {})
        if found is not None:
            return found
    return None


def _shape_in(data: Mapping[str, Tensor]) -> Shape | None:
    if "forward_input_shape" not in data:
        return None
    left, right, top, bottom = data["padding_size"][0].tolist() if "padding_size" in data else (0, 0, 0, 0)
    *rest, height, width = data["forward_input_shape"].tolist()
    return (*rest, height - top - bottom, width - left - right)


def _drawn(module: Any, shape: Shape, device: torch.device | None) -> Any:
    if is_container(module):
        return draw(module, shape, device)
    if not hasattr(module, "forward_parameters"):
        return None
    kind = type(module).__name__ if type(module).__module__.startswith("kornia.augmentation.") else ""
    if device is None or kind not in ("RandomGaussianNoise", "RandomSaltAndPepperNoise"):
        return module.forward_parameters(torch.Size(shape))
    batch, channels, height, width = shape
    # for images of one pixel Kornia draws all but the noise: who gets it, and how much
    params: dict[str, Tensor] = module.forward_parameters(torch.Size((batch, channels, 1, 1)))
    params["forward_input_shape"] = torch.tensor(shape, device="cpu")
    rows = 1 if module.same_on_batch else batch
    if kind == "RandomGaussianNoise":
        mean, std = module._param_generator.mean, module._param_generator.std
        noise = torch.empty(rows, channels, height, width, device=device)
        return {**params, "gaussian_noise": noise.normal_(mean, std)}
    return {**params, **_salt_and_pepper(params, torch.rand(rows, 1, height, width, device=device), channels)}


def _salt_and_pepper(params: dict[str, Tensor], fate: Tensor, channels: int) -> dict[str, Tensor]:
    """One draw a pixel: below the first limit it is salted, between the two it is peppered."""
    amount, salt = (
        params[name].to(fate.device).view(-1, 1, 1, 1) for name in ("amount_factor", "salt_and_pepper_factor")
    )
    salted, spoiled = fate < amount * salt, fate < amount
    all_channels = (len(amount), channels, *fate.shape[2:])
    return {"mask_salt": salted.expand(all_channels), "mask_pepper": (spoiled & ~salted).expand(all_channels)}
