"""Nested structures: what datasets and collate functions yield, taken part by part.

Mappings, tuples and lists hold parts; anything else is one. So is a list of strings, which is how a batch holds them,
and a tuple that can move by itself, as torch's ``PackedSequence``.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from torch import Tensor


def places(nested: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each part and its place, in order.

    >>> list(places({"a": (1, 2), "b": "c"}))
    [("['a'][0]", 1), ("['a'][1]", 2), ("['b']", 'c')]
    """
    keys = keys_of(nested)
    if keys is None:
        yield at, nested
    for key in keys or ():
        yield from places(nested[key], f"{at}[{key!r}]")


def parts(nested: Any) -> list[Any]:
    """All parts, in order."""
    return [part for _, part in places(nested)]


def change(fn: Callable[..., Any], nested: Any, *others: Any) -> Any:
    """The same containers with ``fn(part)`` for each part; or, of several alike, ``fn`` of the parts in one place.

    Mappings are alike if they have the same keys, tuples and lists if they are equally long.

    Raises:
        ValueError: if they are not alike, showing both.

    >>> change(lambda one, two: one + two, {"a": 1, "b": [2]}, {"b": (20,), "a": 10})
    {'a': 11, 'b': [22]}
    """
    if not all(alike(nested, other) for other in others):
        raise ValueError(f"expected {outline(nested)}, found {', '.join(map(outline, others))}")
    keys = keys_of(nested)
    if keys is None:
        return fn(nested, *others)
    return contain(nested, [change(fn, nested[key], *(other[key] for other in others)) for key in keys])


def change_at(place: str, fn: Callable[[Any], Any], nested: Any) -> Any:
    """The same containers, with one part changed."""
    changed = iter([fn(part) if here == place else part for here, part in places(nested)])
    return change(lambda _: next(changed), nested)


def contained(nested: Any, example: Any, convert: Callable[[Any, Any], Any] = lambda part, _: part) -> Any:
    """The same parts in the containers of an example, wherever both are alike; each one ``convert(part, its example)``.

    >>> contained([1, {"b": 2, "a": [3]}], (0, {"a": (0,), "b": 0}))
    (1, {'a': (3,), 'b': 2})
    """
    keys = keys_of(example)
    if isinstance(nested, list) and isinstance(example, list) and len(nested) != len(example):
        return [contained(item, example[0], convert) for item in nested] if example else nested
    if not alike(nested, example):
        return nested
    if keys is None:
        return convert(nested, example)
    return contain(example, [contained(nested[key], example[key], convert) for key in keys])


def alike(nested: Any, other: Any) -> bool:
    """Whether two hold parts under the same keys; only the outermost containers are compared."""
    ones, others = keys_of(nested), keys_of(other)
    if ones is None or others is None:
        return ones is others
    return isinstance(nested, Mapping) == isinstance(other, Mapping) and set(ones) == set(others)


def keys_of(nested: Any) -> list[Any] | None:
    """What its parts are found under; None for what is a part itself."""
    if isinstance(nested, Mapping):
        return list(nested)
    if isinstance(nested, (tuple, list)) and not _is_one_part(nested):
        return list(range(len(nested)))
    return None


def contain(nested: Any, values: list[Any]) -> Any:
    """A container like this one, with other values under the same keys."""
    if isinstance(nested, MutableMapping):
        copied = copy.copy(nested)
        copied.update(zip(nested, values, strict=True))
        return copied
    if isinstance(nested, Mapping):
        return dict(zip(nested, values, strict=True))
    return type(nested)(*values) if hasattr(nested, "_fields") else type(nested)(values)


def outline(nested: Any) -> str:
    """What it holds, without the values, for a message.

    >>> import torch
    >>> outline((torch.zeros(5, 1, 8, 8), {"label": torch.zeros(5)}, ["a"]))
    "(float32[5, 1, 8, 8], {'label': float32[5]}, list of str)"
    """
    keys = keys_of(nested)
    if keys is None:
        return _outline_part(nested)
    inside = [outline(nested[key]) for key in keys]
    if isinstance(nested, Mapping):
        return "{" + ", ".join(f"{key!r}: {value}" for key, value in zip(keys, inside, strict=True)) + "}"
    return ("({})" if isinstance(nested, tuple) else "[{}]").format(", ".join(inside))


def _outline_part(part: Any) -> str:
    if isinstance(part, Tensor):
        return f"{str(part.dtype).removeprefix('torch.')}{list(part.shape)}"
    return f"{type(part).__name__} of str" if isinstance(part, (tuple, list)) else type(part).__name__


def _is_one_part(sequence: Any) -> bool:
    strings = len(sequence) > 0 and all(isinstance(item, (str, bytes)) for item in sequence)
    return strings or hasattr(sequence, "to")
