"""Normalisation: found, undone and done again."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Subset
from torchvision import transforms
from torchvision.transforms import v2

from onthefly.data.normalize import Normalization, find_normalization

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


@pytest.mark.parametrize("given", [0.5, (0.5,), ((0.5,), (0.0,)), ((0.5, 0.5), (1.0,)), ("a", "b")])
def test_bad_normalisations(given: Any, refused: Any) -> None:
    refused(lambda: Normalization.of(given), "normalized", "expected (mean, std)", "found")


def test_channels_must_agree(refused: Any) -> None:
    norm = Normalization((0.5, 0.5), (1.0, 1.0))
    refused(lambda: norm.apply(torch.zeros(1, 3, 2, 2)), "each of 3 channels", "found 2")
