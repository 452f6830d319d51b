"""Hashes and shuffles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onthefly.mixing.keys import Purpose, hash64, runs, sample_key, shuffle_decks


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 2**64 - 1))
def test_a_deck_is_shuffled_whatever_lies_beside_it(sizes: list[int], seed: int) -> None:
    decks = np.array(sizes, np.int64)
    seeds = hash64(seed, np.arange(len(decks)))
    shuffled = shuffle_decks(decks, seeds)
    ends = np.cumsum(decks)
    for number, size in enumerate(sizes):
        cards = shuffled[ends[number] - size : ends[number]]
        assert sorted(cards) == list(range(size))
        assert (cards == shuffle_decks(decks[number : number + 1], seeds[number : number + 1])).all()


@pytest.mark.parametrize("size", [3, 5, 8_191, 8_192, 8_193, 200_000])
def test_decks_of_any_size_are_permutations(size: int) -> None:
    assert (np.sort(shuffle_decks(np.array([size]), np.array([9], np.uint64))) == np.arange(size)).all()


def test_every_order_of_a_small_deck_is_equally_likely() -> None:
    orders = shuffle_decks(np.full(60_000, 3), hash64(1, np.arange(60_000))).reshape(-1, 3)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (abs(counts - 10_000) < 500).all()  # five standard deviations


def test_a_large_deck_has_no_drift_from_place_to_card() -> None:
    shuffled = shuffle_decks(np.array([100_000]), np.array([4], np.uint64))
    assert abs(np.corrcoef(shuffled, np.arange(100_000))[0, 1]) < 0.02


def test_hashes_are_uniform_and_differ_by_every_part() -> None:
    values = hash64(3, Purpose.ROWS, np.arange(100_000))
    bits = (values[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert (abs(bits.mean(axis=0) - 0.5) < 0.01).all()
    first = [int(hash64(*parts)) for parts in ((3, 1, 5), (4, 1, 5), (3, 2, 5), (3, 1, 6), (3, 1), (1, 3, 5))]
    assert len(set(first)) == len(first)


def test_keys_fit_a_non_negative_int64() -> None:
    keys = sample_key(0, np.arange(10_000))
    assert keys.dtype == np.int64
    assert (keys >= 0).all()
    assert keys.max() > 2**62


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(1, 30))
def test_runs_cover_everything_in_whole_groups(sizes: list[int], most: int) -> None:
    found = list(runs(np.cumsum(sizes), most))
    assert [number for groups, _ in found for number in range(groups.start, groups.stop)] == list(range(len(sizes)))
    for groups, items in found:
        assert items.stop - items.start == sum(sizes[groups])
        assert items.stop - items.start <= most or groups.stop - groups.start == 1
