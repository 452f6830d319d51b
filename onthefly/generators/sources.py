"""Sources: the part of a real sample that a synthetic one is made from."""

from typing import Any

import torch
from torch import Tensor

from onthefly.data.nested import outline, parts
from onthefly.data.spec import Field


def field_of(sources: Any, field: Field) -> Tensor:
    """The part of real samples that is such a field: ``[N, *field.shape]``, the first where there are several.

    Args:
        sources: samples as ``dataset[i]`` yields them, batched or in a list.
        field: of a generator.

    Raises:
        ValueError: if there is none.

    >>> image = Field((1, 2, 2), "float32")
    >>> field_of([torch.zeros(5, 1, 2, 2), torch.arange(5)], image).shape
    torch.Size([5, 1, 2, 2])
    >>> field_of([(torch.zeros(1, 2, 2), 3), (torch.ones(1, 2, 2), 4)], image).shape
    torch.Size([2, 1, 2, 2])
    """
    if isinstance(sources, Tensor) and sources.shape[1:] == field.shape:
        return sources
    in_list = isinstance(sources, list) and bool(sources) and _part(sources[0], field, batched=False) is not None
    found = [_part(one, field, batched=False) for one in sources] if in_list else [_part(sources, field, batched=True)]
    if any(one is None for one in found):
        raise ValueError(
            f"generator: expected real samples with a {field} to make others from, found {outline(sources)}; give the "
            "dataset samples of that shape, or train a generator on its own"
        )
    tensors = [one for one in found if one is not None]
    return torch.stack(tensors) if in_list else tensors[0]


def _part(sample: Any, field: Field, *, batched: bool) -> Tensor | None:
    shape = slice(int(batched), None)
    found = (part for part in parts(sample) if isinstance(part, Tensor) and part.is_floating_point())
    return next((part for part in found if part.shape[shape] == field.shape and part.ndim >= int(batched)), None)
