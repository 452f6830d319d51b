"""Enough: whether there is something to learn of every class."""

from typing import Any

import numpy as np

from onthefly.data.labels import Labels, labels_of

LEAST = 2


def check_classes(dataset: Any, labels: Any = None) -> Labels:
    """Refuse a dataset of which no class-conditional generator can be trained.

    Args:
        dataset: as for ``wrap``.
        labels: as for ``wrap``: None to ask the dataset.

    Returns:
        The class of every sample.

    Raises:
        ValueError: for one class only, or for classes with fewer than two samples, naming them.

    >>> check_classes([0.1, 0.2, 0.3, 0.4], labels=["cat", "cat", "dog", "dog"])
    Labels(values=array([0, 0, 1, 1]), classes=classes cat, dog)
    """
    found = labels_of(dataset, labels)
    counts = np.bincount(found.values, minlength=found.classes.count)
    if found.classes.count < 2:
        raise ValueError(
            f"classes: expected two or more, found one, {found.classes.name(0)!r}, of all {len(found.values)} samples; "
            "put the samples of each class in a subfolder of its own, or tell where the class is (pattern=, label=)"
        )
    few = np.flatnonzero(counts < LEAST)
    if len(few):
        raise ValueError(
            f"classes: expected {LEAST} samples or more of each class, found fewer of {found.classes.listed(few)} "
            f"({', '.join(str(counts[number]) for number in few[:5])}); add some, or leave these classes out"
        )
    return found
