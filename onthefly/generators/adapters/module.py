"""Anybody's network as a frozen generator."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Field, Spec
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.running import Call, device_of
from onthefly.mixing.classes import Classes

_PROBES = 4  # keys that are tried


def from_module(
    module: nn.Module,
    *,
    latent: int | Sequence[int],
    classes: Any,
    value_range: tuple[float, float] | None = None,
    call: Call | None = None,
) -> LatentGenerator:
    """Anybody's network as a frozen generator.

    The module is frozen where it stands: eval mode, no gradients. A few keys are tried alone and together: a module
    that draws noise of its own, or looks across the batch, would not make the same sample again, and is refused.

    Args:
        module: makes samples from noise and classes.
        latent: the shape of one sample's noise, or its length.
        classes: how many classes it can make, or their names in order.
        value_range: the least and the largest value it yields; then samples are brought to [0, 1], and what leaves it
            is clipped. None leaves them as they are.
        call: ``call(module, noise[N, *latent], labels[N]) -> [N, ...]``, if not ``module(noise, labels)``.

    Raises:
        ValueError: naming what the module did, and what to pass.

    >>> class Blobs(nn.Module):
    ...     def forward(self, noise, labels):
    ...         return torch.tanh(noise + labels[:, None]).reshape(-1, 1, 4, 4)
    >>> gen = from_module(Blobs(), latent=16, classes=2, value_range=(-1, 1))
    >>> gen.sample(torch.tensor([0, 1]), torch.tensor([7, 8])).shape
    torch.Size([2, 1, 4, 4])
    """
    shape = (latent,) if isinstance(latent, int) else tuple(latent)
    make = _ranged(call, value_range)
    made = LatentGenerator(module, Spec({}, Classes.of(classes)), shape, call=make)
    buffers = [buffer.clone() for buffer in module.buffers()]
    with hermetic(0, device_of(module)):
        among = _probe(made, range(_PROBES))
        alone = torch.cat([_probe(made, range(key, key + 1)) for key in range(_PROBES)])
    _check_keyed(alone, among, module)
    if not all(map(torch.equal, buffers, module.buffers())):
        raise ValueError(
            f"from_module: {type(module).__name__} writes to its buffers when it makes samples, so the next ones may "
            "differ; switch that off with call="
        )
    field = Field(tuple(among.shape[1:]), str(among.dtype).removeprefix("torch."), (0.0, 1.0) if value_range else None)
    made.spec = Spec({"sample": field}, made.classes)
    return made


def _ranged(call: Call | None, value_range: tuple[float, float] | None) -> Call | None:
    if value_range is None:
        return call
    low, high = (*value_range, None, None)[:2]
    if len(value_range) != 2 or not low < high:
        raise ValueError(
            f"value_range: expected (least, largest), found {value_range}; a module that ends in tanh yields (-1, 1)"
        )

    def ranged(module: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:
        samples = module(noise, labels) if call is None else call(module, noise, labels)
        if not isinstance(samples, Tensor):
            raise TypeError(f"expected a tensor, found {_what(samples)}; pick it out with call=")
        return ((samples - low) / (high - low)).clamp(0, 1)

    return ranged


def _probe(generator: LatentGenerator, keys: range) -> Tensor:
    """Samples of some keys, of all classes in turn."""
    module, count = generator.network, len(keys)
    numbers = torch.tensor(keys, device=device_of(module))
    try:
        made = generator.sample(numbers % generator.classes.count, numbers)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"from_module: {type(module).__name__} failed on noise [{count}, {', '.join(map(str, generator.latent))}] "
            f"and labels [{count}]: {error}; pass latent= of its shape, or call=lambda module, noise, labels: ..."
        ) from error
    if not isinstance(made, Tensor) or len(made) != count:
        raise ValueError(
            f"from_module: expected a tensor of {count} samples, found {_what(made)}; pick it out with call="
        )
    return made


def _check_keyed(alone: Tensor, among: Tensor, module: nn.Module) -> None:
    if not among.isfinite().all():
        raise ValueError(f"from_module: {type(module).__name__} made NaN or infinite values; load its weights first")
    if not torch.allclose(alone, among, atol=1e-5, rtol=0):
        raise ValueError(
            f"from_module: {type(module).__name__} made another sample of the same noise and class beside other "
            f"samples (they differ by up to {(alone - among).abs().max():g}): it draws noise of its own or looks "
            "across the batch; switch that off with call="
        )


def _what(made: Any) -> str:
    return f"a tensor of shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
