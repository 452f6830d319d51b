"""Normalisation: found, undone and done again."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Subset
from torchvision import transforms
from torchvision.transforms import v2

from onthefly.data.normalize import Normalization, find_normalization, on_image

NORMALIZE = transforms.Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


class With:
    def __init__(self, transform: Any) -> None:
        self.transform = transform


def test_it_does_what_torchvision_does_and_undoes_it() -> None:
    images = torch.rand(5, 3, 4, 4)
    norm = Normalization.of(((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)))
    assert norm is not None
    assert torch.allclose(norm.apply(images), NORMALIZE(images))
    assert torch.allclose(norm.undo(norm.apply(images)), images, atol=1e-6)


@pytest.mark.parametrize("given", [(0.5, 0.5), ([0.5], torch.tensor([0.5])), Normalization((0.5,), (0.5,))])
def test_one_number_serves_all_channels(given: Any) -> None:
    norm = Normalization.of(given)
    assert norm is not None
    assert norm.apply(torch.ones(2, 3, 1, 1)).unique().tolist() == [1.0]


@pytest.mark.parametrize(
    "transform",
    [
        NORMALIZE,
        transforms.Compose([transforms.ToTensor(), NORMALIZE]),
        transforms.Compose([transforms.ToTensor(), transforms.Compose([NORMALIZE])]),
        v2.Compose([v2.ToImage(), v2.Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))]),
        nn.Sequential(NORMALIZE),
    ],
)
def test_it_is_found_in_the_dataset_s_transform(transform: Any) -> None:
    expected = Normalization((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert find_normalization(With(transform)) == expected
    assert find_normalization(Subset(Subset(With(transform), [0]), [0])) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "transform",
    [
        None,
        transforms.ToTensor(),
        transforms.Compose([NORMALIZE, NORMALIZE]),
        transforms.Compose([transforms.ToTensor(), transforms.RandomApply([NORMALIZE])]),
        v2.RandomApply([NORMALIZE]),
        lambda image: image,
    ],
)
def test_nothing_is_guessed(transform: Any) -> None:
    assert find_normalization(With(transform)) is None


def test_only_the_image_is_changed() -> None:
    sample = {"mask": torch.ones(4, 4), "image": torch.ones(3, 4, 4), "more": [torch.ones(3, 4, 4), 7]}
    changed = on_image(sample, lambda image: image * 2, ndim=3)
    assert changed["image"].unique().item() == 2
    assert changed["mask"].unique().item() == changed["more"][0].unique().item() == 1


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        ([1, "a"], ("found none in [int, str]",)),
        ([torch.ones(3, 4, 4)] * 2, ("several alike at [0], [1]", "data_keys")),
    ],
)
def test_an_image_that_cannot_be_told_is_asked_for(structure: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: on_image(structure, lambda image: image, ndim=3), "normalized: expected", "[C, H, W]", *words)


def test_a_mask_is_not_the_image() -> None:
    batch = {"mask": torch.ones(2, 3, 4, 4), "image": torch.ones(2, 3, 4, 4)}
    assert on_image(batch, lambda image: image * 2, ndim=4)["mask"].unique().item() == 1
    image, mask = on_image((torch.ones(2, 3, 4, 4), torch.ones(2, 1, 4, 4)), lambda image: image * 2, ndim=4)
    assert (image.unique().item(), mask.unique().item()) == (2, 1)


@pytest.mark.parametrize("given", [0.5, (0.5,), ((0.5,), (0.0,)), ((0.5, 0.5), (1.0,)), ("a", "b")])
def test_bad_normalisations(given: Any, refused: Any) -> None:
    refused(lambda: Normalization.of(given), "normalized", "expected (mean, std)", "found")


def test_channels_must_agree(refused: Any) -> None:
    norm = Normalization((0.5, 0.5), (1.0, 1.0))
    refused(lambda: norm.apply(torch.zeros(1, 3, 2, 2)), "each of 3 channels", "found 2")
