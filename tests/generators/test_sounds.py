"""Codings of sound: what comes back, from what, and whatever else is in the batch."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onthefly.data.spec import Field
from onthefly.generators import load, save, train
from onthefly.generators.coding import Coding
from onthefly.generators.log_mel import LogMel, bands_of
from onthefly.generators.stft import Stft

RATE = 8000


def voices(count: int = 6, length: int = 4000) -> Tensor:
    """Harmonic sounds with gliding pitch that swell, fade, and end in silence: ``float32[count, 1, length]``."""
    drawn = torch.rand(count, 2, 1, generator=torch.Generator().manual_seed(0))
    time = torch.arange(length) / RATE
    phase = 2 * math.pi * (100 + 80 * drawn[:, 0]) * time * (1 + drawn[:, 1] * time)
    sound = torch.stack([(number * phase).sin() / number for number in range(1, 12)]).sum(dim=0)
    return (0.3 * sound * (math.pi * time / 0.4).sin().clamp(min=0) * (time < 0.4))[:, None]


def field(length: int = 4000, rate: int | None = RATE, channels: int = 1) -> Field:
    return Field((channels, length), "float32", (-1.0, 1.0), rate)


class Sounds(Dataset[tuple[Tensor, int]]):
    rate = RATE
    targets = (0, 1) * 6

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return voices(12, 1000)[index], index % 2


class Echoes(Sounds):
    """A sound and itself, softer."""

    def __getitem__(self, index: int) -> Any:
        sound, label = super().__getitem__(index)
        return sound, sound / 2, label


def test_log_mel_sounds_alike_and_is_standardised() -> None:
    coding = LogMel.fit(field(), list(voices()), None)
    encoded = coding.encode(voices())
    assert encoded.shape == (6, 1, 64, 40)
    assert encoded.mean().abs() < 1e-3
    assert encoded.std() == pytest.approx(1, abs=0.02)
    decoded = coding.decode(encoded)
    assert decoded.shape == voices().shape
    assert decoded.abs().max() <= 1
    before, after = (one[:, 0] * coding.scale + coding.mean for one in (encoded, coding.encode(decoded)))
    loud = before > before.amax((1, 2), keepdim=True) - math.log(10)  # down to a tenth of the loudest
    assert (after - before)[loud].abs().mean() < 0.15
    assert decoded[..., 3700:].abs().max() < 2e-3  # silence
    assert coding.decode(coding.encode(torch.zeros(1, 1, 4000))).abs().max() < 1e-4


def test_stft_gives_back_the_very_same_sound() -> None:
    coding = Stft.fit(field(), list(voices()), None)
    encoded = coding.encode(voices())
    assert encoded.square().mean() == pytest.approx(1, abs=1e-2)
    assert torch.allclose(coding.decode(encoded), voices(), atol=1e-5)


@pytest.mark.parametrize("kind", [LogMel, Stft])
@pytest.mark.parametrize(
    ("length", "rate"), [(1, 8000), (127, 8000), (6000, 16000), (2001, 22050), (5001, 44100), (300, 500)]
)
def test_any_length_and_rate(kind: type[Coding], length: int, rate: int) -> None:
    noise = torch.rand(3, 1, length) - 0.5
    coding = kind.fit(field(length, rate), list(noise), None)
    again = kind.from_json(coding.field, coding.to_json())
    decoded = again.decode(coding.encode(noise))
    assert decoded.shape == noise.shape
    assert decoded.dtype == torch.float32
    assert decoded.isfinite().all()
    assert coding.encode(noise).shape[1:] == coding.shape
    if kind is LogMel:
        assert all(side % 8 == 0 for side in coding.shape[1:])


@pytest.mark.parametrize("kind", [LogMel, Stft])
def test_a_sound_depends_on_nothing_else_and_little_on_last_bits(kind: type[Coding]) -> None:
    coding = kind.fit(field(), list(voices()), None)
    noise = torch.randn(3, *coding.shape, generator=torch.Generator().manual_seed(1))
    encoded = torch.cat([coding.encode(voices(30)), noise])
    together = coding.decode(encoded)
    for row in (0, 7, 29, 32):
        assert torch.allclose(coding.decode(encoded[row : row + 1])[0], together[row], atol=1e-6)
    shaken = encoded + 2e-7 * torch.randn(encoded.shape, generator=torch.Generator().manual_seed(0))
    assert (coding.decode(shaken) - together).abs().max() < 1e-5


@pytest.mark.parametrize("kind", [LogMel, Stft])
def test_what_is_no_sound_to_code_is_refused(kind: type[Coding], refused: Callable[..., Any]) -> None:
    refused(lambda: kind.fit(field(rate=None), list(voices()), None), kind.kind, "rate", "dataset.rate = 8000")
    refused(lambda: kind.fit(field(channels=2), [], None), kind.kind, "one channel", "float32[2, 4000]", "mix")
    refused(lambda: kind.fit(field(rate=100), list(voices()), None), kind.kind, "500 Hz")
    coding = kind.fit(field(), list(voices()), None)
    refused(lambda: coding.encode(voices(length=3999)), "float32[1, 4000]", "[1, 3999]", "cut or pad")
    refused(lambda: coding.encode(voices().repeat(1, 2, 1)), "[2, 4000]", "mix channels")
    too_few = {name: values[:-1] for name, values in coding.to_json().items()}
    refused(lambda: kind.from_json(coding.field, too_few), kind.kind, "train again")


def test_bands_are_no_finer_than_what_can_be_told_apart() -> None:
    for rate in range(500, 48001, 2500):
        bands = bands_of(rate)
        coding = LogMel(field(rate=rate), [0.0] * bands, [1.0] * bands)
        assert (coding._bands.sum(dim=1) > 0).all()


@pytest.mark.parametrize(("family", "how"), [("vae", {}), ("gan", {}), ("diffusion", {"steps": 1})])
def test_a_generator_of_log_mel_is_its_checkpoint_and_its_keys(family: str, how: dict[str, int]) -> None:
    trained = train(family, Sounds(), coding="log_mel", steps=2, config={"width": 8}, batch_size=4, progress=False)
    made, again = (load(save(trained, "voices.safetensors"), **how) for _ in range(2))
    keys, labels = torch.arange(9), torch.arange(9) % 2
    together = made.sample(labels, keys)
    assert together.shape == (9, 1, 1000)
    assert together.abs().max() <= 1
    for row in (0, 8):
        assert torch.allclose(made.sample(labels[row : row + 1], keys[row : row + 1])[0], together[row], atol=1e-5)
    assert torch.equal(again.sample(labels, keys), together)


def test_diffusion_makes_sounds_from_sounds_through_stft() -> None:
    config = {"paired": True, "width": 8}
    trained = train("diffusion", Echoes(), labels=0, coding="stft", steps=2, config=config, progress=False)
    made = load(save(trained, "echoes.safetensors"), steps=2)
    sources, zeros, keys = voices(12, 1000), torch.zeros(12, dtype=torch.int64), torch.arange(12)
    together = made.sample(zeros, keys, sources)
    alone = made.sample(zeros[:1], keys[5:6], sources[5:6])
    assert torch.allclose(alone[0], together[5], atol=1e-5)
    assert not torch.allclose(made.sample(zeros, keys, sources.flip(0)), together, atol=1e-3)
