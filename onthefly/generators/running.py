"""How a generator's network runs: in which numbers, compiled or not, and how many samples at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

Call = Callable[..., Tensor]
Compile = Literal[False, True, "reduce-overhead"]

BFLOAT16_ERROR = 2e-2  # of the range: how far a sample made in bfloat16 may be from the same one in float32

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_MODES: dict[Any, str | None] = {True: None, "reduce-overhead": "reduce-overhead"}  # as torch.compile calls them


class Compiled:
    """A network's call, compiled when it is first made. The network stays as it is, and a copy compiles anew.

    Args:
        network: what is called.
        call: ``call(network, noise, labels)``.
        how: True, or "reduce-overhead" for CUDA graphs.
    """

    def __init__(self, network: nn.Module, call: Call, how: Compile) -> None:
        self.network, self.call, self.how = network, call, how
        self._compiled: Callable[..., Tensor] | None = None

    def __call__(self, noise: Tensor, labels: Tensor, **beside: Tensor) -> Tensor:
        """Noise ``[N, ...]`` and ``int64[N]`` to samples in memory of their own; N should always be the same."""
        if self._compiled is None:
            self._compiled = torch.compile(self._plain(), dynamic=False, mode=_MODES[self.how])
        return self._compiled(noise, labels, **beside).clone()  # a CUDA graph writes the next samples where these are

    def _plain(self) -> Callable[..., Tensor]:
        return partial(self.call, self.network)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None}


def in_pieces(make: Callable[..., Tensor], given: Sequence[Tensor], size: int, *, padded: bool) -> Tensor:
    """What ``make`` makes of tensors of N rows, at most ``size`` of them at a time.

    Args:
        padded: whether each piece must have just that size; the last one then holds some of its samples several times.

    >>> in_pieces(torch.add, (torch.tensor([1, 2, 3]), torch.zeros(3)), 2, padded=True).tolist()
    [1.0, 2.0, 3.0]
    """
    made, count, device = [], len(given[0]), given[0].device
    for begin in range(0, count, size):
        rows = torch.arange(begin, min(begin + size, count), device=device)
        asked = rows[torch.arange(size, device=device) % len(rows)] if padded else rows
        made.append(make(*(one[asked] for one in given))[: len(rows)])
    return torch.cat(made) if len(made) > 1 else made[0]


@contextmanager
def numbers(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Compute in ``dtype``, whatever the user computes in: without the autocast around it, and without TF32, with which
    a sample would depend on the batch it is made in."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    # On CUDA only, and no more than needed: what is set no longer follows the user's general setting.
    fast = [one for one in backends if device.type == "cuda" and one.fp32_precision == "tf32"]
    try:
        for backend in fast:
            backend.fp32_precision = "ieee"
        reduced = None if dtype == torch.float32 else dtype
        with torch.autocast(device.type, reduced, enabled=reduced is not None):
            yield
    finally:
        for backend in fast:
            backend.fp32_precision = "tf32"


def lay_out(network: nn.Module, dtype: torch.dtype) -> None:
    """Lay the weights of convolutions out channels last, where that is quicker: on a CPU (measured), and for the tensor
    cores that compute in bfloat16."""
    last = device_of(network).type == "cpu" or dtype == torch.bfloat16
    convolves = any(isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) for part in network.modules())
    if convolves:
        network.to(memory_format=torch.channels_last if last else torch.contiguous_format)  # type: ignore[call-overload]


def device_of(network: nn.Module) -> torch.device:
    """Where a network is; the CPU if it holds nothing."""
    return next((tensor.device for tensor in [*network.parameters(), *network.buffers()]), torch.device("cpu"))


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    """What a network computes in, float32 unless something else is said."""
    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise ValueError(
            f"dtype: expected {' or '.join(map(repr, _DTYPES))}, found {dtype!r}; leave it out for float32"
        )
    return _DTYPES[name]


def as_compile(how: Any) -> Compile:
    """Whether, and how, a network is compiled."""
    if how is not False and how not in _MODES:
        raise ValueError(f"compile: expected False, True or 'reduce-overhead', found {how!r}; True is a good start")
    mode: Compile = how
    return mode


def check_bfloat16(made: Tensor, expected: Tensor, value_range: tuple[float, float] | None) -> None:
    """Refuse a network whose samples in bfloat16 are not finite, or too far from the same ones in float32; what is
    missing must be so in both."""
    there = ~expected.isnan()
    if not torch.equal(there, ~made.isnan()):
        raise ValueError(
            "dtype: expected values missing (NaN) in samples in bfloat16 where they are in those in float32, found "
            "others; leave dtype= out"
        )
    made, expected = made[there], expected[there]
    if not there.any():
        return
    low, high = value_range or torch.stack(expected.aminmax()).tolist()
    error = (made.double() - expected.double()).abs().max().item() / ((high - low) or 1.0)
    if not error <= BFLOAT16_ERROR:  # NaN, of what is infinite, isn't
        raise ValueError(
            f"dtype: expected samples in bfloat16 within {BFLOAT16_ERROR:g} of those in float32, as a part of their "
            f"range, found {error:.2g}; leave dtype= out"
        )
