"""A fused pipeline against Kornia's own, with the same parameters."""

import copy
import pickle
import shutil
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from kornia.constants import DataKey
from torch import Tensor, nn

from onthefly.augment import fused, image
from onthefly.augment.fusing import pointwise, steps
from onthefly.augment.fusing.chunks import _chunk
from onthefly.augment.fusing.geometry import Sampling

SIZES = [(12, 12), (13, 9)]
KEYS = ["input", "mask", "bbox", "bbox_xyxy", "bbox_xywh", "keypoints"]
WARPS: dict[str, Any] = {
    "hflip": lambda p: K.RandomHorizontalFlip(p=p),
    "vflip": lambda p: K.RandomVerticalFlip(p=p),
    "affine": lambda p: K.RandomAffine(25.0, (0.2, 0.1), (0.7, 1.3), (-8.0, 8.0), p=p),
    "affine, corners aligned": lambda p: K.RandomAffine(25.0, (0.2, 0.1), (0.7, 1.3), 8.0, align_corners=True, p=p),
    "affine, border": lambda p: K.RandomAffine(25.0, (0.2, 0.1), padding_mode="border", p=p),
    "affine, reflection": lambda p: K.RandomAffine(25.0, (0.2, 0.1), padding_mode="reflection", p=p),
    "affine, reflection, corners aligned": lambda p: K.RandomAffine(
        25.0, (0.2, 0.1), padding_mode="reflection", align_corners=True, p=p
    ),
    "affine, bicubic": lambda p: K.RandomAffine(25.0, (0.2, 0.1), resample="bicubic", p=p),
    "affine, nearest": lambda p: K.RandomAffine(25.0, (0.2, 0.1), resample="nearest", p=p),
    "affine, same on batch": lambda p: K.RandomAffine(25.0, (0.2, 0.1), same_on_batch=True, p=p),
    "rotation": lambda p: K.RandomRotation(30.0, p=p),
    "rotation, not aligned": lambda p: K.RandomRotation(30.0, align_corners=False, p=p),
    "shear": lambda p: K.RandomShear((-10.0, 10.0, -5.0, 5.0), p=p),
    "translate": lambda p: K.RandomTranslate((-0.2, 0.2), (-0.1, 0.1), p=p),
    "perspective": lambda p: K.RandomPerspective(0.4, p=p),
    "perspective, corners aligned": lambda p: K.RandomPerspective(0.4, align_corners=True, p=p),
    "crop": lambda p: K.RandomCrop((8, 7), p=p),
    "padded crop": lambda p: K.RandomCrop((9, 9), padding=3, p=p),
    "padded crop, sides": lambda p: K.RandomCrop((9, 9), padding=(1, 2, 3, 4), p=p),
    "padded crop, reflected": lambda p: K.RandomCrop((12, 9), padding=3, padding_mode="reflect", p=p),
    "padded crop, repeated": lambda p: K.RandomCrop((12, 9), padding=3, padding_mode="replicate", p=p),
    "padded crop, resampled": lambda p: K.RandomCrop((9, 9), padding=2, cropping_mode="resample", p=p),
    "crop padded if needed": lambda p: K.RandomCrop((14, 14), pad_if_needed=True, p=p),
    "center crop": lambda p: K.CenterCrop((7, 6), p=p),
    "center crop, resampled": lambda p: K.CenterCrop((6, 7), cropping_mode="resample", p=p),
    "resized crop": lambda p: K.RandomResizedCrop((10, 11), scale=(0.3, 1.0), p=p),
    "resized crop, resampled": lambda p: K.RandomResizedCrop((10, 11), scale=(0.3, 1.0), cropping_mode="resample", p=p),
    "resized crop, nearest": lambda p: K.RandomResizedCrop((10, 11), scale=(0.3, 1.0), resample="nearest", p=p),
    "resize": lambda p: K.Resize((17, 7), p=p),
    "resize, not aligned": lambda p: K.Resize((17, 7), align_corners=False, p=p),
    "resize, bicubic": lambda p: K.Resize((17, 7), resample="bicubic", p=p),
    "resize, nearest": lambda p: K.Resize((17, 7), resample="nearest", p=p),
    "longest": lambda p: K.LongestMaxSize(20, p=p),
    "smallest": lambda p: K.SmallestMaxSize(7, p=p),
    "pad": lambda p: K.PadTo((20, 17)),
}
COLOURS: dict[str, Any] = {
    "jitter": lambda p: K.ColorJitter(0.2, 0.2, 0.2, 0.1, p=p),
    "jitter in order": lambda p: K.ColorJitter(0.2, 0.2, 0.2, 0.1, order=(3, 1, 0), p=p),
    "jiggle": lambda p: K.ColorJiggle(0.1, 0.2, 0.2, 0.1, p=p),
    "brightness": lambda p: K.RandomBrightness((0.8, 1.2), p=p),
    "brightness, not clipped": lambda p: K.RandomBrightness((0.4, 1.6), clip_output=False, p=p),
    "contrast": lambda p: K.RandomContrast((0.8, 1.2), p=p),
    "contrast, not clipped": lambda p: K.RandomContrast((0.4, 1.9), clip_output=False, p=p),
    "saturation": lambda p: K.RandomSaturation((0.5, 1.5), p=p),
    "hue": lambda p: K.RandomHue((-0.5, 0.5), p=p),
    "greyscale": lambda p: K.RandomGrayscale(p=p),
    "greyscale by weights": lambda p: K.RandomGrayscale(rgb_weights=torch.tensor([0.2, 0.2, 0.7]), p=p),
    "invert": lambda p: K.RandomInvert(p=p),
    "invert from 2": lambda p: K.RandomInvert(2.0, p=p),
    "gamma": lambda p: K.RandomGamma((0.5, 2.0), (0.8, 1.4), p=p),
    "solarize": lambda p: K.RandomSolarize(0.3, 0.2, p=p),
    "normalize": lambda p: K.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.1), p=p),
    "normalize by one": lambda p: K.Normalize(0.4, 0.2, p=p),
    "denormalize": lambda p: K.Denormalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.1), p=p),
    "noise": lambda p: K.RandomGaussianNoise(0.1, 0.5, p=p),
    "noise, same on batch": lambda p: K.RandomGaussianNoise(0.1, 0.5, same_on_batch=True, p=p),
    "salt and pepper": lambda p: K.RandomSaltAndPepperNoise(0.2, p=p),
    "clamp": lambda p: nn.Hardtanh(0.2, 0.7),
    "nothing": lambda p: nn.Identity(),
}
GREY = ["brightness", "contrast", "invert", "gamma", "solarize", "normalize by one", "noise", "salt and pepper"]


