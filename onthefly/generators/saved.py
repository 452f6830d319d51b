"""The state of a training in a file: nested dicts and lists of tensors and plain values, without a pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_KEY = "state"


def write_state(state: Any, path: Path) -> None:
    """Write it in whole or not at all: what was there stays until it is written."""
    tensors: dict[str, Tensor] = {}
    outline = json.dumps(_apart(state, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    save_file(tensors, unfinished, metadata={_KEY: outline})
    unfinished.replace(path)


def read_state(path: Path) -> Any:
    """The state that ``write_state`` wrote, on the CPU.

    Raises:
        ValueError: for any other file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            outline = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:
        raise ValueError(
            f"resume: expected the state of a training, found something else in {path} ({error}); remove it to begin "
            "anew"
        ) from error
    return _together(outline, tensors)


def _apart(part: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain values, in which tensors are names."""
    if isinstance(part, Tensor):
        name = str(len(tensors))
        tensors[name] = part.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(part, dict):
        return {"dict": [[key, _apart(value, tensors)] for key, value in part.items()]}
    if isinstance(part, (list, tuple)):
        return {"list": [_apart(value, tensors) for value in part]}
    return {"value": part}


def _together(part: Any, tensors: dict[str, Tensor]) -> Any:
    ((kind, inside),) = part.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "dict":
        return {key: _together(value, tensors) for key, value in inside}
    if kind == "list":
        return [_together(value, tensors) for value in inside]
    return inside
