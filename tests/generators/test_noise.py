"""Keyed noise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onthefly.generators.noise import normal, philox

KEYS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8)


def test_the_reference_implementation_s_answers() -> None:
    """Philox-4x32-10 of Random123's known-answer file, for counters whose upper words are zero."""
    zero = philox(torch.tensor([0]), 4)[0].tolist()
    assert [f"{word:08x}" for word in zero] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@given(KEYS, st.integers(1, 30), st.integers(0, 3))
def test_a_key_s_noise_depends_on_nothing_else(keys: list[int], size: int, stream: int) -> None:
    together = normal(torch.tensor(keys), (size,), stream)
    longer = normal(torch.tensor(keys[:1]), (size + 5,), stream)
    for row, key in enumerate(keys):
        assert torch.equal(normal(torch.tensor([key]), (size,), stream)[0], together[row])
    assert torch.equal(longer[0, :size], together[0])


def test_it_is_normal_and_independent() -> None:
    noise = normal(torch.arange(20_000) * 7919, (16,))
    assert noise.dtype == torch.float32
    assert noise.mean().abs() < 0.01
    assert (noise.var() - 1).abs() < 0.01
    assert (noise.pow(4).mean() - 3).abs() < 0.05
    assert (torch.corrcoef(noise.T) - torch.eye(16)).abs().max() < 0.04
    assert noise.abs().max() < 4.4


def test_streams_of_a_key_differ() -> None:
    keys = torch.arange(1000)
    one, two = normal(keys, (8,), 0), normal(keys, (8,), 1)
    assert torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1].abs() < 0.05


def test_words_are_uniform_in_every_bit() -> None:
    words = philox(torch.arange(10_000) + 2**62, 8)
    assert words.min() >= 0
    assert words.max() < 2**32
    bits = (words.flatten()[:, None] >> torch.arange(32)) & 1
    assert (bits.double().mean(dim=0) - 0.5).abs().max() < 0.01


@pytest.mark.gpu
def test_the_gpu_makes_the_same_bits() -> None:
    keys = torch.arange(1000) * 2**50
    assert torch.equal(normal(keys, (64,)), normal(keys.cuda(), (64,)).cpu())
