"""Keyed noise."""

from statistics import NormalDist
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onthefly.generators import noise
from onthefly.generators.noise import integers, normal, philox, uniform

KEYS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8)


def test_the_reference_implementation_s_answers() -> None:
    """Philox-4x32-10 of Random123's known-answer file, for counters whose upper words are zero."""
    zero = philox(torch.tensor([0]), 4)[0].tolist()
    assert [f"{word:08x}" for word in zero] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def by_hand(key: int, block: int, stream: int) -> list[int]:
    """Philox-4x32-10 as the paper has it, in whole numbers of any size."""
    words, low, high = [block, stream, 0, 0], key % 2**32, key >> 32
    for _ in range(10):
        first, third = words[0] * 0xD251_1F53, words[2] * 0xCD9E_8D57
        words = [third >> 32 ^ words[1] ^ low, third % 2**32, first >> 32 ^ words[3] ^ high, first % 2**32]
        low, high = (low + 0x9E37_79B9) % 2**32, (high + 0xBB67_AE85) % 2**32
    return words


@given(KEYS, st.integers(0, 40), st.integers(0, 3))
def test_every_word_is_that_of_the_paper(keys: list[int], count: int, stream: int) -> None:
    expected = [[by_hand(key, number // 4, stream)[number % 4] for number in range(count)] for key in keys]
    assert philox(torch.tensor(keys), count, stream).tolist() == expected


@pytest.mark.parametrize("shape", [(50, 3), (3, 500)])
def test_nothing_depends_on_how_many_keys_are_worked_on_at_a_time(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.arange(shape[0]) * 2**50
    whole = philox(keys, shape[1]), normal(keys, shape[1:])
    monkeypatch.setattr(noise, "_CACHED", 7)
    assert torch.equal(philox(keys, shape[1]), whole[0])
    assert torch.equal(normal(keys, shape[1:]), whole[1])


def test_normal_noise_is_the_quantile_of_sixteen_bits() -> None:
    """The lower half of a word comes first."""
    word = by_hand(5, 0, 0)[0]
    expected = [NormalDist().inv_cdf((half + 0.5) / 65536) for half in (word % 2**16, word >> 16)]
    assert normal(torch.tensor([5]), (2,))[0].tolist() == torch.tensor(expected).tolist()


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


def test_uniform_noise_lies_between_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = uniform(torch.arange(20_000), (2, 8))
    assert (made.dtype, made.shape) == (torch.float32, (20_000, 2, 8))
    assert abs(made.mean() - 0.5) < 0.002
    assert abs(made.var() - 1 / 12) < 0.001
    monkeypatch.setattr(noise, "_bits", lambda *_: torch.tensor([[0, -1]], dtype=torch.int32))  # all bits 0, all 1
    assert uniform(torch.tensor([0]), (2,)).tolist() == [[2**-24, 1 - 2**-24]]


@pytest.mark.parametrize("high", [1, 6, 2**31])
def test_whole_numbers_below_a_bound(high: int) -> None:
    made = integers(torch.arange(20_000), (6,), high)
    assert (made.dtype, made.shape) == (torch.int64, (20_000, 6))
    assert made.min() >= 0
    assert made.max() < high
    assert abs((made / high).mean() - (1 - 1 / high) / 2) < 0.003
    if high == 6:
        assert (made.flatten().bincount() / made.numel() - 1 / 6).abs().max() < 0.005


@pytest.mark.parametrize("high", [0, -1, 2**31 + 1])
def test_a_bound_out_of_range(high: int, refused: Any) -> None:
    refused(lambda: integers(torch.tensor([0]), (1,), high), "from 1 to 2**31", str(high))


@pytest.mark.parametrize("make", [normal, uniform, lambda keys, shape: integers(keys, shape, 10)])
def test_nothing_is_made_of_no_keys_and_of_no_numbers(make: Any) -> None:
    assert make(torch.zeros(0, dtype=torch.int64), (2, 3)).shape == (0, 2, 3)
    assert make(torch.tensor([1, 2]), (0,)).shape == (2, 0)
    assert make(torch.tensor([1, 2]), ()).shape == (2,)


@pytest.mark.gpu
@pytest.mark.parametrize("make", [normal, uniform, lambda keys, shape: integers(keys, shape, 10)])
def test_the_gpu_makes_the_same_bits(make: Any) -> None:
    keys = torch.arange(1000) * 2**50
    assert torch.equal(make(keys, (64,)), make(keys.cuda(), (64,)).cpu())
