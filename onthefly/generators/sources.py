"""Sources: the part of a real sample that a synthetic one is made from."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onthefly.data.nested import outline, parts
from onthefly.data.spec import Field
from onthefly.generators.base import FrozenGenerator, GeneratorAround


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
    in_list = isinstance(sources, list) and bool(sources) and _part(sources[0], field, batched=False) is not None
    found = [_part(one, field, batched=False) for one in sources] if in_list else [_part(sources, field, batched=True)]
    if any(one is None for one in found):
        raise ValueError(
            f"generator: expected real samples with a {field} to make others from, found {outline(sources)}; give the "
            "dataset samples of that shape, or train a generator on its own"
        )
    tensors = [one for one in found if one is not None]
    return (torch.stack(tensors) if in_list else tensors[0]).float()


class FromExamples(GeneratorAround):
    """A generator that makes samples from real ones, given some: for a look at it.

    Args:
        inner: the generator.
        examples: real samples of each class; a sample's key chooses one of its class, or of all where that has none.
    """

    def __init__(self, inner: FrozenGenerator, examples: Sequence[Sequence[Tensor]]) -> None:
        super().__init__(inner)
        self.examples, self.wants_source = examples, False

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        every = [one for some in self.examples for one in some]
        mine = [self.examples[label] or every for label in labels.tolist()]
        chosen = [some[key % len(some)] for some, key in zip(mine, keys.tolist(), strict=True)]
        return self.inner.sample(labels, keys, torch.stack(chosen).to(keys.device))


def _part(sample: Any, field: Field, *, batched: bool) -> Tensor | None:
    shape = slice(int(batched), None)
    found = (part for part in parts(sample) if isinstance(part, Tensor) and part.is_floating_point())
    return next((part for part in found if part.shape[shape] == field.shape and part.ndim >= int(batched)), None)
