"""Split: some samples of every class are kept from training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.data.labels import labels_of
from onthefly.mixing.keys import Purpose, hash64
from onthefly.reading.samples import Samples

LEAST = 5


class Part(Samples):
    """Some samples of a dataset, in their order, with what it tells of them.

    Args:
        dataset: whose samples they are.
        rows: ``int64[n]``, which.
        targets: ``int64[n]``, their classes.
        classes: the names of all classes, or None.

    Attributes:
        dataset: whose samples they are.
        indices: which, as a list.
        columns: of a table, as the dataset has them.
        rate: of sounds, in Hz, as the dataset has it.
    """

    def __init__(self, dataset: Any, rows: NDArray[np.int64], targets: NDArray[np.int64], classes: Any) -> None:
        known = getattr(dataset, "attributes", {})
        super().__init__(targets, classes, {name: [values[row] for row in rows] for name, values in known.items()})
        self.dataset, self.indices = dataset, rows.tolist()
        for name in ("columns", "rate"):
            if hasattr(dataset, name):
                setattr(self, name, getattr(dataset, name))

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def split(dataset: Any, share: float = 0.1, seed: int = 0, *, labels: Any = None) -> tuple[Part, Part]:
    """Divide a dataset into samples to train on and samples held out, class by class.

    Of a class with five samples or more, its share is held out, rounded; a smaller one is kept for training whole.
    Which samples these are is a hash of seed, class and place within the class, so that equal seeds
    divide alike on any machine.

    Args:
        dataset: as for ``wrap``; its ``attributes``, ``columns`` and ``rate`` are kept where it has them.
        share: held out of each class, above 0 and below 1.
        seed: of the choice.
        labels: as for ``wrap``: None to ask the dataset.

    Returns:
        The part to train on, and the part held out, which is empty if all classes are small.

    Raises:
        ValueError: for another share, and as ``labels_of`` does.

    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> data = TensorDataset(torch.rand(24, 2), torch.tensor([0] * 20 + [1] * 4))
    >>> training, held_out = split(data, 0.2)
    >>> len(training), len(held_out), held_out.targets
    (20, 4, array([0, 0, 0, 0]))
    """
    if not 0 < share < 1:
        raise ValueError(f"split: expected a share above 0 and below 1, found {share}; write split(dataset, 0.1)")
    found = labels_of(dataset, labels)
    held = held_out(found.values, share, seed)
    training, others = (
        Part(dataset, rows, found.values[rows], found.classes.names)
        for rows in (np.flatnonzero(~held), np.flatnonzero(held))
    )
    return training, others


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which samples ``split`` holds out: ``bool[N]``, of the classes ``int64[N]`` of all samples.

    >>> held_out(np.array([0] * 20 + [1] * 4), 0.1, seed=0).sum()
    np.int64(2)
    """
    held = np.zeros(len(labels), np.bool_)
    for number in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == number)
        held[rows[_chosen(len(rows), share, seed, number)]] = True
    return held


def _chosen(size: int, share: float, seed: int, number: int) -> NDArray[np.int64]:
    """The places, within a class, of the samples that are held out."""
    count = min(round(share * size), size - 1) if size >= LEAST else 0
    return np.argsort(hash64(seed, Purpose.HELD_OUT, number, np.arange(size)), kind="stable")[:count]