def batch(size: tuple[int, int], channels: int = 3, samples: int = 5) -> list[Tensor]:
    """Images whose colours stay in [0, 1], masks, three kinds of boxes, points."""
    height, width = size
    corners = torch.tensor([[1.0, 1.0], [5.0, 1.0], [5.0, 6.0], [1.0, 6.0]]).expand(samples, 1, 4, 2)
    return [
        torch.rand(samples, channels, *size) * 0.3 + 0.3,
        torch.randint(0, 4, (samples, 1, *size)),
        corners + torch.rand(samples, 2, 1, 2),
        torch.cat([torch.rand(samples, 2, 2) * 3, torch.rand(samples, 2, 2) * 3 + 4], -1),
        torch.rand(samples, 2, 4) * 3 + 1,
        torch.rand(samples, 3, 2) * torch.tensor([width - 1.0, height - 1.0]),
    ]


def assert_equal(ours: Any, theirs: Any, keys: list[str], share_of_masks: float = 0.0) -> None:
    for one, other, key in zip(ours, theirs, keys, strict=True):
        assert one.shape == other.shape, key
        assert one.dtype == other.dtype, key
        if key == "mask":
            assert (one != other).double().mean() <= share_of_masks
        else:
            torch.testing.assert_close(one, other, atol=1e-4 if key == "input" else 1e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", WARPS)
def test_one_warp_with_all_that_moves_along(name: str, p: float, size: tuple[int, int]) -> None:
    torch.manual_seed(7)
    if p == 0.5 and any(word in name for word in ("crop", "resize", "longest", "smallest")):
        p = 0.8  # drawn for the whole batch
    off = K.RandomVerticalFlip(p=0.0)  # or one move of whole pixels would be left to Kornia
    theirs = K.AugmentationSequential(WARPS[name](p), off, data_keys=KEYS)
    ours, data = fused(theirs), batch(size)
    expected = theirs(*data)
    assert_equal(ours(*data, params=theirs._params), expected, KEYS, share_of_masks=0.01)
    assert {part.kind for part in ours.explain().parts} == {"warp"}
    if name != "pad":
        torch.testing.assert_close(ours.transform_matrix, theirs.transform_matrix, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", COLOURS)
def test_one_colour(name: str, p: float, exact: bool) -> None:
    torch.manual_seed(3)
    theirs = K.AugmentationSequential(COLOURS[name](p), data_keys=KEYS)
    ours, data = fused(theirs, exact=exact), batch((9, 8))
    if exact:
        data[0] = torch.rand(5, 3, 9, 8) * 1.4 - 0.2  # outside [0, 1] too: Kornia clamps what it is given
    expected = theirs(*data)
    assert_equal(ours(*data, params=theirs._params), expected, KEYS)
    assert {part.kind for part in ours.explain().parts} == {"pointwise"}


@pytest.mark.parametrize("name", GREY)
def test_one_colour_of_grey_images(name: str) -> None:
    theirs = K.AugmentationSequential(COLOURS[name](0.5))
    ours, data = fused(theirs), batch((9, 8), channels=1)[0]
    expected = theirs(data)
    torch.testing.assert_close(ours(data, params=theirs._params), expected, atol=1e-4, rtol=0)
    assert {part.kind for part in ours.explain().parts} == {"pointwise"}


def test_jitter_of_grey_images_leaves_saturation_alone() -> None:
    theirs = K.AugmentationSequential(K.ColorJitter(0.2, 0.2, 0.2, p=1.0))
    data = batch((9, 8), channels=1)[0]
    expected = theirs(data)
    torch.testing.assert_close(fused(theirs)(data, params=theirs._params), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 15, 11)])
