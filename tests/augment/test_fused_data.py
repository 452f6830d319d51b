"""What a fused pipeline does with several images, masks and points, against Kornia."""

import copy
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from kornia.constants import DataKey
from kornia.geometry.boxes import Boxes
from kornia.geometry.keypoints import Keypoints
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.augment import fused

FLIP = K.RandomHorizontalFlip(p=0.5)
COLOURS = [K.RandomInvert(p=0.5), K.ColorJitter(0.1, 0.1, p=1.0), K.RandomGaussianNoise(std=0.05, p=1.0)]


def seen_by_both(pipeline: Any, *data: Any, **options: Any) -> list[tuple[Any, Any]]:
    """Ours and Kornia's."""
    expected = pipeline(*data)
    found = fused(pipeline, **options)(*data, params=pipeline._params)
    return list(zip(found, expected, strict=True)) if isinstance(found, list) else [(found, expected)]


def views(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.rand(shape) * 0.3 + 0.3 for shape in shapes]


@pytest.mark.parametrize("other", [(4, 3, 9, 8), (4, 3, 12, 7), (4, 1, 9, 8)])
def test_every_image_is_augmented_alike(other: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    steps = COLOURS if other == (4, 3, 9, 8) else COLOURS[:2]
    pipeline = K.AugmentationSequential(FLIP, *steps, data_keys=["input", "mask", "input"])
    one, mask, two = *views((4, 3, 9, 8)), torch.rand(4, 1, 9, 8), *views(other)
    for ours, theirs in seen_by_both(pipeline, one, mask, two):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_images_that_are_not_of_one_shape_run_as_they_are_and_are_told() -> None:
    ours = fused(K.AugmentationSequential(FLIP, data_keys=["input", "input"]))
    ours(*views((2, 3, 8, 8), (2, 3, 9, 9)))
    assert str(ours.explain()) == "as it is  RandomHorizontalFlip_0; the images are not of one shape"


def test_images_by_name_and_of_bytes() -> None:
    pipeline = K.AugmentationSequential(K.RandomInvert(p=1.0), K.RandomHorizontalFlip(p=1.0), data_keys=None)
    one, two = torch.rand(3, 3, 8, 8), torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    found = fused(pipeline)({"image_a": one, "image_b": two})
    torch.testing.assert_close(found["image_a"], 1 - one.flip(-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(found["image_b"], 1 - two.flip(-1) / 255, atol=1e-6, rtol=0)


def test_two_images_of_a_loader() -> None:
    one, two = torch.rand(8, 3, 8, 8), torch.rand(8, 3, 8, 8)
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=1.0), K.RandomInvert(p=1.0), data_keys=["input", "input"]
    )
    loader = DataLoader(TensorDataset(one, two, torch.arange(8)), 4)
    batches = list(onthefly.wrap(loader, augment=fused(pipeline), device="cpu"))
    for place, images in ((0, one), (1, two)):
        found = torch.cat([batch[place] for batch in batches])
        torch.testing.assert_close(found, 1 - images.flip(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "extra_args",
    [{DataKey.IMAGE: {"resample": "nearest"}}, {DataKey.MASK: {"align_corners": True}}, {DataKey.MASK: {}}],
    ids=str,
)
@pytest.mark.parametrize(
    "step",
    [K.Resize((20, 9)), K.LongestMaxSize(23), K.RandomResizedCrop((11, 10), (0.3, 0.9)), K.RandomRotation(20.0, p=1.0)],
    ids=lambda step: type(step).__name__,
)
def test_masks_are_read_by_their_nearest_pixel_whatever_else_is_said(step: Any, extra_args: Any) -> None:
    torch.manual_seed(1)
    pipeline = K.AugmentationSequential(step, data_keys=["input", "mask"], extra_args=extra_args)
    _, (ours, theirs) = seen_by_both(pipeline, torch.rand(6, 3, 15, 14), torch.randint(0, 99, (6, 1, 15, 14)))
    assert (ours != theirs).double().mean() < 0.01


@pytest.mark.parametrize(
    "step", [K.RandomPerspective(0.5, p=1.0), K.RandomRotation(40.0, p=1.0), K.RandomResizedCrop((9, 9))]
)
def test_what_an_operation_has_no_flag_for_is_not_obeyed(step: Any) -> None:
    extra = {key: {"padding_mode": "border"} for key in (DataKey.IMAGE, DataKey.MASK)}
    pipeline = K.AugmentationSequential(step, data_keys=["input", "mask"], extra_args=extra)
    (ours, theirs), (mask, other) = seen_by_both(pipeline, *views((3, 3, 12, 12)), torch.randint(1, 9, (3, 1, 12, 12)))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (mask != other).double().mean() < 0.01


def test_how_masks_are_read_is_told_where_it_is_asked_for() -> None:
    extra = {DataKey.MASK: {"resample": "bilinear"}}
    told = fused(K.AugmentationSequential(K.RandomRotation(9.0), K.RandomInvert(), extra_args=extra)).explain()
    assert str(told).splitlines() == [
        "warp      RandomRotation_0; bilinear, zeros outside; masks bilinear, zeros outside",
        "pointwise RandomInvert_1",
    ]


@pytest.mark.parametrize("step", [FLIP, K.RandomInvert(), K.RandomErasing(), nn.Identity(), nn.ReLU(inplace=True)])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_what_was_given_can_be_written_to_and_stays(step: Any, p: float) -> None:
    step = copy.deepcopy(step)
    off = K.RandomErasing(p=0.0)  # hands on what it is given
    if hasattr(step, "p"):
        step.p = p
    data = [
        torch.rand(2, 3, 8, 8) - 0.5,
        torch.rand(2, 1, 8, 8),
        [torch.rand(1, 8, 8) for _ in range(2)],
        torch.rand(2, 3, 2),
        torch.tensor([[[1.0, 1.0, 4.0, 5.0]]] * 2),
        torch.arange(2),
    ]
    keys = ["input", "mask", "mask", "keypoints", "bbox_xyxy", "class"]
    before = [[one.clone() for one in part] if isinstance(part, list) else [part.clone()] for part in data]
    for part in fused(K.AugmentationSequential(off, step, data_keys=keys))(*data):
        for one in part if isinstance(part, list) else [part]:
            one.zero_()
    for part, kept in zip(data, before, strict=True):
        for one, other in zip(part if isinstance(part, list) else [part], kept, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("step", [K.RandomHorizontalFlip, K.RandomInvert])
def test_points_of_integers_come_as_kornia_gives_them(step: Any, p: float) -> None:
    pipeline = K.AugmentationSequential(step(p=p), data_keys=["input", "keypoints"])
    _, (ours, theirs) = seen_by_both(pipeline, torch.rand(2, 3, 8, 8), torch.randint(0, 8, (2, 4, 2)))
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


def test_the_matrix_of_what_moves_nothing_is_the_identity() -> None:
    ours = fused([K.RandomInvert()])
    assert ours.transform_matrix is None
    ours(torch.rand(2, 3, 8, 8))
    assert torch.equal(ours.transform_matrix, torch.eye(3).expand(2, 3, 3))


@pytest.mark.parametrize("step", [nn.Identity(), K.RandomInvert(), K.RandomRotation(9.0), K.RandomErasing()])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.bool])
def test_integers_of_no_known_range_are_refused(step: Any, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"expected images of floats in .0, 1. or of uint8, found {dtype}"):
        fused([step])(torch.ones(2, 3, 8, 8, dtype=dtype))


@pytest.mark.parametrize("step", [K.RandomHorizontalFlip(), K.RandomCrop((6, 6), padding=2), K.PadTo((11, 11))])
@pytest.mark.parametrize("images", [torch.rand(4, 3, 8, 8), torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)])
def test_one_move_of_whole_pixels_is_left_to_kornia(step: Any, images: Tensor) -> None:
    pipeline = K.AugmentationSequential(step, K.Normalize(0.5, 0.5), copy.deepcopy(step))
    ours = fused(pipeline)
    found = ours(images)
    floats = images if images.is_floating_point() else images / 255
    expected = pipeline(floats, params=ours._params)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert [part.kind for part in ours.explain().parts] == ["as it is", "pointwise", "as it is"]


