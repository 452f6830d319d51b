"""Sounds: one rate, one length, one channel; and what is said of those that weren't so."""

import io
import pickle
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from onthefly.reading import check_classes, read, split
from onthefly.reading.audio import _resampler


def tone(path: str, seconds: float = 1.0, rate: int = 8000, channels: int = 1, hertz: float = 440.0) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)


@pytest.fixture
def tones() -> str:
    for number in range(2):
        tone(f"tones/high/{number}.wav", hertz=880.0)
        tone(f"tones/low/{number}.wav", hertz=220.0)
    return "tones"


def test_clips_are_padded_and_cut_at_the_end(tones: str) -> None:
    whole, longer, shorter = (read(tones, seconds=seconds)[0][0] for seconds in (1, 1.5, 0.25))
    assert [tuple(clip.shape) for clip in (whole, longer, shorter)] == [(1, 8000), (1, 12000), (1, 2000)]
    assert whole.dtype == torch.float32
    assert whole.abs().max() == pytest.approx(0.5, abs=1e-3)
    assert torch.equal(longer[:, :8000], whole)
    assert not longer[:, 8000:].any()
    assert torch.equal(shorter, whole[:, :2000])


def test_by_default_a_single_long_clip_is_cut_and_said() -> None:
    for number in range(40):
        tone(f"tones/a/{number}.wav", 0.1)
    tone("tones/a/long.wav", 3.0015)
    with pytest.warns(UserWarning, match=r"1 of 41 clips are cut to 0\.1 seconds.*seconds=3\.01 to keep"):
        assert read("tones").frames == 800


def test_another_rate_is_resampled_and_said(tones: str) -> None:
    tone("tones/low/2.wav", rate=11025, hertz=220.0)
    with pytest.warns(UserWarning, match="resampled to 8000 Hz: 1 at 11025 Hz"):
        found = read(tones)
    assert found.rate == 8000
    assert found.frames == 8000
    before, after = found[3][0], found[4][0]
    assert (before - after)[:, 100:-100].abs().max() < 0.01


def test_a_rate_of_long_terms_costs_no_more(tones: str) -> None:
    tone("tones/low/2.wav", rate=8001, hertz=220.0)
    with pytest.warns(UserWarning, match="1 at 8001 Hz"):
        found = read(tones, seconds=1)
    assert (found[3][0] - found[4][0]).abs().max() < 0.1
    assert _resampler(44101, 16000).kernel.numel() < 1e7  # type: ignore[attr-defined]


def test_a_clip_is_the_beginning_of_what_the_whole_file_is_resampled_to(tones: str) -> None:
    with pytest.warns(UserWarning, match="resampled to 5000 Hz"):
        whole, beginning = (read(tones, rate=5000, seconds=seconds)[0][0] for seconds in (1, 0.3))
    assert beginning.shape == (1, 1500)
    assert torch.equal(beginning, whole[:, :1500])


def test_the_rate_asked_for_is_that_of_all(tones: str) -> None:
    with pytest.warns(UserWarning, match="resampled to 4000 Hz: 4 at 8000 Hz"):
        found = read(tones, rate=4000, seconds=0.5)
    spectrum = torch.fft.rfft(found[0][0][0]).abs()
    assert found[0][0].shape == (1, 2000)
    assert spectrum.argmax() * 4000 / 2000 == 880


def test_stereo_is_mixed_and_said() -> None:
    Path("both").mkdir()
    soundfile.write("both/a_1.wav", np.stack([np.full(100, 0.5), np.full(100, -0.25)], 1), 8000)
    with pytest.warns(UserWarning, match="1 sounds in both have several channels, which are mixed to one"):
        found = read("both", pattern="{label}_{take}.wav")
    assert found[0][0] == pytest.approx(torch.full((1, 100), 0.125), abs=1e-4)


