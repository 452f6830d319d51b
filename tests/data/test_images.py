"""Images among the parts of samples and batches."""

from typing import Any

import pytest
import torch

from onthefly.data.images import on_image


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
