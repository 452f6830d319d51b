"""Several fields in one sample: an image and its caption, a sound and its transcript."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.batches import to_device
from onthefly.data.spec import Spec
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.several import SeveralGenerators
from onthefly.generators.sound import check_samples


def with_fields(**generators: FrozenGenerator) -> FrozenGenerator:
    """A generator of samples with several fields, each made by a generator of its own from one and the same class and
    key.

    What fields have in common beside their class are conditions of one name: a key draws the same for all of them, if
    they have the same values to draw from.

    Args:
        generators: by the name of the field. All have the same classes.

    Returns:
        A generator that yields ``{field: ..., "label": class}``; ``map`` makes of that what ``dataset[i]`` yields.

    Raises:
        ValueError: for fewer than two, or different classes.

    >>> import torch
    >>> from onthefly.data.spec import Field
    >>> from onthefly.testing import CountingGenerator
    >>> class Captions(FrozenGenerator):
    ...     spec = Spec({"caption": Field((), "str")}, CountingGenerator((1, 8, 8), classes=("cat", "dog")).classes)
    ...     def sample(self, labels, keys, sources=None):
    ...         return [("a {}", "one more {}")[key % 2].format(self.classes.name(label))
    ...                 for label, key in zip(labels.tolist(), keys.tolist())]
    >>> both = with_fields(image=CountingGenerator((1, 8, 8), classes=("cat", "dog")), caption=Captions())
    >>> pairs = both.map(lambda sample, _: (sample["image"], sample["caption"]))
    >>> [(image, caption)] = pairs.items(torch.tensor([1]), torch.tensor([7]))
    >>> image.shape, caption
    (torch.Size([1, 8, 8]), 'one more dog')
    """
    return FieldsGenerator(generators)


class FieldsGenerator(SeveralGenerators):
    """A generator for each field; made by ``with_fields``."""

    def __init__(self, generators: dict[str, FrozenGenerator]) -> None:
        if len(generators) < 2 or "label" in generators:
            raise ValueError(
                f"with_fields: expected two fields or more, none of them called label, found {list(generators)}; write "
                "with_fields(image=..., caption=...)"
            )
        super().__init__(list(generators.values()))
        first = self.inner[0].classes
        for name, made in generators.items():
            if made.classes != first:
                raise ValueError(
                    f"with_fields: expected the same classes of all, {first!r}, found {made.classes!r} of {name}; "
                    "bring them together with generator.relabel({class: its class})"
                )
        self.names = tuple(generators)
        conditions = {name: one for made in self.inner for name, one in made.spec.conditions.items()}
        self.spec = Spec({name: made.spec.field for name, made in generators.items()}, first, conditions)

    @property
    def makes(self) -> NDArray[np.bool_]:
        """Classes that all of them can make."""
        return np.asarray(np.all([made.makes for made in self.inner], axis=0))

    @property
    def uses(self) -> NDArray[np.int64]:
        """The least of them."""
        return np.asarray(np.min([made.uses for made in self.inner], axis=0))

    @property
    def refills(self) -> NDArray[np.bool_]:
        """Where all of them are."""
        return np.asarray(np.all([made.refills for made in self.inner], axis=0))

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        fields = zip(self.names, self.inner, strict=True)
        return {name: _made(one, labels, keys, sources) for name, one in fields} | {"label": labels}


def _made(one: FrozenGenerator, labels: Tensor, keys: Tensor, sources: Any) -> Any:
    """One field of the samples, made where its generator is."""
    asked = (to_device(part, one.where) for part in (labels, keys, sources if one.wants_source else None))
    made = one.sample(*asked)
    check_samples(made, len(labels), one.spec)
    return to_device(made, labels.device)
