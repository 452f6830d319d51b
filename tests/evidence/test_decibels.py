"""Decibels: the same whatever the volume, and lowest for silence."""

import pytest
import torch
from torch import Tensor

from onthefly.evidence import si_sdr


def sounds() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    clean = torch.sin(torch.arange(800) / 3).expand(3, 1, 800)
    return clean, clean + torch.tensor([0.01, 0.1, 1.0])[:, None, None] * torch.randn(3, 1, 800, generator=draw)


@pytest.mark.parametrize("volume", [1e-30, 1e-12, 1e-6, 1e3, -1.0])
def test_the_volume_of_neither_sound_matters(volume: float) -> None:
    clean, found = sounds()
    expected = si_sdr(clean, found)
    assert torch.allclose(expected, torch.tensor([37.0, 17.0, -3.0]), atol=0.5)
    assert torch.allclose(si_sdr(clean, volume * found), expected, atol=1e-3)
    assert torch.allclose(si_sdr(volume * clean, found), expected, atol=1e-3)


def test_silence_is_worst_and_the_sound_itself_best() -> None:
    clean, found = sounds()
    silent = torch.zeros_like(clean)
    assert si_sdr(clean, silent).tolist() == si_sdr(silent, found).tolist() == si_sdr(silent, silent).tolist()
    assert si_sdr(clean, silent).tolist() == [-120] * 3
    assert si_sdr(clean, clean).tolist() == [120] * 3
    assert si_sdr(clean, torch.full_like(clean, torch.nan)).isnan().all()
