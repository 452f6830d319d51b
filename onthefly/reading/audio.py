"""Sounds: a folder of wav files, as clips of one rate and length."""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onthefly.extras import require
from onthefly.reading.files import find_files
from onthefly.reading.samples import Samples, numbered, plain

_WHOLE = 0.95  # share of the clips that are kept whole by default: one very long one shouldn't rule all
_EDGE = 1000  # samples that are read beyond the end of a clip, so that a filter meets no sudden silence there
_TERMS = 1000


class Clips(Samples):
    """The sound files of a folder, one subfolder a class, each padded with silence or cut at its end to one length.

    Yields ``(float32[1, T] in [-1, 1], class number)``, where T is ``rate * seconds``. With a pattern the class is in
    the name of a file, and the pattern's other fields become ``attributes``. Sounds of several channels are mixed to
    one, and those of another rate are resampled, with a warning when the folder is read. Files are read by soundfile.

    Args:
        folder: ``FOLDER/<class>/<any name>.wav``, .flac or .ogg.
        rate: samples in a second; by default the one that most files have.
        seconds: of each clip; by default as long as 95 of 100 clips are, with a warning if others are cut.
        pattern: as ``"{label}_{speaker}_{take}.wav"``.

    Attributes:
        rate: in Hz.
        frames: T, samples in a clip.
        paths: of the files.

    Raises:
        FileNotFoundError: if there is no such folder.
        ImportError: without soundfile, or without torchaudio where something is to be resampled.
        ValueError: if there is no sound in it, or one that has no class, is empty, or is broken.

    >>> import soundfile, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("high_ann_0.wav", "low_bob_0.wav"):
    ...     soundfile.write(folder / name, np.full(6000, 0.5), 8000)
    >>> clips = Clips(folder, seconds=1, pattern="{label}_{speaker}_{take}.wav")
    >>> clips[1][0].shape, clips[1][1], clips.classes, clips.attributes["speaker"]
    (torch.Size([1, 8000]), 1, ('high', 'low'), ['ann', 'bob'])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rate: int | None = None,
        seconds: float | None = None,
        pattern: str | None = None,
    ) -> None:
        _check_positive(rate, "rate", 16000)
        _check_positive(seconds, "seconds", 1.0)
        files = find_files(Path(folder), "sounds", pattern)
        attributes = {name: plain(values) for name, values in files.fields.items()}
        super().__init__(numbered(files.labels, files.classes), files.classes, attributes)
        heads = [_head(path) for path in files.paths]
        self.paths = files.paths
        self.rate = int(rate) if rate is not None else Counter(head.rate for head in heads).most_common(1)[0][0]
        self.frames = _frames(heads, self.rate, seconds)
        _warn(heads, self.rate, folder)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sound = _read(self.paths[index], self.rate, self.frames)
        return F.pad(sound, (0, self.frames - sound.shape[1])), int(self.targets[index])


class _Head(NamedTuple):
    """What a file says of itself."""

    rate: int
    channels: int
    seconds: float


def _head(path: Path) -> _Head:
    soundfile = require("soundfile", extra="audio")
    try:
        found = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"read: expected a sound, found {path}, which is broken ({error}); remove it") from error
    if not found.frames:
        raise ValueError(f"read: expected a sound, found {path}, which is empty; remove it")
    return _Head(found.samplerate, found.channels, found.frames / found.samplerate)


def _frames(heads: list[_Head], rate: int, seconds: float | None) -> int:
    lengths = [head.seconds for head in heads]
    if seconds is not None:
        return max(1, round(seconds * rate))
    most = float(np.quantile(lengths, _WHOLE, method="higher"))
    cut = sum(length > most for length in lengths)
    if cut:
        warnings.warn(
            f"read: {cut} of {len(lengths)} clips are cut to {most:.3g} seconds, as the others are no longer; write "
            f"seconds={math.ceil(100 * max(lengths)) / 100:g} to keep them whole",
            stacklevel=4,
        )
    return max(1, round(most * rate))


def _warn(heads: list[_Head], rate: int, folder: str | Path) -> None:
    """Say once what is done to the sounds that nobody asked for."""
    others = Counter(head.rate for head in heads if head.rate != rate)
    if others:
        require("torchaudio", extra="audio")
        rates = ", ".join(f"{count} at {other} Hz" for other, count in sorted(others.items()))
        warnings.warn(f"read: sounds in {folder} are resampled to {rate} Hz: {rates}", stacklevel=4)
    several = sum(head.channels > 1 for head in heads)
    if several:
        warnings.warn(f"read: {several} sounds in {folder} have several channels, which are mixed to one", stacklevel=4)


def _read(path: Path, rate: int, frames: int) -> Tensor:
    """The beginning of a file as ``float32[1, T]`` in [-1, 1], T being at most ``frames``."""
    soundfile = require("soundfile", extra="audio")
    try:
        with soundfile.SoundFile(str(path)) as file:
            found = file.samplerate
            most = frames if found == rate else math.ceil(frames * found / rate) + _EDGE
            values = file.read(most, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"read: expected a sound, found {path}, which is broken ({error}); remove it") from error
    sound = torch.from_numpy(values).mean(dim=1)[None]
    if not sound.isfinite().all():
        raise ValueError(f"read: expected finite values, found NaN or infinity in {path}; remove it")
    return (sound if found == rate else _resampler(found, rate)(sound))[:, :frames].clamp(-1, 1)


@lru_cache(maxsize=8)
def _resampler(found: int, rate: int) -> Callable[[Tensor], Tensor]:
    """``torchaudio.functional.resample``, its filter kept from file to file.

    The filter holds as many numbers as both terms of the ratio multiplied: 1 GB from 16001 to 16000 Hz. So a ratio of
    long terms is replaced by the nearest one of short terms, which is off by less than a hundredth of a semitone.
    """
    ratio = Fraction(found, rate).limit_denominator(_TERMS)
    transforms = require("torchaudio.transforms", extra="audio")
    made: Callable[[Tensor], Tensor] = transforms.Resample(ratio.numerator, ratio.denominator)
    return made


def _check_positive(value: Any, name: str, example: float) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a number above 0, found {value}; write {name}={example}")