def test_every_operation_of_the_preset(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    preset = image(shape, salt_and_pepper=0.05, brightness=0.1, contrast=0.1)
    data = torch.rand(6, *shape) * 0.4 + 0.3
    for step in preset:
        alone = K.AugmentationSequential(step)
        expected = alone(data)
        torch.testing.assert_close(fused(alone)(data, params=alone._params), expected, atol=1e-4, rtol=0)
    ours = fused(preset)
    assert ours(torch.rand(6, *shape)).shape == (6, *shape)
    assert [part.kind for part in ours.explain().parts] == ["warp", "pointwise"]
    expected = preset(data)
    torch.testing.assert_close(fused(preset, exact=True)(data, params=preset._params), expected, atol=1e-4, rtol=0)


def smooth(size: tuple[int, int], samples: int = 4) -> Tensor:
    """Waves much longer than a pixel."""
    y, x = (torch.linspace(0, 1, side) for side in size)
    phase = torch.rand(samples, 3, 1, 1) * 6
    return 0.5 + 0.3 * torch.sin(3 * x + 4 * y[:, None] + phase)


CHAINS: dict[str, list[Any]] = {
    "flip, affine, resized crop": [
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(15.0, (0.1, 0.1), (0.9, 1.1), p=0.7),
        K.RandomResizedCrop((32, 40), scale=(0.6, 1.0)),
    ],
    "crop, perspective, rotation": [
        K.RandomCrop((40, 40), padding=4),
        K.RandomPerspective(0.2, p=1.0),
        K.RandomRotation(10.0, p=0.5),
    ],
    "resize, center crop, shear": [K.Resize((64, 50)), K.CenterCrop((40, 40)), K.RandomShear(8.0, p=1.0)],
    "pad, translate, flips": [
        K.PadTo((56, 60)),
        K.RandomTranslate((-0.1, 0.1), p=1.0),
        K.RandomVerticalFlip(p=0.5),
        K.RandomHorizontalFlip(p=0.5),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_move_everything_as_the_steps_do_one_after_the_other(name: str) -> None:
    torch.manual_seed(1)
    theirs = K.AugmentationSequential(*CHAINS[name], data_keys=KEYS)
    ours, data = fused(theirs), batch((48, 44))
    data[0] = smooth((48, 44), samples=5)
    expected = theirs(*data)
    found = ours(*data, params=theirs._params)
    assert len(ours.explain().parts) == 1
    for one, other, key in zip(found[2:], expected[2:], KEYS[2:], strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-4, msg=key)
    torch.testing.assert_close(ours.transform_matrix, theirs.transform_matrix, atol=2e-3, rtol=1e-4)
    inside = inside_all_along(theirs, theirs._params, (48, 44))
    assert inside.double().mean() > 0.3
    difference = (found[0] - expected[0]).abs().amax(1)[inside]
    assert difference.max() < 0.01  # a warp more of a smooth image


def inside_all_along(pipeline: Any, params: Any, size: tuple[int, int]) -> Tensor:
    """The pixels that, in each step, came from within the image, border left out: ones stay ones."""
    ones = torch.ones(5, 1, *size)
    ones[..., :2, :] = ones[..., -2:, :] = ones[..., :, :2] = ones[..., :, -2:] = 0
    only = K.AugmentationSequential(*pipeline, extra_args={DataKey.IMAGE: {}})
    kept = only(ones, params=params)[:, 0] > 0.999
    return -torch.nn.functional.max_pool2d(-kept[:, None].float(), 5, 1, 2)[:, 0] > 0.5


@pytest.mark.parametrize("exact", [False, True])
def test_what_cannot_be_fused_runs_in_its_place(exact: bool) -> None:
    torch.manual_seed(2)
    theirs = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomElasticTransform(p=1.0),
        K.RandomErasing(p=1.0),
        K.RandomGaussianBlur((3, 3), (0.5, 1.0), p=1.0),
        K.RandomBrightness((0.9, 1.1)),
        K.RandomMotionBlur(3, 10.0, 0.5, p=1.0),
        K.RandomRain(p=1.0, drop_height=(2, 4), drop_width=(1, 2), number_of_drops=(2, 4)),
        K.RandomRotation(10.0, p=1.0),
        K.RandomPosterize(p=1.0),
        data_keys=["input", "mask"],
        extra_args={DataKey.MASK: {"resample": "nearest"}},
    )
    ours = fused(theirs, exact=exact)
    images, masks = batch((24, 24))[:2]
    expected = theirs(images, masks)
    found = ours(images, masks, params=theirs._params)
    assert (found[0] - expected[0]).abs().max() <= 1e-4
    assert (found[1] != expected[1]).double().mean() < 0.01
    kinds = [*["as it is"] * 4, "pointwise", *["as it is"] * 2, "warp", "as it is"]
    assert [part.kind for part in ours.explain().parts] == kinds


def test_whole_pipelines_are_kornia_s_where_that_is_asked_for() -> None:
    torch.manual_seed(5)
    theirs = K.AugmentationSequential(
        K.RandomAffine(20.0, (0.1, 0.1), (0.8, 1.2), p=0.8),
        K.ColorJitter(0.5, 0.5, 0.5, 0.2, p=0.7),
        K.RandomCrop((20, 20), padding=3),
        K.RandomGaussianNoise(std=0.2, p=0.5),
        K.ColorJiggle(0.3, 0.5, 0.5, 0.2, p=0.7),
        K.RandomGamma((0.5, 2.0), p=0.5),
        K.Normalize(0.5, 0.25),
        K.ColorJitter(0.5, 0.5, p=0.5),
        data_keys=KEYS,
    )
    ours, data = fused(theirs, exact=True), batch((24, 22))
    for _ in range(5):
        data[0] = torch.rand(5, 3, 24, 22)
        expected = theirs(*data)
        assert_equal(ours(*data, params=theirs._params), expected, KEYS, share_of_masks=0.01)
    torch.manual_seed(9)
    expected = theirs(*data)
    torch.manual_seed(9)
    assert_equal(ours(*data), expected, KEYS, share_of_masks=0.01)  # noise too is drawn as Kornia draws it


def test_samplings_that_differ_cut_a_warp_and_are_told() -> None:
    told = str(
        fused(
            [
                K.RandomAffine(10.0, padding_mode="border"),
                K.RandomHorizontalFlip(),
                K.RandomRotation(10.0),
                K.RandomRotation(10.0, resample="nearest"),
                K.RandomAffine(10.0, padding_mode="fill", fill_value=0.5),
                K.RandomErasing(),
                K.ColorJitter(0.1),
                nn.Hardtanh(0, 1),
            ]
        ).explain()
    ).splitlines()
    assert told == [
        "warp      0, 1; bilinear, border outside",
        "warp      2; bilinear, zeros outside; its own warp, as the one before is bilinear, border outside",
        "warp      3; nearest, zeros outside; its own warp, as the one before is bilinear, zeros outside",
        "as it is  4; it fills with a value of its own",
        "as it is  5; it is neither a warp nor pointwise, or not known to be",
        "pointwise 6, 7",
    ]


def test_the_reasons_that_only_a_batch_tells() -> None:
    crop, flip = K.RandomCrop((20, 20)), K.RandomVerticalFlip()
    ours = fused([crop, flip, K.RandomSaturation((0.5, 1.5)), K.RandomInvert(torch.rand(3))])
    assert [part.kind for part in ours.explain().parts] == ["warp", "pointwise"]
    ours(torch.rand(2, 3, 10, 10))
    alone = "it moves whole pixels, and no other warp is joined to it"
    assert [part.why for part in ours.explain().parts] == ["its crop is larger than the image", alone, ""]
    with pytest.raises(ValueError, match="3, H, W"):
        ours(torch.rand(2, 1, 30, 30))


def test_a_subclass_runs_as_it_is() -> None:
    class Mine(K.RandomHorizontalFlip):
        def apply_transform(self, *args: Any, **kwargs: Any) -> Tensor:
            return args[0] * 0

    assert fused([Mine(p=1.0)])(torch.rand(2, 3, 4, 4)).sum() == 0


@pytest.mark.parametrize("random_apply", [False, 2, True])
def test_containers_are_taken_apart_as_they_were_drawn(random_apply: Any) -> None:
    torch.manual_seed(4)
    theirs = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.ImageSequential(K.RandomRotation(20.0, p=1.0), K.RandomVerticalFlip(p=0.5), random_apply=1),
        K.RandomBrightness((0.8, 1.2)),
        data_keys=["input", "mask"],
        random_apply=random_apply,
    )
    ours = fused(theirs)
    for _ in range(5):
        images, masks = batch((12, 12))[:2]
        expected = theirs(images, masks)
        assert_equal(ours(images, masks, params=theirs._params), expected, ["input", "mask"], share_of_masks=0.01)
        assert_equal(
            theirs(images, masks, params=(ours(images, masks), ours._params)[1]),
            ours(images, masks, params=ours._params),
            ["input", "mask"],
            0.01,
        )


@pytest.mark.parametrize(
    "policy", [K.auto.AutoAugment(), K.PatchSequential(K.RandomErasing(p=1.0), grid_size=(2, 2), patchwise_apply=False)]
)
def test_other_containers_run_as_they_are(policy: Any) -> None:
    theirs = K.AugmentationSequential(K.RandomRotation(9.0, p=0.5), policy)
    ours, data = fused(theirs), torch.rand(4, 3, 16, 16)
    expected = theirs(data)
    torch.testing.assert_close(ours(data, params=theirs._params), expected, atol=1e-4, rtol=0)
    assert [part.kind for part in ours.explain().parts] == ["warp", "as it is"]


@pytest.mark.parametrize("step", [K.RandomMixUpV2(p=1.0), K.RandomMosaic((9, 9), p=1.0)])
def test_mixes_of_samples_run_as_they_are(step: Any) -> None:
    theirs = K.AugmentationSequential(K.RandomRotation(9.0, p=0.5), step, K.RandomRotation(9.0, p=0.5))
    ours, data = fused(theirs), torch.rand(4, 3, 12, 12)
    expected = theirs(data)
    torch.testing.assert_close(ours(data, params=theirs._params), expected, atol=1e-4, rtol=0)
    assert ours(data).shape == expected.shape
    assert [part.kind for part in ours.explain().parts] == ["warp", "as it is", "warp"]


def test_videos_run_as_they_are() -> None:
    theirs = K.AugmentationSequential(K.VideoSequential(K.RandomRotation(20.0, p=1.0), same_on_frame=True))
    ours, data = fused(theirs), torch.rand(2, 3, 4, 8, 8)
    torch.manual_seed(0)
    expected = theirs(data)
    torch.manual_seed(0)
    assert torch.equal(ours(data), expected)
    assert str(ours.explain()) == "as it is  VideoSequential_0; videos and volumes are not fused"


def test_dicts_and_lists_and_classes() -> None:
    theirs = K.AugmentationSequential(K.RandomHorizontalFlip(p=0.5), K.RandomAffine(10.0, p=1.0), data_keys=None)
    images, masks, *_, points = batch((12, 10))
    data = {"mask_b": masks, "image": images, "keypoints": points, "class": torch.arange(5), "unknown": "kept"}
    expected = theirs(data)
    found = fused(theirs)(data, params=theirs._params)
    assert found.keys() == expected.keys()
    assert found["unknown"] == "kept"
    assert torch.equal(found["class"], torch.arange(5))
    for key in ("image", "keypoints"):
        torch.testing.assert_close(found[key], expected[key], atol=1e-4, rtol=1e-4)
    assert (found["mask_b"] != expected["mask_b"]).double().mean() < 0.01


def test_masks_of_other_shapes() -> None:
    theirs = K.AugmentationSequential(K.RandomRotation(20.0, p=1.0), K.RandomBrightness(), data_keys=["input", "mask"])
    images = torch.rand(4, 3, 12, 12)
    for masks in (torch.rand(4, 12, 12), torch.rand(1, 1, 12, 12), [torch.rand(2, 12, 12) for _ in range(4)]):
        expected = theirs(images, masks)[1]
        found = fused(theirs)(images, masks, params=theirs._params)[1]
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert ((one - other).abs() > 1e-4).double().mean() < 0.01
    kept = K.AugmentationSequential(K.RandomRotation(20.0, p=1.0), data_keys=["input", "mask"], keepdim=True)
    assert fused(kept)(images, torch.rand(4, 12, 12))[1].shape == (4, 12, 12)


def test_masks_are_read_as_the_pipeline_says() -> None:
    theirs = K.AugmentationSequential(
        K.RandomRotation(20.0, p=1.0),
        K.RandomResizedCrop((9, 9), scale=(0.5, 0.9)),
        data_keys=["input", "mask"],
        extra_args={DataKey.MASK: {"resample": "bilinear", "align_corners": None}},
    )
    images, masks = torch.rand(4, 3, 12, 12), torch.rand(4, 1, 12, 12)
    expected = theirs(images, masks)[1]
    ours = fused(theirs, exact=True)
    torch.testing.assert_close(ours(images, masks, params=theirs._params)[1], expected, atol=1e-4, rtol=0)


def test_bytes_become_floats() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomErasing(p=1.0), K.RandomHorizontalFlip(p=0.5), K.ColorJitter(0.1, p=1.0), data_keys=["input", "mask"]
    )
    ours = fused(pipeline)
    images, masks = torch.randint(0, 256, (4, 3, 10, 10), dtype=torch.uint8), torch.rand(4, 1, 10, 10)
    found = ours(images, masks)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], ours(images / 255, masks, params=ours._params)[0], atol=1e-6, rtol=0)
    for step in (K.RandomRotation(10.0, p=1.0), K.RandomErasing(p=0.0), nn.Identity()):
        assert fused([step])(images).dtype == torch.float32


