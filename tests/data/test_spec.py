"""What one sample is, and how two differ."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from onthefly.data.spec import Field, Spec, describe, differences


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (torch.tensor([[0.0, 2.0]]), Field((1, 2), "float32", (0, 2))),
        (np.zeros((2, 3), np.uint8), Field((2, 3), "uint8", (0, 0))),
        (7, Field((), "int64", (7, 7))),
        (True, Field((), "bool", (1, 1))),
        (0.5, Field((), "float64", (0.5, 0.5))),
        ("text", Field((), "str")),
        (Image.new("RGB", (4, 4)), Field((), "Image")),
        (torch.zeros(0, 4), Field((0, 4), "float32")),
    ],
)
def test_a_field(sample: Any, expected: Field) -> None:
    assert describe(sample) == {"": expected}


def test_places() -> None:
    assert set(describe({"x": torch.zeros(1), "y": (1, [2])})) == {"['x']", "['y'][0]", "['y'][1][0]"}


def test_differences_name_the_place_and_both_sides() -> None:
    one = describe((torch.zeros(1, 8, 8), 3, torch.zeros(2)))
    other = describe((torch.zeros(1, 8, 8, dtype=torch.float64), 3.0))
    assert differences(one, one) == []
    assert differences(one, other) == [
        "[0]: expected float32[1, 8, 8], found float64[1, 8, 8]",
        "[1]: expected int64[], found float64[]",
        "[2]: expected float32[2], found nothing",
    ]


@pytest.mark.parametrize("classes", [3, ("a", "b")])
def test_a_spec_survives_json(classes: Any) -> None:
    spec = Spec.image((3, 5, 7), classes)
    assert Spec.from_json(spec.to_json()) == spec
