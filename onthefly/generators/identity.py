"""Which generator it is: where it came from, and a hash of what makes its samples."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import chain
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from onthefly.generators.attributes import Attributes
from onthefly.generators.base import FrozenGenerator

_PLAIN = (str, int, float)


def identity(generator: FrozenGenerator) -> dict[str, Any]:
    """A generator as plain values: its class, its checkpoint if it has one and that file's SHA-256, what it computes
    in, what is done about its faults, how it was told to make samples, and a hash of weights, arrays, card, spec and
    functions (that of ``map`` among them) with what they find around them, of what it was told, and of computing in
    bfloat16; of a class of your own, not of the numbers that it holds.

    >>> from onthefly.testing import CountingGenerator
    >>> identity(CountingGenerator((1, 8, 8), classes=2))["is"]
    'CountingGenerator'
    """
    digest = hashlib.sha256()
    for name, value in _held(generator):
        digest.update(name.encode())
        digest.update(_as_bytes(value))
    return {
        "is": type(generator).__name__,
        "path": None if generator.path is None else str(generator.path.resolve()),
        "file_sha256": generator.sha256,
        "dtype": str(generator.dtype).removeprefix("torch."),
        "on_fault": generator.on_fault,
        **({"sampling": told} if (told := _told(generator)) else {}),
        **({"attributes": wanted} if (wanted := _wanted(generator)) and _is_json(generator) else {}),
        "sha256": digest.hexdigest(),
    }


def files_of(generator: FrozenGenerator) -> dict[str, str]:
    """The SHA-256 of every checkpoint that its samples come from, by its path."""
    return {str(one.path): one.sha256 for one in generator.makers if one.path is not None and one.sha256 is not None}


def _asked(generator: FrozenGenerator) -> dict[str, Any]:
    """How it was told to make samples, where that isn't as usual."""
    sampling = getattr(generator, "sampling", None)
    every = fields(sampling) if is_dataclass(sampling) else ()
    return {one.name: value for one in every if (value := getattr(sampling, one.name)) != one.default}


def _wanted(generator: FrozenGenerator) -> Any:
    """The attributes that its samples shall have, as plain values; None where nothing was asked for."""
    attributes = getattr(generator, "attributes", None)
    asked = attributes.asked if isinstance(attributes, Attributes) else {}
    return json.loads(json.dumps(asked, sort_keys=True)) if asked else None


def _is_json(generator: FrozenGenerator) -> bool:
    """Whether JSON gives its attributes back: it has words alone as keys."""
    asked = cast(Any, generator).attributes.asked.values()
    return all(isinstance(key, str) for one in asked if isinstance(one, Mapping) for key in one)


def _told(generator: FrozenGenerator) -> dict[str, Any]:
    """The part of it that a manifest can hold."""
    return {name: value for name, value in _asked(generator).items() if isinstance(value, _PLAIN)}


def _held(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and descriptions, in an order that doesn't depend on how the generator was made."""
    if isinstance(value, FrozenGenerator):
        yield f"{at}:{type(value).__name__}", f"{value.spec}{sorted((value.card or {}).items(), key=str)}"
        for name, inside in sorted(vars(value).items()):
            if name not in ("card", "spec", "_measured", "sampling"):
                yield from _held(inside, f"{at}.{name}")
        if _wanted(value):
            yield f"{at}.attributes", json.dumps(_wanted(value))
        for name, inside in sorted(_asked(value).items()):
            yield f"{at}.sampling.{name}", str(inside) if isinstance(inside, _PLAIN) else ""
            yield from _held(inside, f"{at}.sampling.{name}")
    elif isinstance(value, nn.Module):
        for name, tensor in sorted(value.state_dict().items()):
            yield f"{at}.{name}", tensor
    elif isinstance(value, (Tensor, np.ndarray)):
        yield at, torch.as_tensor(value)
    elif value is torch.bfloat16:  # not float32, so that a hash of before there was a choice stays
        yield at, str(value)
    elif isinstance(value, FunctionType):
        yield from _of_function(value, at)
    elif isinstance(value, partial):
        yield from _held(value.func, f"{at}.func")
        yield from _beside([*value.args, *chain(*sorted(value.keywords.items()))], f"{at}.args")
    elif isinstance(value, MethodType):
        yield from _held(value.__func__, f"{at}.func")
        yield from _held(value.__self__, f"{at}.self")
    elif isinstance(value, dict):
        for name, inside in sorted(value.items(), key=str):
            yield from _held(inside, f"{at}.{name}")
    elif isinstance(value, (list, tuple)):
        for place, inside in enumerate(value):
            yield from _held(inside, f"{at}.{place}")


def _of_function(function: FunctionType, at: str) -> Iterator[tuple[str, Any]]:
    """Its code, and what it finds around it."""
    code = function.__code__
    constants = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
    yield at, f"{function.__qualname__}{code.co_code.hex()}{code.co_names}{constants}"
    around = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    known = [
        value for _, value in sorted(around.items()) if isinstance(value, (nn.Module, Tensor, np.ndarray, *_PLAIN))
    ]
    closed = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not function]
    yield from _beside([*(function.__defaults__ or ()), *closed, *known], f"{at}.around")


def _beside(values: Iterable[Any], at: str) -> Iterator[tuple[str, Any]]:
    """What a function is given or finds: numbers and words too."""
    for place, value in enumerate(values):
        if isinstance(value, _PLAIN):
            yield f"{at}.{place}", str(value)
        else:
            yield from _held(value, f"{at}.{place}")


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, Tensor):
        return str(value).encode()
    plain = value.detach().cpu().contiguous()
    return f"{plain.dtype}{list(plain.shape)}".encode() + plain.reshape(-1).view(torch.uint8).numpy().tobytes()
