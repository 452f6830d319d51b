"""Batches: taken apart into samples, put together, merged row by row, moved to a device."""

import sys
from collections.abc import Mapping, Sequence
from operator import length_hint
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.tv_tensors import TVTensor, wrap

from onthefly.data.nested import change, contain, contained, keys_of, outline, parts


def as_collated(batch: Any) -> Any:
    """A batch in the containers that ``default_collate`` would make: its tuples, but for named ones, become lists.

    >>> as_collated((torch.zeros(2), {"a": (1, 2)}))
    [tensor([0., 0.]), {'a': [1, 2]}]
    """
    keys = keys_of(batch)
    if keys is None:
        return batch
    plain = list(batch) if isinstance(batch, tuple) and not hasattr(batch, "_fields") else batch
    return contain(plain, [as_collated(batch[key]) for key in keys])


def unbatch(batch: Any, size: int) -> list[Any]:
    """The samples of a batch: row i of every tensor, item i of every list of strings.

    >>> unbatch([torch.tensor([1, 2]), ("a", "b")], 2)
    [[tensor(1), 'a'], [tensor(2), 'b']]
    """
    return [change(lambda part, row=row: part[row], batch) for row in range(size)]


def merge(real: Any, synthetic: Any, is_synthetic: Tensor) -> Any:
    """One batch from two of the same structure, in slot order, in the containers of the real one.

    Args:
        real: the real rows, batched; None for none.
        synthetic: the synthetic rows, batched; None for none.
        is_synthetic: ``bool[N]``, on the CPU.

    Raises:
        ValueError: if they can't be one batch, showing both.

    >>> merge([torch.tensor([1, 2])], [torch.tensor([9])], torch.tensor([False, True, False]))
    [tensor([1, 9, 2])]
    """
    if real is None or synthetic is None:
        return synthetic if real is None else real
    places = [one.nonzero()[:, 0] for one in (~is_synthetic, is_synthetic)]
    return change(lambda one, other: _merge_rows(one, other, is_synthetic, places), real, synthetic)


def like(sample: Any, example: Any) -> Any:
    """A sample on the CPU, in the containers and types of another one: numbers, numpy arrays, PIL images or
    torchvision's tensors where that has them.

    >>> like([torch.tensor(3), torch.zeros(2)], (7, torch.ones(2)))
    (3, tensor([0., 0.]))
    """
    return contained(sample, example, _as_type_of)


def select(batch: Any, chosen: Tensor, hint: str = "") -> Any:
    """The chosen rows of a batch: ``chosen`` is ``bool[N]``; ``hint`` is what to do if it has no rows.

    Raises:
        ValueError: if a part of the batch doesn't have N rows.
    """
    check_rows(batch, len(chosen), hint)
    return rows_of(batch, chosen.nonzero()[:, 0])


def check_rows(batch: Any, size: int, hint: str = "") -> None:
    """Refuse a batch with a part that doesn't have so many rows; ``hint`` is what to do."""
    if not all(_is_rows(part) and len(part) == size for part in parts(batch)):
        raise ValueError(f"batch: expected one whose every part has {size} rows, found {outline(batch)}{hint}")


