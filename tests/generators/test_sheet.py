"""Contact sheets."""

import numpy as np
import pytest
import torch
from PIL import Image

from onthefly.generators import contact_sheet
from onthefly.testing import CountingGenerator


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 5, 9), (3, 128, 128)])
def test_a_row_for_each_class_real_beside_synthetic(shape: tuple[int, int, int]) -> None:
    gen = CountingGenerator(shape, ("cat", "dog", "eel"))
    side = shape[2] * max(1, round(56 / max(shape[1:]))) + 2
    with_real = contact_sheet(gen, "with.png", real=[[torch.ones(shape)] * 2, [], [torch.zeros(shape)]], each=4)
    without = contact_sheet(gen, "folder/without.png", each=4)
    with Image.open(with_real) as one, Image.open(without) as other:
        assert one.width - other.width == pytest.approx(2 * side + 2 + 8)
        assert one.height == other.height
        pixels = np.asarray(one.convert("L"))
    assert (pixels[20:, 92 : 92 + side - 2][side // 2] > 250).all()  # the first real image of the first class is white


def test_many_classes_are_cut_to_what_can_be_seen() -> None:
    with Image.open(contact_sheet(CountingGenerator((1, 8, 8), 500), "many.png")) as sheet:
        assert sheet.height < 1300
