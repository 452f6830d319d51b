"""Batches as nested structures: taken apart into samples, put together, merged row by row, moved to a device."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torchvision.transforms.functional import to_pil_image


def as_collated(batch: Any) -> Any:
    """A batch in the containers that ``default_collate`` would make: its tuples, but for named ones, become lists.

    >>> as_collated((torch.zeros(2), {"a": (1, 2)}))
    [tensor([0., 0.]), {'a': [1, 2]}]
    """
    if isinstance(batch, Mapping):
        return {key: as_collated(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(as_collated, batch))
    if isinstance(batch, (tuple, list)) and not _is_rows(batch):
        return [as_collated(value) for value in batch]
    return batch


def unbatch(batch: Any, size: int) -> list[Any]:
    """The samples of a batch: row i of every tensor, item i of every list of strings.

    >>> unbatch([torch.tensor([1, 2]), ("a", "b")], 2)
    [[tensor(1), 'a'], [tensor(2), 'b']]
    """
    leaves, structure = tree_flatten(batch, is_leaf=_is_rows)
    return [tree_unflatten([leaf[row] for leaf in leaves], structure) for row in range(size)]


def merge(real: Any, synthetic: Any, is_synthetic: Tensor) -> Any:
    """One batch from two of the same structure, in slot order.

    Args:
        real: the real rows, batched; None for none.
        synthetic: the synthetic rows, batched; None for none.
        is_synthetic: ``bool[N]``, on the device of both.

    >>> merge([torch.tensor([1, 2])], [torch.tensor([9])], torch.tensor([False, True, False]))
    [tensor([1, 9, 2])]
    """
    if real is None or synthetic is None:
        return synthetic if real is None else real
    ones, structure = tree_flatten(real, is_leaf=_is_rows)
    others, other_structure = tree_flatten(synthetic, is_leaf=_is_rows)
    if structure != other_structure:
        raise ValueError(
            f"generator: expected what dataset[i] yields, batched: {_outline(real)}; found {_outline(synthetic)}; make "
            "it so with generator.map(lambda sample, label: ...)"
        )
    return tree_unflatten(
        [_merge_rows(one, other, is_synthetic) for one, other in zip(ones, others, strict=True)], structure
    )


def like(sample: Any, example: Any) -> Any:
    """A sample on the CPU, in the types of another one: numbers, numpy arrays or PIL images where that has them.

    >>> like([torch.tensor(3), torch.zeros(2)], (7, torch.ones(2)))
    (3, tensor([0., 0.]))
    """
    leaves = tree_leaves(sample)
    wanted, structure = tree_flatten(example)
    if len(leaves) != len(wanted):
        return sample
    return tree_unflatten([_as_type_of(leaf, one) for leaf, one in zip(leaves, wanted, strict=True)], structure)


def select(batch: Any, chosen: Tensor) -> Any:
    """The chosen rows of a batch: ``chosen`` is ``bool[N]``."""
    rows = chosen.nonzero()[:, 0]
    pick = rows.tolist()
    return tree_map(
        lambda leaf: leaf[rows] if isinstance(leaf, Tensor) else type(leaf)(leaf[row] for row in pick),
        batch,
        is_leaf=_is_rows,
    )


def to_device(batch: Any, device: torch.device) -> Any:
    """Move whatever can move; pinned memory moves without waiting. A batch that is there already is returned as it
    is."""
    if all(isinstance(leaf, Tensor) and leaf.device == device for leaf in tree_leaves(batch) if hasattr(leaf, "to")):
        return batch
    return tree_map(lambda leaf: leaf.to(device, non_blocking=True) if hasattr(leaf, "to") else leaf, batch)


def default_device() -> torch.device:
    """This process's current CUDA device, or the CPU where there is none."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def size_of(batch: Any) -> int:
    """How many rows a batch has: the length of its first part that has one."""
    return next(
        (len(leaf) for leaf in tree_leaves(batch) if hasattr(leaf, "__len__") and getattr(leaf, "ndim", True)), 1
    )


def _is_rows(part: Any) -> bool:
    """Strings are collated into a list or tuple of them, which is one part of a batch, not a structure of many."""
    return isinstance(part, (list, tuple)) and len(part) > 0 and all(isinstance(item, (str, bytes)) for item in part)


def _merge_rows(real: Any, synthetic: Any, is_synthetic: Tensor) -> Any:
    if not isinstance(real, Tensor):
        ones, others = iter(real), iter(synthetic)
        return type(real)(next(others) if fake else next(ones) for fake in is_synthetic.tolist())
    if real.shape[1:] != synthetic.shape[1:] or real.dtype != synthetic.dtype:
        raise ValueError(
            f"generator: expected samples like the real ones, {_outline(real)}, found {_outline(synthetic)}; train one "
            "for this shape, or change its samples with generator.map(lambda sample, label: ...)"
        )
    merged = real.new_empty((len(is_synthetic), *real.shape[1:]))
    merged[is_synthetic], merged[~is_synthetic] = synthetic, real
    return merged


def _as_type_of(leaf: Any, example: Any) -> Any:
    if not isinstance(leaf, Tensor) or isinstance(example, Tensor):
        return leaf
    if isinstance(example, (bool, int, float)):
        return type(example)(leaf.item())
    if isinstance(example, np.ndarray):
        return leaf.numpy()
    if isinstance(example, Image):
        return to_pil_image(leaf)
    return leaf


def _outline(batch: Any) -> str:
    """A batch without its values, for a message."""
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{key!r}: {_outline(value)}" for key, value in batch.items()) + "}"
    if isinstance(batch, (list, tuple)) and not _is_rows(batch):
        return "[" + ", ".join(map(_outline, batch)) + "]"
    return (
        f"{str(batch.dtype).removeprefix('torch.')}{list(batch.shape[1:])}"
        if isinstance(batch, Tensor)
        else type(batch).__name__
    )
