"""Quantiles: any numbers become normal, and come back."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onthefly.generators.quantiles import Quantiles

FLOATS = st.floats(-1e6, 1e6, width=32)
KINDS = {
    "normal": lambda rng: rng.normal(3, 2, 5000),
    "heavy": lambda rng: rng.standard_cauchy(5000),
    "atom": lambda rng: np.where(rng.random(5000) < 0.4, -1.0, rng.exponential(size=5000)),
    "few": lambda rng: rng.integers(0, 5, 5000) * 1.1,
}


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(1, 40), elements=FLOATS), arrays(np.float32, 9, elements=FLOATS))
def test_what_was_seen_comes_back_and_nothing_beyond_it(seen: np.ndarray, others: np.ndarray) -> None:
    found = Quantiles.fit(seen)
    values = torch.from_numpy(seen)
    back = found.decode(found.encode(values))
    assert torch.allclose(back, values.double(), rtol=1e-5, atol=1e-5 * float(np.ptp(seen)))
    among = found.decode(torch.cat([found.encode(torch.from_numpy(others)), torch.linspace(-9, 9, 50)]))
    assert among.min() >= seen.min()
    assert among.max() <= seen.max()
    assert (found.encode(values.sort().values).diff() >= -1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_becomes_the_distribution_that_was_seen(kind: str) -> None:
    seen = KINDS[kind](np.random.default_rng(0)).astype(np.float32)
    made = Quantiles.fit(seen).decode(torch.randn(5000, generator=torch.Generator().manual_seed(0))).numpy()
    grid = np.unique(np.quantile(seen, np.linspace(0, 1, 50)))
    shares = [np.searchsorted(np.sort(part), grid, "right") / len(part) for part in (seen, made.astype(np.float32))]
    assert np.abs(shares[0] - shares[1]).max() < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_jittered_numbers_are_normal_and_decode_to_the_same(kind: str) -> None:
    seen = torch.from_numpy(KINDS[kind](np.random.default_rng(1)).astype(np.float32))
    found = Quantiles.fit(seen.numpy())
    torch.manual_seed(0)
    jittered = found.jitter(found.encode(seen))
    assert torch.allclose(found.decode(jittered), found.decode(found.encode(seen)), atol=1e-9)
    expected = torch.special.ndtr(jittered.sort().values)
    assert (expected - (torch.arange(5000) + 0.5) / 5000).abs().max() < 0.03


def test_what_is_there_often_comes_back_to_the_bit_and_as_often() -> None:
    seen = np.array([0.1] * 30 + [0.7] * 10 + list(np.linspace(0.2, 0.6, 60)), np.float32)
    made = Quantiles.fit(seen).decode(torch.special.ndtri((torch.arange(10_000) + 0.5) / 10_000)).float()
    assert (made == seen[0]).float().mean() == pytest.approx(0.3, abs=0.01)
    assert (made == seen[30]).float().mean() == pytest.approx(0.1, abs=0.01)


def test_the_ends_of_millions_of_numbers_are_their_least_and_most() -> None:
    seen = np.random.default_rng(0).normal(size=2_000_000).astype(np.float32)
    found = Quantiles.fit(seen)
    assert found.normal[-2] == found.normal[-1]  # five standard deviations are nearer than the last of so many
    for one in (found, Quantiles.from_json(found.to_json())):
        made = one.decode(torch.tensor([-6.0, -5.0, 5.0, 6.0]))
        assert made.tolist() == [seen.min()] * 2 + [seen.max()] * 2


def test_it_stays_small_and_survives_a_card() -> None:
    rng = np.random.default_rng(0)
    seen = np.concatenate([rng.standard_cauchy(50_000), rng.integers(0, 300, 50_000)]).astype(np.float32)
    found = Quantiles.fit(seen)
    text = json.dumps(found.to_json())
    assert len(text) < 20_000
    again, values = Quantiles.from_json(json.loads(text)), torch.from_numpy(seen)
    assert torch.equal(again.encode(values), found.encode(values))
