"""Fused pipelines at the edges: tiny images, other default devices, what is refused, what is printed."""

from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import nn

from onthefly.augment import fused


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (1, 1)])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    "step", [K.RandomRotation, K.RandomRotation90, K.RandomAffine, K.RandomPerspective, K.RandomTranslate]
)
def test_images_one_pixel_high_or_wide(step: Any, align_corners: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    drawn = {"RandomRotation": (30.0,), "RandomRotation90": ((1, 3),), "RandomAffine": (30.0,)}.get(step.__name__, ())
    pipeline = K.AugmentationSequential(step(*drawn, align_corners=align_corners, p=1.0))
    images = torch.rand(4, 3, *size) * 0.3 + 0.3
    expected = pipeline(images)
    torch.testing.assert_close(fused(pipeline)(images, params=pipeline._params), expected, atol=1e-4, rtol=0)


def test_what_belongs_to_the_cpu_is_made_there_whatever_the_default_device() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.RandomAffine(9.0), K.ColorJitter(0.1, 0.1, 0.1, 0.1), K.RandomSolarize()
    )
    ours, images = fused(pipeline), torch.rand(4, 3, 8, 8)
    expected = ours(images)
    params = ours._params
    before = torch.get_default_device()
    torch.set_default_device("meta")
    try:
        found = ours(images, params=params)
    finally:
        torch.set_default_device(before)
    assert torch.equal(found, expected)


def test_what_is_fused_prints_in_a_line_a_part() -> None:
    ours = fused([K.RandomRotation(9.0), K.RandomHorizontalFlip(), K.RandomErasing()])
    for _ in range(2):
        told = ours.explain()
        assert repr(told) == str(told)
        assert len(repr(told).splitlines()) == 2
        assert repr(told.parts[0]) == "warp      0, 1; bilinear, zeros outside"
        ours(torch.rand(2, 3, 8, 8))


def test_a_step_that_stands_twice_runs_twice() -> None:
    flip, images = K.RandomHorizontalFlip(p=1.0), torch.rand(2, 3, 8, 8)
    for pipeline in ([flip, nn.Identity(), flip], nn.Sequential(flip, nn.Identity(), flip)):
        ours = fused(pipeline)
        assert torch.equal(ours(images), images)
        assert [one.name for part in ours.explain().parts for one in part.operations] == ["0", "1", "2"]


def test_transforms_of_torchvision_are_refused_and_the_user_s_modules_are_not() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for pipeline in (v2.RandomHorizontalFlip(), [K.RandomInvert(), v2.Normalize([0.5], [0.5])]):
        with pytest.raises(ValueError, match=r"torchvision.*draw once for a whole batch.*or give it to the dataset"):
            fused(pipeline)
    images = torch.rand(2, 3, 8, 8)
    convolution = nn.Conv2d(3, 3, 1)
    assert torch.equal(fused([convolution])(images), convolution(images))