def test_other_layouts_and_dtypes() -> None:
    pipeline = K.AugmentationSequential(K.RandomRotation(20.0, p=1.0), K.ColorJitter(0.1, 0.1, 0.1, 0.1, p=1.0))
    ours, images = fused(pipeline), torch.rand(4, 3, 12, 10)
    found = ours(images)
    last = ours(images.to(memory_format=torch.channels_last), params=ours._params)
    torch.testing.assert_close(last, found, atol=1e-6, rtol=0)
    for dtype, close in ((torch.float64, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        other = ours(images.to(dtype), params=ours._params)
        assert other.dtype == dtype
        torch.testing.assert_close(other.float(), found, atol=close, rtol=0)
    one = ours(images[0])
    assert one.shape == (1, 3, 12, 10)
    assert ours(images[:0]).shape == (0, 3, 12, 10)


def test_many_images_go_in_chunks_with_what_is_theirs() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomAffine(20.0, p=0.5), K.ColorJitter(0.1, 0.1, p=0.5), K.RandomGaussianNoise(std=0.1, p=0.5)
    )
    ours, images = fused(pipeline), torch.rand(40, 3, 300, 300) * 0.4 + 0.3
    assert _chunk(images) < len(images)
    expected = pipeline(images)
    torch.testing.assert_close(ours(images, params=pipeline._params), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "step",
    [
        nn.Identity(),
        nn.Hardtanh(0.4, 0.6, inplace=True),
        *(make(1.0) for make in COLOURS.values()),
        K.RandomHorizontalFlip(p=0.0),
        K.RandomRotation(10.0, p=1.0),
    ],
)
def test_the_batch_is_left_as_it_was(step: Any) -> None:
    images = torch.rand(4, 3, 8, 8)
    before = images.clone()
    fused([step])(images).zero_()
    assert torch.equal(images, before)


def test_gradients_flow() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomRotation(20.0, p=1.0), K.ColorJitter(0.1, 0.1, 0.1, 0.1, p=1.0), K.RandomGaussianNoise(std=0.1, p=1.0)
    )
    ours, images = fused(pipeline), (torch.rand(3, 3, 8, 8) * 0.4 + 0.3).double().requires_grad_()
    ours(images.detach())
    params = ours._params
    assert torch.autograd.gradcheck(
        lambda x: fused(pipeline)(x, params=params).sum((2, 3)), images, atol=1e-3, fast_mode=True
    )


