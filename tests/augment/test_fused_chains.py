"""Random chains of operations: a property of all of them."""

from typing import Any

import kornia.augmentation as K
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onthefly.augment import fused
from tests.augment.test_fused import COLOURS, WARPS, batch

SIZE = (15, 14)
KEYS = ["input", "keypoints", "bbox"]
OTHERS = {
    "blur": lambda p: K.RandomGaussianBlur((3, 3), (0.5, 1.0), p=p),
    "erasing": lambda p: K.RandomErasing(p=p),
    "filled": lambda p: K.RandomAffine(10.0, padding_mode="fill", fill_value=0.5, p=p),
}
# what is read by the nearest pixel goes up or down by the last bit, where a place lies halfway; and Kornia raises where
# a center crop is larger than what the one before it left
LEFT_OUT = ("resize, nearest", "resized crop, nearest", "affine, nearest", "center crop, resampled")
EVERY = {**{name: make for name, make in WARPS.items() if name not in LEFT_OUT}, **COLOURS, **OTHERS}
steps = st.lists(st.tuples(st.sampled_from(sorted(EVERY)), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=5)


def chain(names: list[tuple[str, float]]) -> Any:
    return K.AugmentationSequential(*(EVERY[name](p) for name, p in names), nn.Identity(), data_keys=KEYS)


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(0, 2**31))
def test_an_exact_pipeline_is_kornia_s(names: list[tuple[str, float]], seed: int) -> None:
    torch.manual_seed(seed)
    theirs = chain(names)
    images, _, boxes, *_, points = batch(SIZE)
    expected = theirs(images, points, boxes)
    found = fused(theirs, exact=True)(images, points, boxes, params=theirs._params)
    scale = max(1.0, float(expected[0].abs().max()))
    difference = (found[0] - expected[0]).abs() / scale
    # a value within rounding of a threshold or of the edge of the image may fall on its other side
    assert (difference > 2e-4).double().mean() < 0.01
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(0, 2**31))
def test_a_fused_pipeline_moves_points_as_kornia_does_and_keeps_the_size(
    names: list[tuple[str, float]], seed: int
) -> None:
    torch.manual_seed(seed)
    theirs = chain(names)
    images, _, boxes, *_, points = batch(SIZE)
    before = images.clone()
    expected = theirs(images, points, boxes)
    ours = fused(theirs)
    found = ours(images, points, boxes, params=theirs._params)
    assert found[0].shape == expected[0].shape
    assert torch.isfinite(found[0]).all()
    assert torch.equal(images, before)
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)
    assert sum(len(part.operations) for part in ours.explain().parts) == len(names) + 1
