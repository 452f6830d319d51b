"""Weights: from a checkpoint into a network, tensor by tensor, straight to where it runs."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
_DTYPES |= {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}


def read_weights(path: Path, network: nn.Module, device: torch.device | str | None = None) -> None:
    """Give a network that has neither memory nor values the tensors of a file, in memory of their own.

    A file that is mapped instead would change a generator when somebody writes to it, long after it was checked.

    Args:
        path: a safetensors file.
        network: on the meta device.
        device: where the tensors are to be; None for the CPU.

    Raises:
        ValueError: listing every tensor that isn't the network's, or isn't finite.

    >>> from safetensors.torch import save_file
    >>> save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, "linear.safetensors")
    >>> linear = nn.Linear(2, 1, device="meta")
    >>> read_weights(Path("linear.safetensors"), linear)
    >>> linear(torch.ones(2)).item()
    2.0
    """
    expected = {name: _outline(tensor) for name, tensor in network.state_dict().items()}
    where = str(torch.device("cpu" if device is None else device))
    with safe_open(path, framework="pt", device=where, backend="pread") as file:
        names = file.keys()
        parts = {name: file.get_slice(name) for name in names}
        found = {
            name: f"{_DTYPES.get(part.get_dtype(), part.get_dtype())}{part.get_shape()}" for name, part in parts.items()
        }
        _check_outlines(found, expected, path)
        tensors = {name: file.get_tensor(name) for name in names}
    _refuse(
        path, [f"{name}: holds values that are not finite" for name, tensor in tensors.items() if not _finite(tensor)]
    )
    network.load_state_dict(tensors, assign=True)


def _check_outlines(found: Mapping[str, str], expected: Mapping[str, str], path: Path) -> None:
    names = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    _refuse(
        path,
        [f"{name}: expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}" for name in names],
    )


def _refuse(path: Path, lines: list[str]) -> None:
    if lines:
        raise ValueError(
            f"checkpoint {path}: its tensors are not those of its card; save the generator again:\n  "
            + "\n  ".join(lines)
        )


def _finite(tensor: Tensor) -> bool:
    """Whether all values are; by the least and the largest, which needs no memory beside it and passes NaN on."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(extreme.isfinite()) for extreme in tensor.aminmax())


def _outline(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
