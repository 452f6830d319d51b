"""Running an augmentation: Kornia's pipelines on the parts they name, any other callable on the batch."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from onthefly.data.batches import merge, select
from onthefly.data.normalize import image_place

Augment = Callable[[Any], Any]
_SIDES = ("real", "synthetic")


def as_augment(augment: Any) -> Callable[[Any, Tensor], Any]:
    """The augmentation that a user means, as ``change(batch, is_synthetic) -> batch``.

    Args:
        augment: a callable on the batch; a Kornia module, which is given the parts that its ``data_keys`` name; None;
            or ``{"real": either, "synthetic": either}``.

    >>> import torch
    >>> double = as_augment({"synthetic": lambda batch: [batch[0] * 2, batch[1]]})
    >>> double([torch.ones(2), torch.zeros(2)], torch.tensor([False, True]))
    [tensor([1., 2.]), tensor([0., 0.])]
    """
    if isinstance(augment, Mapping):
        return _one_sided(augment)
    change = _on_batch(augment)
    return lambda batch, _: change(batch)


def _one_sided(augment: Mapping[str, Any]) -> Callable[[Any, Tensor], Any]:
    if not augment.keys() <= set(_SIDES) or not augment:
        raise ValueError(
            f"augment: expected a callable, or a dict with 'real', 'synthetic' or both, found the keys {list(augment)}"
        )
    real, synthetic = (_on_batch(augment.get(side)) for side in _SIDES)

    def change(batch: Any, is_synthetic: Tensor) -> Any:
        ones = real(select(batch, ~is_synthetic)) if not is_synthetic.all() else None
        others = synthetic(select(batch, is_synthetic)) if is_synthetic.any() else None
        return merge(ones, others, is_synthetic)

    return change


def is_kornia(augment: Any) -> bool:
    """Whether an augmentation, or a part of it, is Kornia's, which expects images in [0, 1]."""
    if isinstance(augment, Mapping):
        return any(map(is_kornia, augment.values()))
    return isinstance(augment, nn.Module) and any(
        type(part).__module__.startswith("kornia.") for part in augment.modules()
    )


def _on_batch(augment: Any) -> Augment:
    if augment is None:
        return lambda batch: batch
    if not callable(augment):
        raise ValueError(
            f"augment: expected a callable, found {augment!r}; write augment=lambda batch: ..., or a Kornia pipeline"
        )
    if is_kornia(augment):
        return lambda batch: _run_kornia(augment, batch)
    change: Augment = augment
    return change


def _run_kornia(pipeline: nn.Module, batch: Any) -> Any:
    """By its data keys: a dict by name, a tuple or list in their order; a pipeline of images alone gets the image,
    wherever it is."""
    keys = getattr(pipeline, "data_keys", ["image"])
    if keys is None:
        return _run_by_name(pipeline, batch)
    if len(keys) == 1:
        leaves, outline = tree_flatten(batch)
        place = image_place(leaves, ndim=4)
        if place is None:
            raise ValueError(
                f"augment: expected an image float[N, C, H, W] in the batch for {type(pipeline).__name__}, found none; "
                "use a callable"
            )
        leaves[place] = pipeline(leaves[place])
        return tree_unflatten(leaves, outline)
    if not isinstance(batch, (tuple, list)) or len(batch) < len(keys):
        raise ValueError(
            f"augment: expected a batch of at least {len(keys)} parts for data_keys {[key.name for key in keys]}, "
            f"found a {type(batch).__name__}; for a dict batch give AugmentationSequential data_keys=None and name the "
            "batch's keys as Kornia does"
        )
    changed = pipeline(*batch[: len(keys)])
    return (
        type(batch)([*changed, *batch[len(keys) :]])
        if not hasattr(batch, "_fields")
        else type(batch)(*changed, *batch[len(keys) :])
    )


def _run_by_name(pipeline: nn.Module, batch: Any) -> Any:
    """Kornia passes by keys that it doesn't know without a word; a batch in which it knows none is refused."""
    from kornia.constants import DataKey

    known = (
        [name for name in batch if name.upper().replace("-", "_").split("_")[0] in DataKey.__members__]
        if isinstance(batch, Mapping)
        else []
    )
    if not known:
        found = f"a dict with the keys {list(batch)}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        raise ValueError(
            "augment: expected a dict with keys that Kornia knows (image, mask, bbox, keypoints) for data_keys=None, "
            f"found {found}; "
            'give AugmentationSequential data_keys=["image"]'
        )
    return dict(pipeline(dict(batch)))
