"""Samples that go wrong: which ones they are, and what fills their slots."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onthefly.data.batches import rows_of
from onthefly.data.dataset import HostBatch
from onthefly.data.refill import Reserve, refill
from onthefly.generators.base import FrozenGenerator


class Faults:
    """What is done about the samples of a generator that go wrong, where it is more than to raise. The first one is
    told in a warning.

    Args:
        generator: of the samples; None where nothing is synthetic.
        reserve: where real samples are, unless the batch brings a reserve of its own.

    Attributes:
        fill: whether the slots of any class are filled.
    """

    def __init__(self, generator: FrozenGenerator | None, reserve: Reserve | None) -> None:
        self.generator, self.reserve = generator, reserve
        self.fill = generator is not None and bool(generator.refills.any())
        self._told = False

    def filled(self, host: HostBatch, where: torch.device, sources: Any, error: Exception) -> HostBatch:
        """A batch that could not be filled, with real samples in the slots whose sample goes wrong.

        If none does when they are asked for again, it is the same batch: then something else was wrong, or is.

        Args:
            host: the batch.
            where: the generator runs.
            sources: as ``sample`` is given them.
            error: what was raised.

        Raises:
            Exception: the error, if faults are to raise; or that of a sample of a class whose faults are.
            ValueError: if there is no real sample of its class.
        """
        if self.generator is None or not self.fill or not host.slots.synthetic.any():
            raise error
        wanted = host.slots[host.slots.synthetic]
        labels, keys = (torch.from_numpy(part).to(where) for part in (wanted.label, wanted.key))
        found = find_faults(self.generator, labels, keys, sources, collated=host.collated)
        for place, fault in found.items():
            if not self.generator.refills[wanted.label[place]]:
                raise fault
        if not found:
            return host
        wrong = np.zeros(len(wanted.label), np.bool_)
        wrong[list(found)] = True
        host = refill(host, wrong, self._reserve_for(host, error))
        place, fault = next(iter(found.items()))
        self._tell(self.generator.classes.name(int(wanted.label[place])), fault)
        return host

    def _reserve_for(self, host: HostBatch, error: Exception) -> Reserve:
        reserve: Reserve | None = host.reserve or self.reserve
        if reserve is None:
            raise ValueError(
                "DeviceCollate: expected the dataset, to fill the slots of samples that went wrong with real ones, "
                "found None; write DeviceCollate(generator, dataset=mixed)"
            ) from error
        return reserve

    def _tell(self, name: str, fault: Exception) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"generator: a sample of class {name} went wrong, and a real one is in its slot; of others "
                f"loader.stats().refilled tells, and no other warning. It was {type(fault).__name__}: {fault}",
                stacklevel=2,
            )


def find_faults(
    generator: FrozenGenerator, labels: Tensor, keys: Tensor, sources: Any = None, *, collated: bool = True
) -> dict[int, Exception]:
    """Which of some samples a generator can't make as it should, and what is then raised.

    A sample is its key, so some that are made together without an error are all sound; of others each half is asked
    for, down to single ones. That takes one call where nothing is wrong (any more), and at most two for each sample.

    Args:
        generator: asked where it runs.
        labels: ``int64[N]``.
        keys: ``int64[N]``.
        sources: as ``sample`` is given them.
        collated: whether samples are wanted as a batch, and sources are one.

    Returns:
        ``{place: error}``, in order.

    Raises:
        torch.OutOfMemoryError: which is no sample's fault.

    >>> from onthefly.testing import CountingGenerator, FaultyGenerator
    >>> faulty = FaultyGenerator(CountingGenerator((1, 8, 8), classes=2), "nan", where=lambda keys: keys == 7)
    >>> list(find_faults(faulty, torch.tensor([0, 1, 1]), torch.tensor([6, 7, 8])))
    [1]
    """
    ask = generator.batch if collated else generator.items

    def of_sources(places: list[int]) -> Any:
        if sources is None:
            return None
        return rows_of(sources, places) if collated else [sources[place] for place in places]

    def some_of(places: list[int]) -> dict[int, Exception]:
        try:
            ask(labels[places], keys[places], of_sources(places))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a generator raises is a fault of its samples
            half = len(places) // 2
            return some_of(places[:half]) | some_of(places[half:]) if half else {places[0]: error}
        return {}

    return some_of(list(range(len(keys))))
