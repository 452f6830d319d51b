"""Several generators as one: each makes some of the classes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.batches import joined, rows_of, to_device
from onthefly.data.spec import Spec, differences
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.several import SeveralGenerators
from onthefly.mixing.classes import Classes


class CombinedGenerator(SeveralGenerators):
    """A generator for each of some classes; the others can't be made.

    A generator that has a class of that name makes that one; else the one of that number, if it has as many classes as
    there are here; else its only one.

    Args:
        table: ``{class: generator}``; one generator may stand for several classes.
        classes: all of them.

    Raises:
        ValueError: for a class that its generator doesn't have, or generators whose samples differ.

    >>> from onthefly.testing import CountingGenerator
    >>> cats, dogs = (CountingGenerator((1, 8, 8), classes=(name,)) for name in ("cat", "dog"))
    >>> CombinedGenerator({"cat": cats, "dog": dogs}, ("cat", "dog", "eel")).makes
    array([ True,  True, False])
    """

    def __init__(self, table: Mapping[Any, FrozenGenerator], classes: Any) -> None:
        known = Classes.of(classes)
        given = {known.number(key, "generator"): made for key, made in table.items()}
        if not table or len(given) < len(table):
            raise ValueError(
                f"generator: expected {{class: generator}}, each class once, by number or by name, found {list(table)}"
            )
        several = list({id(made): made for made in given.values()}.values())
        mine = [{number: _class_in(one, known, number) for number in given if given[number] is one} for one in several]
        super().__init__([one.relabel(some, known) for one, some in zip(several, mine, strict=True)])
        self.spec = Spec(_common(self.inner).spec.fields, known)
        self._who = np.full(known.count, -1)
        for place, some in enumerate(mine):
            self._who[list(some)] = place

    @property
    def makes(self) -> NDArray[np.bool_]:
        return np.asarray(np.any([made.makes for made in self.inner], axis=0))

    @property
    def uses(self) -> NDArray[np.int64]:
        return np.asarray(np.stack([made.uses for made in self.inner])[self._who, np.arange(self.classes.count)])

    @property
    def refills(self) -> NDArray[np.bool_]:
        """As each of them does."""
        return np.asarray(np.stack([made.refills for made in self.inner])[self._who, np.arange(self.classes.count)])

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        made, back = self._asked(labels, keys, sources, lambda one: one.sample)
        return rows_of(joined(made), back)

    def batch(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        made, back = self._asked(labels, keys, sources, lambda one: one.batch)
        try:
            return rows_of(joined(made), back)
        except ValueError as error:
            raise ValueError(
                f"generator: the samples of several generators differ, {error}; make them alike with "
                "generator.map(lambda sample, label: ...)"
            ) from error

    def items(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[Any]:
        made, back = self._asked(labels, keys, sources, lambda one: one.items, of=_chosen)
        items = [item for some in made for item in some]
        return [items[place] for place in back.tolist()]

    def _asked(
        self,
        labels: Tensor,
        keys: Tensor,
        sources: Any,
        how: Callable[[FrozenGenerator], Callable[..., Any]],
        of: Callable[[Any, Tensor], Any] = rows_of,
    ) -> tuple[list[Any], Tensor]:
        """What each generator makes of its slots, where it runs, brought to where they are; and where each slot's
        sample then stands, laid end to end."""
        made, places, here = [], [], labels.device
        for one, mine in self._shares(labels):
            some = of(sources, mine) if one.wants_source else None
            asked = (to_device(part, one.where) for part in (labels[mine], keys[mine], some))
            made.append(to_device(how(one)(*asked), here))
            places.append(mine)
        return made, torch.argsort(torch.cat(places))

    def _shares(self, labels: Tensor) -> Iterator[tuple[FrozenGenerator, Tensor]]:
        who = torch.from_numpy(self._who).to(labels.device)[labels]
        if (who < 0).any():
            missing = self.classes.listed(labels[who < 0].unique().tolist())
            raise ValueError(f"generator: expected classes that one of the generators makes, found {missing}; add one")
        for number in who.unique().tolist():
            yield self.inner[number], (who == number).nonzero()[:, 0]


def _class_in(made: FrozenGenerator, known: Classes, number: int) -> int:
    names = made.classes.names or ()
    if known.names is not None and known.names[number] in names:
        return names.index(known.names[number])
    if made.classes.count == 1:
        return 0
    if made.classes.count == known.count and not (names and known.names):
        return number
    raise ValueError(
        f"generator: expected one that has class {known.name(number)}, found {made.classes}; say which it is with "
        f"generator.relabel({{{known.key(number)!r}: its class}})"
    )


def _common(several: list[FrozenGenerator]) -> FrozenGenerator:
    first = several[0]
    for other in several[1:]:
        lines = differences(first.spec.fields, other.spec.fields)
        if lines:
            raise ValueError("generator: expected samples alike from all generators, found:\n  " + "\n  ".join(lines))
    return first


def _chosen(samples: list[Any], places: Tensor) -> list[Any]:
    return [samples[place] for place in places.tolist()]
