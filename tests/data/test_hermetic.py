"""Nothing global is left changed."""

import random

import numpy as np
import pytest
import torch

from onthefly.data.hermetic import hermetic


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_key_alone_decides_and_nothing_shows_outside() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    with hermetic(2**62):
        first = draw()
    after = draw()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert draw() == after
    with hermetic(2**62):
        assert draw() == first
    with hermetic(3):
        assert draw() != first


def test_states_are_restored_after_an_error() -> None:
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), hermetic(5):
        draw()[0] / 0
    after = torch.rand(())
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(()))