def test_values_beyond_one_are_clamped_and_nan_is_refused(refused: Callable[..., Any]) -> None:
    Path("loud").mkdir()
    soundfile.write("loud/a_1.wav", np.array([3.0, -2.0, 0.5]), 8000, subtype="FLOAT")
    soundfile.write("loud/b_1.wav", np.array([np.nan, 0.0, 0.5]), 8000, subtype="FLOAT")
    found = read("loud", pattern="{label}_{take}.wav")
    assert found[0][0].tolist() == [[1.0, -1.0, 0.5]]
    refused(lambda: found[1], "expected finite values", "loud/b_1.wav", "remove it")


def test_empty_and_broken_files_are_named(tones: str, refused: Callable[..., Any]) -> None:
    tone("tones/low/1.wav", seconds=0)
    refused(lambda: read(tones), "tones/low/1.wav", "which is empty", "remove it")
    for data in (b"", b"RIFF no wav at all"):
        Path("tones/low/1.wav").write_bytes(data)
        refused(lambda: read(tones), "tones/low/1.wav", "which is broken", "remove it")


@pytest.mark.parametrize("options", [{"rate": 0}, {"seconds": -1.0}, {"seconds": float("inf")}])
def test_lengths_and_rates_are_above_0(tones: str, options: Any, refused: Callable[..., Any]) -> None:
    name, value = next(iter(options.items()))
    refused(lambda: read(tones, **options), f"{name}: expected a number above 0, found {value}", f"write {name}=")


def test_options_of_something_else_are_refused(tones: str, refused: Callable[..., Any]) -> None:
    refused(lambda: read(tones, size=32, grey=True), "options of a folder of sounds", "rate, seconds, pattern", "size=")
    assert len(read(tones, size=None)) == 4


@pytest.fixture
def digits(real_data: Path) -> str:
    """The first 120 files of the Free Spoken Digit Dataset, flat as they come."""
    Path("recordings").mkdir()
    with tarfile.open(real_data / "fsdd" / "fsdd.tar.xz") as archive:
        wavs = (member for member in archive if member.name.endswith(".wav"))
        for _, member in zip(range(120), wavs, strict=False):
            file = archive.extractfile(member)
            Path("recordings", Path(member.name).name).write_bytes(file.read() if file else b"")
    return "recordings"


def test_spoken_digits_tell_their_speakers(digits: str) -> None:
    found = read(digits, pattern="{label}_{speaker}_{take}.wav", seconds=0.5)
    names = [path.stem.split("_") for path in found.paths]
    assert [found.classes[label] for label in found.targets] == [digit for digit, _, _ in names]
    assert found.attributes["speaker"] == [speaker for _, speaker, _ in names]
    assert found.attributes["take"] == [int(take) for _, _, take in names]
    clip, label = pickle.loads(pickle.dumps(found))[7]
    assert clip.shape == (1, 4000)
    assert 0.01 < clip.abs().max() <= 1
    assert found.classes[label] == names[7][0]
    training, held_out = split(found, 0.25)
    assert len(training.attributes["speaker"]) == len(training) > 2 * len(held_out) > 0
    assert training.rate == 8000


def test_an_archive_and_a_flat_folder_are_refused(real_data: Path, digits: str, refused: Callable[..., Any]) -> None:
    archive = real_data / "fsdd" / "fsdd.tar.xz"
    refused(lambda: read(archive), "found the archive", f"unpack it first: tar -xf {archive}")
    refused(lambda: read(archive.parent), "found fsdd.tar.xz", "unpack it first: tar -xf fsdd.tar.xz")
    refused(lambda: read(digits), "found 120 files without a class", "pattern='{label}_{take}.wav'")
    refused(lambda: check_classes(read(".", seconds=1)), "found one, 'recordings'", "pattern=")


def test_without_soundfile_it_says_what_to_install(
    tones: str, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., Any]
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    refused(lambda: read(tones), "soundfile", 'pip install "onthefly-torch[audio]"', error=ImportError)


def test_flac_is_read_as_well() -> None:
    Path("flac/a").mkdir(parents=True)
    file = io.BytesIO()
    soundfile.write(file, np.full(50, 0.25), 8000, format="FLAC")
    Path("flac/a/1.flac").write_bytes(file.getvalue())
    assert read("flac")[0][0] == pytest.approx(torch.full((1, 50), 0.25), abs=1e-4)