def test_boxes_and_keypoints_of_kornia_are_left_as_they_were() -> None:
    points = Keypoints.from_tensor(torch.rand(2, 3, 2))
    boxes = Boxes.from_tensor(torch.tensor([[[1.0, 1.0, 4.0, 5.0]]] * 2), mode="xyxy")
    before = [points.data.clone(), boxes.data.clone()]
    pipeline = K.AugmentationSequential(K.RandomInvert(), data_keys=["input", "keypoints", "bbox"])
    for part in fused(pipeline)(torch.rand(2, 3, 8, 8), points, boxes)[1:]:
        part.data.zero_()
    assert torch.equal(points.data, before[0])
    assert torch.equal(boxes.data, before[1])


def test_masks_and_points_without_their_image_move_by_the_parameters_of_an_earlier_call() -> None:
    torch.manual_seed(0)
    pipeline = K.AugmentationSequential(FLIP, K.RandomInvert(), data_keys=["input", "mask", "keypoints"])
    ours, data = fused(pipeline), [torch.rand(5, 3, 9, 8), torch.rand(5, 1, 9, 8), torch.rand(5, 3, 2) * 7]
    expected, params = ours(*data), ours._params
    matrix = ours.transform_matrix
    ours(*data)
    assert not torch.equal(ours.transform_matrix, matrix)
    for one, other in zip(ours(*data[1:], params=params, data_keys=["mask", "keypoints"]), expected[1:], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(ours.transform_matrix, matrix)
