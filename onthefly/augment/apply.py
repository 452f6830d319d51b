"""Running an augmentation: Kornia's pipelines on the parts they name, any other callable on the batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from onthefly.augment.fused import Fused
from onthefly.data.batches import merge, select
from onthefly.data.images import on_image
from onthefly.data.nested import contain, contained, outline
from onthefly.data.normalize import Normalization

Augment = Callable[[Any], Any]
Change = Callable[[Any, Tensor | None], Any]
_SIDES = ("real", "synthetic")
_HINT = "; augment both sides alike, with one callable for all of it"


def as_augment(augment: Any, normalized: Normalization | None = None) -> Change:
    """The augmentation that a user means, as ``change(batch, is_synthetic) -> batch``.

    Args:
        augment: a callable on the batch; a Kornia module, fused or not, which is given the parts that its ``data_keys``
            name; None; or ``{"real": either, "synthetic": either}``.
        normalized: how images arrive; it is undone before and done again after.

    >>> import torch
    >>> double = as_augment({"synthetic": lambda batch: [batch[0] * 2, batch[1]]})
    >>> double([torch.ones(2), torch.zeros(2)], torch.tensor([False, True]))
    [tensor([1., 2.]), tensor([0., 0.])]
    """
    if not isinstance(augment, Mapping):
        return partial(_change_all, _on_batch(augment, normalized))
    if not augment.keys() <= set(_SIDES) or not augment:
        raise ValueError(
            f"augment: expected a callable, or a dict with 'real', 'synthetic' or both, found the keys {list(augment)}"
        )
    real, synthetic = (_on_batch(augment.get(side), normalized) for side in _SIDES)
    return partial(_change_sides, real, synthetic)


def is_kornia(augment: Any) -> bool:
    """Whether an augmentation, or one of its sides, is Kornia's: it is given images, and expects them in [0, 1]."""
    if isinstance(augment, Mapping):
        return any(map(is_kornia, augment.values()))
    if type(augment) is nn.Sequential:
        return any(map(is_kornia, augment))
    return isinstance(augment, Fused) or (
        isinstance(augment, nn.Module) and type(augment).__module__.startswith("kornia.")
    )


def takes_bytes(augment: Any) -> bool:
    """Whether images may be uint8: Kornia's own pipelines refuse them, fused ones make floats of them."""
    if isinstance(augment, Mapping):
        return all(takes_bytes(side) for side in augment.values() if is_kornia(side))
    return isinstance(augment, Fused)


def _change_all(change: Augment, batch: Any, _: Tensor | None) -> Any:
    return change(batch)


def _change_sides(real: Augment, synthetic: Augment, batch: Any, is_synthetic: Tensor | None) -> Any:
    if is_synthetic is None or not is_synthetic.any():
        return contained(real(batch), batch)
    if is_synthetic.all():
        return contained(synthetic(batch), batch)
    ones, others = real(select(batch, ~is_synthetic, _HINT)), synthetic(select(batch, is_synthetic, _HINT))
    try:
        return contained(merge(ones, others, is_synthetic), batch)
    except ValueError as error:
        raise ValueError(
            f"augment: {error}; let both sides return batches of one shape and dtype, or use one callable for all"
        ) from error


def _on_batch(augment: Any, normalized: Normalization | None) -> Augment:
    if augment is None:
        return _unchanged
    if not callable(augment):
        raise ValueError(
            f"augment: expected a callable, found {augment!r}; write augment=lambda batch: ..., or a Kornia pipeline"
        )
    if is_kornia(augment):
        return partial(_run_kornia, augment, normalized)
    change: Augment = augment
    return change if normalized is None else partial(_run_in_unit, change, normalized)


def _unchanged(batch: Any) -> Any:
    return batch


def _run_in_unit(change: Augment, normalized: Normalization, batch: Any) -> Any:
    return on_image(change(on_image(batch, normalized.undo, ndim=4)), normalized.apply, ndim=4)


def _run_kornia(pipeline: nn.Module, normalized: Normalization | None, batch: Any) -> Any:
    """By its data keys: a dict by name, a tuple or list in their order; a pipeline of images alone gets the image,
    wherever it is."""
    keys = getattr(pipeline, "data_keys", ["image"])
    if keys is None:
        by_name = partial(_run_by_name, pipeline)
        return by_name(batch) if normalized is None else _run_in_unit(by_name, normalized, batch)
    if len(keys) == 1:
        or_bytes = takes_bytes(pipeline) and normalized is None
        return on_image(batch, _in_unit(pipeline, normalized), ndim=4, what="augment", or_bytes=or_bytes)
    if not isinstance(batch, (tuple, list)) or len(batch) < len(keys):
        raise ValueError(
            f"augment: expected a batch of at least {len(keys)} parts for data_keys {[key.name for key in keys]}, "
            f"found {outline(batch)}; for a dict batch give AugmentationSequential data_keys=None and name the batch's "
            "keys as Kornia does"
        )
    undo, apply = (None, None) if normalized is None else (normalized.undo, normalized.apply)
    changed = _on_images(pipeline(*_on_images(batch, keys, undo)), keys, apply)
    return contain(batch, [*changed, *batch[len(keys) :]])


def _on_images(values: Sequence[Any], keys: Sequence[Any], fn: Augment | None) -> list[Any]:
    """Values in the order of their data keys, the images among them changed."""
    return [fn(value) if fn and key.name == "IMAGE" else value for value, key in zip(values, keys, strict=False)]


def _in_unit(pipeline: nn.Module, normalized: Normalization | None) -> Augment:
    return pipeline if normalized is None else lambda image: normalized.apply(pipeline(normalized.undo(image)))


def _run_by_name(pipeline: nn.Module, batch: Any) -> Any:
    """Kornia passes by keys that it doesn't know without a word; a batch in which it knows none is refused."""
    from kornia.constants import DataKey

    names = [name.upper().replace("-", "_").split("_")[0] for name in batch] if isinstance(batch, Mapping) else []
    if not any(name in DataKey.__members__ for name in names):
        raise ValueError(
            "augment: expected a dict with keys that Kornia knows (image, mask, bbox, keypoints) for data_keys=None, "
            f'found {outline(batch)}; give AugmentationSequential data_keys=["image"]'
        )
    changed = pipeline(dict(batch))
    return contain(batch, [changed[key] for key in batch])