def rows_of(batch: Any, rows: ArrayLike) -> Any:
    """Some rows of a batch, by number, in any order.

    >>> rows_of([torch.tensor([1, 2, 3]), ("a", "b", "c")], [2, 0])
    [tensor([3, 1]), ('c', 'a')]
    """
    index = torch.as_tensor(rows)

    def pick(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[sent(index, part.device)]
        return type(part)(part[row] for row in index.tolist())

    return change(pick, batch)


def joined(batches: Sequence[Any]) -> Any:
    """Batches of one structure, one after the other.

    >>> joined([[torch.tensor([1, 2]), ("a", "b")], [torch.tensor([3]), ("c",)]])
    [tensor([1, 2, 3]), ('a', 'b', 'c')]
    """
    return batches[0] if len(batches) == 1 else change(_end_to_end, *batches)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move whatever can move; pinned tensors move to a device without waiting, but nothing comes back unawaited. A
    batch that is there already is returned as it is."""
    if all(isinstance(part, Tensor) and part.device == device for part in parts(batch) if hasattr(part, "to")):
        return batch
    return change(lambda part: _moved(part, device), batch)


def sent(few: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU, on a device, without waiting for what that has to do before."""
    if device.type == "cuda" and not few.is_cuda:
        return few.pin_memory().to(device, non_blocking=True)
    return few.to(device)


def owned(part: Any) -> Any:
    """A part in memory of its own, that whoever gets it may write to."""
    if isinstance(part, Tensor):
        return part.clone(memory_format=torch.contiguous_format)
    return part.copy() if isinstance(part, np.ndarray) else part


def default_device() -> torch.device:
    """This process's current CUDA device, or the CPU where there is none."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def as_device(device: torch.device | str | int | None) -> torch.device:
    """The device that is meant; None for the default one.

    Raises:
        ValueError: for one that isn't there, and what is none.

    >>> as_device("cpu")
    device(type='cpu')
    """
    if device is None:
        return default_device()
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:  # as torch says it, of builds with CUDA and without
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"device: expected one that is there ({_there()}), found {str(device)!r} ({why:.120}); leave it out for "
            f"{str(default_device())!r}"
        ) from error
    return found


def _there() -> str:
    return ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])


def numbered(device: torch.device) -> torch.device:
    """The same, by its number: "cuda" is whichever is current, and isn't equal to it."""
    if device != torch.device("cuda"):
        return device
    return torch.device("cuda", torch.cuda.current_device())


def size_of(batch: Any) -> int:
    """How many rows a batch has: as many as it has of its first part, a tuple as ``zip`` makes it, or a tensor.

    >>> size_of({"name": ["a", "b"], "image": torch.zeros(2, 3, 8, 8)})
    2
    """
    if isinstance(batch, (list, tuple)) and batch and type(batch[0]) is tuple:
        return len(batch[0])
    rows = (len(part) for part in parts(batch) if isinstance(part, Tensor) and part.ndim > 0)
    return next(rows, 1 if isinstance(batch, Mapping) else length_hint(batch, 1))  # a tensor of no dimension has none


def _moved(part: Any, device: torch.device) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=device.type != "cpu")
    return part.to(device) if hasattr(part, "to") else part  # a class of the user's may know nothing of waiting


def bytes_of(sample: Any) -> int:
    """What a sample takes in memory.

    >>> bytes_of([torch.zeros(3, 8, 8), torch.tensor(1)])
    776
    """
    return sum(
        part.numel() * part.element_size() if isinstance(part, Tensor) else sys.getsizeof(part)
        for part in parts(sample)
    )


def _end_to_end(*some: Any) -> Any:
    if isinstance(some[0], Tensor):
        return torch.cat(some)
    return type(some[0])(row for part in some for row in part)


def _merge_rows(real: Any, synthetic: Any, is_synthetic: Tensor, places: list[Tensor]) -> Any:
    if not (_is_rows(real) and _is_rows(synthetic) and isinstance(real, Tensor) == isinstance(synthetic, Tensor)):
        raise _unlike(real, synthetic)
    if len(real) + len(synthetic) != len(is_synthetic):
        raise ValueError(f"expected {len(is_synthetic) - len(real)} synthetic rows, found {len(synthetic)}")
    if not isinstance(real, Tensor):
        ones, others = iter(real), iter(synthetic)
        return type(real)(next(others) if fake else next(ones) for fake in is_synthetic.tolist())
    if real.shape[1:] != synthetic.shape[1:] or real.dtype != synthetic.dtype:
        raise _unlike(real, synthetic)
    merged = real.new_empty((len(is_synthetic), *real.shape[1:]))
    for rows, where in zip((real, synthetic), places, strict=True):
        merged.index_copy_(0, sent(where, real.device), rows)
    return merged


def _is_rows(part: Any) -> bool:
    return part.ndim > 0 if isinstance(part, Tensor) else isinstance(part, (list, tuple))


def _unlike(real: Any, synthetic: Any) -> ValueError:
    return ValueError(f"expected samples like the real ones, {outline(real)}, found {outline(synthetic)}")


def _as_type_of(part: Any, example: Any) -> Any:
    if isinstance(example, TVTensor):
        return wrap(part, like=example)
    if not isinstance(part, Tensor) or isinstance(example, Tensor):
        return part
    if isinstance(example, (bool, int, float, np.generic)) and part.numel() == 1:
        return type(example)(part.item())
    if isinstance(example, np.ndarray):
        return part.numpy()
    if isinstance(example, Image):
        return to_pil_image(part)
    return part
