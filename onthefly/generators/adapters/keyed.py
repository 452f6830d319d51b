"""Keyed noise for code that draws its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from onthefly.generators.noise import normal

_FIRST_STREAM = 1 << 16  # beyond those of whatever else is drawn for the same keys
_OTHERS = {
    torch.rand, torch.rand_like, torch.randint, torch.randint_like, torch.randperm, torch.normal, torch.bernoulli,
    torch.multinomial, torch.poisson, torch.Generator, Tensor.normal_, Tensor.uniform_, Tensor.random_,
    Tensor.exponential_, Tensor.bernoulli_, Tensor.bernoulli, Tensor.multinomial, Tensor.cauchy_, Tensor.log_normal_,
    Tensor.geometric_,
}  # fmt: skip


class KeyedNoise(TorchFunctionMode):
    """Within it, ``torch.randn`` is a function of samples' keys, and of how often it was called: the one door by which
    all schedulers of ``diffusers`` draw. The global random state is neither read nor written.

    Args:
        keys: ``int64[N]``, non-negative.

    >>> noise = KeyedNoise(torch.tensor([5, 6]))
    >>> with noise:
    ...     first, second = torch.randn(2, 3), torch.randn((2, 3))
    >>> with KeyedNoise(torch.tensor([6])):
    ...     torch.equal(first[1:], torch.randn_like(first[1:])), torch.equal(first, second)
    (True, False)
    """

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self.keys, self._stream = keys, _FIRST_STREAM

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Noise of one shape for every key: ``float32[N, *shape]``; other noise whenever it is called."""
        noise = normal(self.keys, shape, self._stream)
        self._stream += 1
        return noise

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is torch.randn:
            return self._like(_shape(args, options), torch.empty(0).dtype, options)
        if func is torch.randn_like:
            return self._like(args[0].shape, args[0].dtype, {"device": args[0].device, **options})
        if func in _OTHERS:
            raise RuntimeError(
                f"it draws {getattr(func, '__name__', func)}, which no key decides, where only torch.randn was expected"
            )
        return func(*args, **options)

    def _like(self, shape: Sequence[int], dtype: torch.dtype, options: dict[str, Any]) -> Tensor:
        if not shape or shape[0] != len(self.keys):
            raise RuntimeError(
                f"it draws noise of shape {list(shape)}: expected [{len(self.keys)}, ...], some for each sample"
            )
        return self.normal(shape[1:]).to(options.get("device"), options.get("dtype") or dtype)


def _shape(args: tuple[Any, ...], options: dict[str, Any]) -> Sequence[int]:
    size = options.get("size", args)
    shape: Sequence[int] = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    return shape
