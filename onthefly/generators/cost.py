"""Cost: what a sample costs to make, in units that don't depend on the machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from onthefly.data.spec import Field, Spec
from onthefly.generators.base import FrozenGenerator

_TRAINING = 3  # forward, and twice that backward: with respect to the activations, and to the weights
_SMALL = 64  # pixels: up to there images are trained on with a stem that leaves them their size
_CLASSES = 10


def cost_of(generator: FrozenGenerator) -> dict[str, float]:
    """What one sample costs to make, all calls of its networks together.

    One is made, under key 0, and its matrix products, convolutions and attention are counted, a multiplication and an
    addition as two operations; what is done element by element isn't. A longer text of another key costs more.

    Args:
        generator: any; with real samples of zeros where it makes samples from real ones.

    Returns:
        ``flops`` for a sample; and, of images, ``resnet18_images``: how many images of that size a ResNet-18 (He et
        al., CVPR 2016) is trained on with as many, in three digits. Up to 64 pixels it is that for CIFAR: it begins
        with a 3 x 3 convolution, and halves nothing before its blocks.

    Raises:
        ValueError: if the generator can make no class.

    >>> from onthefly.generators import from_module
    >>> shape = {"latent": 4, "classes": 2, "value_range": (0, 1)}
    >>> net = nn.Sequential(nn.Linear(4, 3 * 32 * 32), nn.Unflatten(1, (3, 32, 32)), nn.Sigmoid())
    >>> cost_of(from_module(net, **shape, call=lambda net, noise, labels: net(noise)))
    {'flops': 24576, 'resnet18_images': 7.37e-06}
    """
    if not generator.makes.any():
        raise ValueError("cost_of: expected a generator that makes a class, found one that makes none; train it first")
    label = torch.tensor([int(np.flatnonzero(generator.makes)[0])], device=generator.where)
    sources = _zeros(generator.spec, label) if generator.wants_source else None
    flops = flops_of(lambda: generator.at_once(label, torch.zeros_like(label), sources))
    shapes = [one.shape for one in generator.spec.fields.values() if _is_image(one)]
    if not shapes:
        return {"flops": flops}
    return {"flops": flops, "resnet18_images": float(f"{flops / training_flops(shapes[0]):.3g}")}


def training_flops(shape: tuple[int, ...]) -> int:
    """What training a ResNet-18 on one image ``(C, H, W)`` costs.

    >>> training_flops((3, 32, 32)) / 1e9  # three times 0.56 thousand million multiplications and additions
    3.33253632
    """
    with torch.device("meta"):
        network = resnet18(num_classes=_CLASSES).eval()
        network.conv1 = nn.Conv2d(shape[0], 64, 7, stride=2, padding=3, bias=False)
        if max(shape[1:]) <= _SMALL:
            network.conv1, network.maxpool = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False), nn.Identity()
        return _TRAINING * flops_of(lambda: network(torch.empty(1, *shape)))


def flops_of(call: Callable[[], Any]) -> int:
    """The floating-point operations of a call's matrix products, convolutions and attention.

    >>> flops_of(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
    48
    """
    with torch.no_grad(), _apart(), FlopCounterMode(display=False) as counter:
        call()
    total: int = counter.get_total_flops()
    return total


@contextmanager
def _apart() -> Iterator[None]:
    """Attention and recurrent layers run as the products that they consist of, since torch counts nothing fused."""
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before[0])
        torch.backends.mkldnn.enabled = before[1]


def _is_image(one: Field) -> bool:
    return len(one.shape) == 3 and one.shape[0] in (1, 3, 4)


def _zeros(spec: Spec, label: Tensor) -> list[Tensor]:
    """A real sample, collated, of every field that a spec has."""
    fields = [torch.zeros(1, *one.shape, dtype=getattr(torch, one.dtype)) for one in spec.fields.values()]
    return [*(one.to(label.device) for one in fields), label]
