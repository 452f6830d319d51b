"""Sounds with noise added."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from onthefly.data.labels import labels_of
from onthefly.evidence import si_sdr, snr
from onthefly.reading import Noisy

NOISES = ("white", "coloured", "babble")


def tones(length: int = 2000) -> Any:
    time = torch.arange(length) / 8000
    waves = torch.stack([(2 * math.pi * pitch * time).sin() * (time < 0.15) for pitch in (200, 300, 450, 700)])
    made: Any = TensorDataset(0.4 * waves[:, None], torch.tensor([0, 1, 1, 0]))
    made.rate, made.targets, made.classes = 8000, [0, 1, 1, 0], ("high", "low")
    return made


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("ratio", [-5.0, 20.0])
def test_noise_is_as_loud_as_was_asked_for(noise: str, ratio: float) -> None:
    for noisy, clean, _ in Noisy(tones(), snr=(ratio, ratio), noises=[noise], seed=3):
        assert snr(clean[None], noisy[None]).item() == pytest.approx(ratio, abs=0.01)
        assert max(noisy.abs().max(), clean.abs().max()) == pytest.approx(1)
        assert clean.shape == noisy.shape == (1, 2000)


def test_a_clip_stays_what_it_was_but_for_its_volume() -> None:
    for (_, clean, label), (tone, expected) in zip(Noisy(tones(), seed=0), tones(), strict=True):
        assert label == expected
        assert si_sdr(tone[None], clean[None]) > 60


def test_with_a_seed_always_the_same_without_one_another_each_time() -> None:
    fixed, free = Noisy(tones(), seed=1), Noisy(tones())
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert _equal(fixed[2], fixed[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert not _equal(fixed[2], Noisy(tones(), seed=2)[2])
    first = free[2]
    assert not _equal(first, free[2])
    torch.manual_seed(7)
    assert _equal(first, free[2])


def test_rows_and_what_is_known_of_them() -> None:
    some = Noisy(tones(), rows=[3, 1], seed=0)
    assert (len(some), some.rate, some.targets) == (2, 8000, [0, 1])
    assert [label for _, _, label in some] == [0, 1]
    assert labels_of(some).classes.names == ("high", "low")


def test_coloured_noise_is_deeper_than_white() -> None:
    def high(noise: str) -> float:
        drawn = torch.stack([one - two for one, two, _ in Noisy(tones(), snr=(0, 0), noises=[noise], seed=5)])
        power = torch.fft.rfft(drawn).abs().square().mean(dim=(0, 1))
        return float(power[500:].sum() / power.sum())

    assert high("white") == pytest.approx(0.5, abs=0.05)
    assert high("coloured") < 0.45


def test_nothing_is_beyond_full_scale_where_noise_softens_a_peak() -> None:
    clicks = TensorDataset(torch.eye(500)[:, None], torch.zeros(500, dtype=torch.int64))
    pairs = list(Noisy(clicks, rows=range(16), snr=(5, 15), noises=["white"], seed=0))
    peaks = torch.tensor([[noisy.abs().max(), clean.abs().max()] for noisy, clean, _ in pairs])
    assert torch.equal(peaks.amax(dim=1), torch.ones(16))
    assert set(peaks.argmax(dim=1).tolist()) == {0, 1}


def test_silence_gets_noise_too() -> None:
    noisy, clean, _ = Noisy(TensorDataset(torch.zeros(2, 1, 500), torch.zeros(2, dtype=torch.int64)), seed=0)[1]
    assert noisy.isfinite().all()
    assert clean.abs().max() == 0


def test_what_there_is_not_is_refused(refused: Callable[..., Any]) -> None:
    refused(lambda: Noisy(tones(), noises=["pink"]), "noises", "white", "pink")
    refused(lambda: Noisy(tones(), noises=[]), "noises", "none")
    refused(lambda: Noisy(tones(), snr=(0, math.nan)), "snr", "decibels", "nan")
    refused(lambda: Noisy(tones(), snr=()), "snr", "decibels")
    refused(lambda: Noisy(tones(), rows=[]), "clips", "none")


def _equal(one: tuple[Tensor, Tensor, int], other: tuple[Tensor, Tensor, int]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