def test_noise_is_drawn_with_kornia_s_distribution() -> None:
    torch.manual_seed(0)
    images = torch.full((400, 3, 16, 16), 0.5)
    noisy = fused([K.RandomGaussianNoise(0.1, 0.2, p=0.5)])(images) - 0.5
    hit = noisy.abs().amax((1, 2, 3)) > 0
    assert 150 < hit.sum() < 250
    assert abs(float(noisy[hit].mean()) - 0.1) < 0.005
    assert abs(float(noisy[hit].std()) - 0.2) < 0.005
    assert len(noisy[hit][:, :, 0, 0].unique()) > 3 * hit.sum() - 5
    same = fused([K.RandomGaussianNoise(std=0.2, same_on_batch=True, p=1.0)])(images)
    assert torch.equal(same[0], same[7])


def test_salt_and_pepper_are_drawn_with_kornia_s_distribution() -> None:
    torch.manual_seed(0)
    images = torch.full((300, 3, 16, 16), 0.5)
    spoiled = fused([K.RandomSaltAndPepperNoise((0.1, 0.3), (0.2, 0.4), p=0.5)])(images)
    assert all(torch.equal(spoiled[:, 0], spoiled[:, channel]) for channel in (1, 2))
    hit = (spoiled != 0.5).any(3).any(2).any(1)
    assert 110 < hit.sum() < 190
    salt, pepper = (spoiled[hit, 0] == 1).double().mean((1, 2)), (spoiled[hit, 0] == 0).double().mean((1, 2))
    assert abs(float((salt + pepper).mean()) - 0.2) < 0.015
    assert abs(float((salt / (salt + pepper)).mean()) - 0.3) < 0.03
    assert float((salt + pepper).std()) > 0.04  # each image has an amount of its own


