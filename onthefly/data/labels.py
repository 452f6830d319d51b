"""Labels: the class of every real sample, of any dataset that says it, or that can be told."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Subset, TensorDataset
from tqdm.auto import tqdm

from onthefly.data.hermetic import hermetic
from onthefly.mixing.classes import Classes

Ints = NDArray[np.int64]

_ATTRIBUTES = ("targets", "labels", "_labels", "y")  # as torchvision's datasets, and most others, call them
_PAIRS = ("samples", "_samples")  # lists of (path, label)
COLUMNS = ("label", "labels", "target", "targets")


class Labels(NamedTuple):
    """The class of every real sample, and what the classes are called.

    Attributes:
        values: ``int64[N]``, from 0.
        classes: how many there are, and their names if the dataset has any.
    """

    values: Ints
    classes: Classes


def labels_of(dataset: Any, labels: Any = None) -> Labels:
    """The class of every sample of a dataset, without loading one.

    Known are torchvision's datasets, ``TensorDataset`` (its last tensor), ``Subset`` and ``ConcatDataset`` around any
    of them, Hugging Face datasets, and whatever has ``targets`` or ``labels``.

    Args:
        dataset: with ``len`` and ``dataset[i]``.
        labels: the class of every row, as numbers or as names; ``"scan"`` to read each sample once and take its label;
            ``0`` to put all in one group; ``None`` to ask the dataset.

    Raises:
        ValueError: if the dataset doesn't say, or what it says can't be the class of every row.

    >>> labels_of(TensorDataset(torch.rand(3, 2), torch.tensor([0, 1, 1]))).values
    array([0, 1, 1])
    >>> labels_of(["a", "b"], labels=["dog", "cat"])
    Labels(values=array([1, 0]), classes=classes cat, dog)
    """
    size = _size(dataset)
    if labels is None:
        found, names = _find(dataset), _class_names(dataset)
    elif isinstance(labels, str) and labels == "scan":
        found, names = _scan(dataset, size), _class_names(dataset)
    elif isinstance(labels, str) or callable(labels):
        raise ValueError(
            f"labels: expected an array with one class for each row, 'scan' or 0, found {labels!r}; pass labels='scan' "
            "to read every sample once"
        )
    elif isinstance(labels, int) and labels == 0:
        found, names = np.zeros(size, np.int64), None
    else:
        found = _array(labels)
        names = _class_names(dataset) if _says(dataset, found) else None
    if found is None:
        raise ValueError(
            f"labels: {type(dataset).__name__} doesn't say the class of its samples; expected targets, labels, or an "
            "array; pass labels=[...] with one class for each row, or labels='scan' to read every sample once"
        )
    return _checked(found, names, size)


def check_same_labels(dataset: Any, labels: Ints) -> None:
    """Refuse a dataset that doesn't say the classes that it said.

    Raises:
        ValueError: naming the first row that differs.
    """
    found = labels_of(dataset).values
    same = found == labels if len(found) == len(labels) else np.zeros(1, np.bool_)
    if not same.all():
        row = int(np.argmin(same))
        raise ValueError(
            f"labels: expected those that the dataset had when it was wrapped, found {int((~same).sum())} others, the "
            f"first at row {row}; wrap the loader again when labels change"
        )


def _says(dataset: Any, labels: NDArray[Any]) -> bool:
    """Whether labels that were given are those of the dataset itself, whose names then hold."""
    own = None if isinstance(dataset, ConcatDataset) else _find(dataset)
    return own is not None and np.array_equal(own, labels)


def _size(dataset: Any) -> int:
    size = len(dataset)
    if size == 0:
        raise ValueError(f"dataset: expected at least one sample, found an empty {type(dataset).__name__}")
    return size


def _find(dataset: Any) -> NDArray[Any] | None:
    if isinstance(dataset, Subset):
        inner = _find(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [_find(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]
    if _has_columns(dataset):
        return _column(dataset)
    for name in _ATTRIBUTES:
        if getattr(dataset, name, None) is not None:
            return _array(getattr(dataset, name))
    if isinstance(dataset, TensorDataset):
        return _array(dataset.tensors[-1])
    for name in _PAIRS:
        pairs = getattr(dataset, name, None)
        if isinstance(pairs, Sequence) and pairs and isinstance(pairs[0], (tuple, list)) and len(pairs[0]) == 2:
            return _array([label for _, label in pairs])
    return None


def _has_columns(dataset: Any) -> bool:
    """Whether it is a Hugging Face dataset."""
    return all(hasattr(dataset, name) for name in ("column_names", "features", "with_format"))


def _column(dataset: Any) -> NDArray[Any] | None:
    """The labels of a Hugging Face dataset: its one ``ClassLabel`` column, or the one called label."""
    name = _label_column(dataset)
    return None if name is None else _array(dataset.with_format("numpy")[name][:])


def _label_column(dataset: Any) -> str | None:
    typed = [name for name, feature in dataset.features.items() if hasattr(feature, "names")]
    named = [name for name in COLUMNS if name in dataset.column_names]
    return typed[0] if len(typed) == 1 else named[0] if named else None


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    """What a dataset calls its classes; parts of a ``ConcatDataset`` must agree."""
    if isinstance(dataset, Subset):
        return _class_names(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        first, *others = [_class_names(part) for part in dataset.datasets]
        if any(names != first for names in others):
            raise ValueError(
                "labels: the parts of the ConcatDataset call their classes differently, so equal numbers may mean "
                "different classes; pass labels=[...] with one class for each row"
            )
        return first
    if _has_columns(dataset):
        names = getattr(dataset.features.get(_label_column(dataset)), "names", None)
    else:
        names = getattr(dataset, "classes", None)
    if not isinstance(names, Iterable) or isinstance(names, str):
        return None
    return tuple(", ".join(name) if isinstance(name, (tuple, list)) else str(name) for name in names)


def _scan(dataset: Any, size: int) -> NDArray[Any]:
    with hermetic(0):
        return _array([_label_of(dataset[i], i) for i in tqdm(range(size), desc="reading labels", unit="sample")])


def _label_of(sample: Any, row: int) -> Any:
    if isinstance(sample, Mapping):
        for name in COLUMNS:
            if name in sample:
                return _item(sample[name])
    elif isinstance(sample, (tuple, list)) and len(sample) > 1:
        return _item(sample[1])
    raise ValueError(
        f"labels: sample {row} is a {type(sample).__name__} without a label; expected (sample, label) or a dict with "
        f"one of {', '.join(COLUMNS)}; pass labels=[...] with one class for each row"
    )


def _item(label: Any) -> Any:
    return label.item() if hasattr(label, "item") and getattr(label, "ndim", 0) == 0 else label


def _array(labels: Any) -> NDArray[Any]:
    array = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
    strings = array.dtype == object and all(isinstance(label, str) for label in array)
    return array.astype(str) if strings else array


def _checked(found: NDArray[Any], names: tuple[str, ...] | None, size: int) -> Labels:
    if found.shape != (size,):
        raise ValueError(
            f"labels: expected one class for each of the {size} samples, found an array of shape {found.shape}; for "
            "multi-label or detection data pass group ids, labels=[...]"
        )
    if found.dtype.kind in "US":
        kinds, values = np.unique(found, return_inverse=True)
        return Labels(values.astype(np.int64), Classes.of(kinds.tolist()))
    if found.dtype.kind not in "iub" and not (found.dtype.kind == "f" and np.array_equal(found, np.rint(found))):
        raise ValueError(
            f"labels: expected whole numbers or names, found {found.dtype}; for regression pass labels=0, one group"
        )
    values = found.astype(np.int64)
    if values.min() < 0:
        row = int(values.argmin())
        raise ValueError(
            f"labels: expected classes from 0, found {values[row]} at row {row}; leave such rows out with torch's "
            "Subset"
        )
    known = names is not None and len(names) > values.max()
    return Labels(values, Classes.of(names if known and names is not None else int(values.max()) + 1))
