"""Noise that code draws by itself is a function of the keys."""

from typing import Any

import pytest
import torch

from onthefly.generators.adapters.keyed import KeyedNoise

KEYS = torch.tensor([5, 6, 7])


def test_noise_is_a_function_of_the_key_and_of_how_often_it_was_asked_for() -> None:
    with KeyedNoise(KEYS):
        among = [
            torch.randn(3, 2, 4),
            torch.randn((3, 5)),
            torch.randn(size=(3, 1)),
            torch.randn_like(torch.ones(3, 2)),
        ]
    for row, key in enumerate(KEYS):
        with KeyedNoise(key[None]):
            alone = [
                torch.randn(1, 2, 4),
                torch.randn((1, 5)),
                torch.randn(size=(1, 1)),
                torch.randn_like(torch.ones(1, 2)),
            ]
        assert all(torch.equal(one[row], other[0]) for one, other in zip(among, alone, strict=True))
    assert not torch.equal(among[0][:, 0, :2], among[3])


def test_types_are_those_that_were_asked_for() -> None:
    with KeyedNoise(KEYS):
        made = torch.randn(3, 2, dtype=torch.float64, device="cpu", generator=None)
        like = torch.randn_like(torch.zeros(3, 2, dtype=torch.bfloat16))
    assert (made.dtype, like.dtype) == (torch.float64, torch.bfloat16)


def test_nothing_global_is_drawn_and_all_is_as_before_after_it() -> None:
    before = torch.random.get_rng_state()
    with KeyedNoise(KEYS):
        torch.randn(3, 2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.randn(2).shape == (2,)


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (lambda: torch.rand(3), "rand"),
        (lambda: torch.zeros(3).normal_(), "normal_"),
        (lambda: torch.ones(3, 2).multinomial(1), "multinomial"),
        (lambda: torch.randn(2, 4), "[2, 4]"),
        (lambda: torch.randn(()), "[]"),
    ],
)
def test_what_no_key_decides_is_refused(draw: Any, word: str, refused: Any) -> None:
    with KeyedNoise(KEYS):
        refused(draw, "it draws", word, error=RuntimeError)
