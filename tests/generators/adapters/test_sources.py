"""Real samples, brought to what a model takes."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from onthefly.generators.adapters.sources import as_images

CPU = torch.device("cpu")
PIXELS = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4) / 96
BYTES = (PIXELS * 255).byte()


def test_every_form_of_image_becomes_the_same() -> None:
    labels = torch.tensor([0, 1])
    pictures = [Image.fromarray(image.movedim(0, 2).numpy()) for image in BYTES]
    forms: list[Any] = [
        PIXELS,
        [PIXELS, labels],
        {"image": PIXELS, "label": labels},
        [(image, 3) for image in PIXELS],
        [{"image": image} for image in PIXELS],
        [(image.numpy(), 3) for image in PIXELS],
    ]
    assert all(torch.equal(as_images(form, (3, 4, 4), CPU), PIXELS) for form in forms)
    for form in ([BYTES, labels], [(one, 3) for one in pictures], [(np.asarray(one), 3) for one in pictures]):
        assert torch.equal(as_images(form, (3, 4, 4), CPU), BYTES / 255)


def test_sizes_and_channels_are_the_models() -> None:
    assert as_images([(torch.rand(1, 9, 7), 0), (torch.rand(4, 5, 5), 1)], (3, 6, 6), CPU).shape == (2, 3, 6, 6)
    assert as_images(PIXELS, (1, 8, 2), CPU).shape == (2, 1, 8, 2)
    made = as_images(torch.rand(5, 3, 32, 32), (3, 13, 13), CPU)
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (None, ("sources", "None", "strength=")),
        ([torch.zeros(2, 7), torch.zeros(2)], ("sources", "float32[2, 7]")),
        (torch.zeros(2, 5, 4, 4), ("sources", "3 channels", "found 5")),
    ],
)
def test_bad_input(sources: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: as_images(sources, (3, 4, 4), CPU), *words)
