"""The image preset."""

from typing import Any

import pytest
import torch

from onthefly import augment

NONE: dict[str, Any] = dict.fromkeys(
    (
        "flip",
        "rotate",
        "translate",
        "scale",
        "shear",
        "crop",
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "gaussian",
        "salt_and_pepper",
    ),
    0,
)
STRENGTHS = {
    "flip": 1.0,
    "rotate": 20.0,
    "translate": 0.2,
    "scale": 0.3,
    "shear": 15.0,
    "crop": 2,
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.3,
    "gaussian": 0.1,
    "salt_and_pepper": 0.1,
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24), (2, 9, 9)])
def test_images_keep_their_shape_and_range(shape: tuple[int, int, int]) -> None:
    images = torch.rand(16, *shape)
    changed = augment.image(shape)(images)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, images)


def test_without_strength_nothing_changes() -> None:
    images = torch.rand(4, 3, 16, 16)
    assert torch.equal(augment.image((3, 16, 16), **NONE)(images), images)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_transform_does_something_by_itself(name: str) -> None:
    images = torch.rand(16, 3, 16, 16)
    changed = augment.image((3, 16, 16), **{**NONE, name: STRENGTHS[name]})(images)
    assert (changed - images).abs().flatten(1).amax(dim=1).gt(0.01).float().mean() > 0.5


def test_saturation_and_hue_are_left_out_for_grey_images() -> None:
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(augment.image((1, 8, 8), **{**NONE, "saturation": 0.5, "hue": 0.3})(images), images)


def test_salt_and_pepper_is_black_and_white() -> None:
    images = torch.full((8, 3, 32, 32), 0.5)
    changed = augment.image((3, 32, 32), **{**NONE, "salt_and_pepper": 0.2})(images)
    assert changed.unique().tolist() == [0.0, 0.5, 1.0]
    assert (changed != 0.5).float().mean() == pytest.approx(0.2, abs=0.03)


def test_gaussian_noise_has_the_deviation_asked_for() -> None:
    images = torch.full((8, 3, 32, 32), 0.5)
    changed = augment.image((3, 32, 32), **{**NONE, "gaussian": 0.05})(images)
    assert (changed - images).std() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flip": 2}, ("flip from 0 to 1", "2")),
        ({"flip": float("nan")}, ("flip from 0 to 1", "nan")),
        ({"gaussian": -1}, ("gaussian of 0 or more", "-1")),
        ({"crop": -1}, ("crop of 0 or more", "-1")),
        ({"crop": 2.5}, ("crop in whole pixels", "2.5")),
        ({"hue": 0.7}, ("hue from 0 to 0.5", "0.7")),
        ({"shape": (8, 8)}, ("(C, H, W)", "(8, 8)")),
        ({"shape": (5, 8, 8), "salt_and_pepper": 0.1}, ("1 or 3 channels", "5")),
    ],
)
def test_bad_input(options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: augment.image(**{"shape": (3, 8, 8), **options}), "augment.image: expected", "found", *words)