def test_all_is_drawn_from_the_global_generator() -> None:
    ours, images = fused(image((3, 12, 12), salt_and_pepper=0.1)), torch.rand(4, 3, 12, 12)
    torch.manual_seed(1)
    one = ours(images)
    torch.manual_seed(1)
    assert torch.equal(ours(images), one)
    assert not torch.equal(ours(images), one)


def test_parameters_serve_again_here_and_in_kornia() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomRotation(9.0), K.RandomGaussianNoise(std=0.1), K.RandomSaltAndPepperNoise()
    )
    ours, images = fused(pipeline), torch.rand(4, 3, 12, 12)
    found = ours(images)
    assert torch.equal(ours(images, params=ours._params), found)
    torch.testing.assert_close(pipeline(images, params=ours._params), found, atol=1e-4, rtol=0)
    mask = torch.rand(4, 1, 12, 12)
    moved = ours(mask, params=ours._params, data_keys=["mask"])
    assert torch.equal(ours(images, mask, params=ours._params, data_keys=["input", "mask"])[1], moved)


def test_samplers_stay_on_the_cpu_and_the_user_s_modules_move() -> None:
    convolution = nn.Conv2d(3, 3, 1)
    pipeline = K.AugmentationSequential(K.RandomRotation(9.0), K.ImageSequential(K.RandomGamma(), convolution))
    fused(pipeline).to("meta")
    assert convolution.weight.device.type == "meta"
    assert pipeline[0].device.type == "cpu"
    assert pipeline[1][0].device.type == "cpu"


def test_copies_work_alone() -> None:
    ours = fused(image((3, 12, 12)))
    ours(torch.rand(2, 3, 12, 12))
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert copied(torch.rand(2, 3, 12, 12)).shape == (2, 3, 12, 12)


def test_one_operation_a_list_and_torch_s_sequential() -> None:
    images = torch.rand(3, 3, 8, 8)
    flip = K.RandomHorizontalFlip(p=1.0)
    for pipeline in (flip, [flip], nn.Sequential(flip), K.ImageSequential(flip), K.AugmentationSequential(flip)):
        assert torch.equal(fused(pipeline)(images), images.flip(-1))


def test_whole_pixels_stay_what_they_were() -> None:
    images = torch.rand(6, 3, 15, 14)
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.RandomVerticalFlip(), K.RandomCrop((15, 14), padding=4), K.CenterCrop((9, 9))
    )
    expected = pipeline(images)
    found = fused(pipeline)(images, params=pipeline._params)
    shown = found != 0
    assert torch.equal(found[shown & (expected != 0)], expected[shown & (expected != 0)])


@pytest.mark.parametrize("wrong", [None, 3, [], [torch.relu], "flip"])
def test_what_is_no_pipeline_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"augment.fused: expected a Kornia pipeline"):
        fused(wrong)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="found both"):
        fused([nn.Identity()], exact=True, compile=True)
    with pytest.raises(ValueError, match="found neither"):
        fused([nn.Identity()])(torch.rand(1, 1, 4, 4), data_keys=["mask"])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pointwise_pass_compiles_whatever_was_drawn(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    def noted(kinds: tuple[str, ...]) -> Any:
        seen.append(kinds)
        return pointwise.run

    monkeypatch.setattr(steps, "compiled", noted)
    colour = (0.2, 0.1) if channels == 3 else (0.0, 0.0)
    pipeline = K.AugmentationSequential(
        K.RandomGaussianNoise(std=0.01, p=0.5),
        K.ColorJitter(0.1, 0.1, *colour, p=0.5),
        K.RandomSaltAndPepperNoise(p=0.5),
        K.ColorJitter(0.1, 0.1, *colour),
        K.RandomGamma((0.9, 1.1), p=0.5),
        nn.Hardtanh(0, 1),
    )
    ours, images = fused(pipeline, compile=True), batch((6, 5), channels, samples=3)[0]
    for _ in range(20):
        found = ours(images)
        torch.testing.assert_close(found, fused(pipeline)(images, params=ours._params), atol=1e-5, rtol=0)
    assert len(set(seen)) == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler on a CPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of torch.jit
def test_compiled_for_real() -> None:
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.ColorJitter(0.1, 0.1, 0.1, 0.1, p=0.5), K.RandomGaussianNoise(std=0.01)
    )
    ours = fused(pipeline, compile=True)
    for samples in (4, 4, 3):
        images = batch((6, 5), samples=samples)[0]
        found = ours(images)
        torch.testing.assert_close(found, fused(pipeline)(images, params=ours._params), atol=1e-5, rtol=0)


def test_what_is_small_is_sent_at_once_and_arrives_where_it_belongs() -> None:
    eye = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    warp = steps.Warp.of(eye, (4, 4), (4, 4), Sampling("bilinear"))
    noise, gates = torch.rand(2, 3, 4, 4), (torch.ones(2), torch.zeros(2))
    stages = (pointwise.Stage("add", (noise, gates[0])), pointwise.Stage("clamp", gates))
    there, painted = steps.send([warp, steps.Paint(stages, compile=False)], torch.device("meta"))
    assert there.maps.shape == (2, 3, 3)
    assert there.maps.device.type == "meta"
    assert painted.stages[0].tensors[0] is noise
    assert [one.shape for stage in painted.stages for one in stage.tensors[-1:]] == [(2,), (2,)]
    assert steps.send([warp], torch.device("cpu")) == [warp]
