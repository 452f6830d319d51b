"""Waves: a row for each class, the waveforms and spectrograms of real clips beside those of synthetic ones; and wav
files, for people to listen to."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from onthefly.extras import require
from onthefly.generators.base import FrozenGenerator

_MOST = 20  # classes on a sheet
_WIDTH, _HEIGHT = 12.0, 1.1  # inches, of a sheet and of a row
_PAUSE = 0.2  # of a clip's length, between two that are shown or heard one after the other
_WINDOW = 0.032  # seconds that a column of a spectrogram looks at
_LOUDNESS = 70.0  # decibels between black and the loudest
_USUAL = 8000  # values a second, to choose a window by where nobody knows them
_Kinds = dict[str, list[Tensor]]  # the clips of a class, real and synthetic
_COLOURS = {"real": "0.35", "synthetic": "tab:blue"}


def wave_sheet(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    real: Sequence[Sequence[Tensor]] = (),
    each: int = 3,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw what a generator of sounds makes to a PNG file, and write it to wav files in a folder of the same name.

    Args:
        generator: of waveforms ``float32[C, T]`` in [-1, 1], the first channel of which is shown.
        path: of the PNG file; ``digits.png`` has its sounds in ``digits/0_zero.wav``, ..., a file for each class, its
            clips one after the other. There are none where the generator doesn't tell its rate.
        real: some real clips of each class, before the synthetic ones; as many as these are shown.
        each: synthetic clips of each class.
        device: where the generator is.

    Returns:
        The path.

    Raises:
        ImportError: without matplotlib (extra "report") or soundfile (extra "audio").
    """
    path = Path(path)
    rows = min(generator.classes.count, _MOST)
    made = torch.from_numpy(generator.makes)[:rows].nonzero()[:, 0].tolist()
    labels = torch.tensor(made, device=device).repeat_interleave(each)
    drawn = generator.sample(labels, torch.arange(len(labels), device=device)).cpu()
    fakes = dict(zip(made, drawn[:, 0].unflatten(0, (len(made), each)), strict=True))
    clips = [
        {"real": [clip[0].cpu() for clip in some[:each]], "synthetic": list(fakes.get(number, ()))}
        for number, some in enumerate([*real[:rows], *[()] * (rows - len(real))])
    ]
    names = [generator.classes.name(number) for number in range(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    _draw(clips, names, generator.spec.field.rate, path)
    if generator.spec.field.rate is not None:
        _write(clips, names, generator.spec.field.rate, path.with_suffix(""))
    return path


def spectrogram(wave: Tensor, rate: int) -> Tensor:
    """The loudness of a wave ``[..., T]`` by frequency and time: ``[..., K, F]`` in decibels below its loudest.

    Row 0 is 0 Hz and the last row half the rate; a column looks at 32 milliseconds, and the next begins 8 later.

    >>> hum = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 8000)
    >>> loud = spectrogram(hum, rate=8000)
    >>> loud.shape, loud[:, 50].argmax() * 8000 / 256
    (torch.Size([129, 126]), tensor(1000.))
    """
    size = 2 * max(2, round(_WINDOW * rate / 2))
    window = torch.hann_window(size, device=wave.device)
    seen = torch.stft(wave, size, size // 4, window=window, pad_mode="constant", return_complex=True).abs()
    decibels: Tensor = 20 * seen.clamp(min=1e-7).log10()
    return (decibels - decibels.amax((-2, -1), keepdim=True)).clamp(min=-_LOUDNESS)


def _draw(clips: list[_Kinds], names: list[str], rate: int | None, path: Path) -> None:
    """Two plots, with a row for each class and its clips one after the other."""
    figure = require("matplotlib.figure", extra="report").Figure((_WIDTH, _HEIGHT * len(names) + 0.8), dpi=90)
    left, right = figure.subplots(1, 2, sharey=True)
    length = max(len(clip) for kinds in clips for some in kinds.values() for clip in some)
    step, unit = math.ceil((1 + _PAUSE) * length), rate or 1
    for row, kinds in enumerate(clips):
        for column, (kind, clip) in enumerate((kind, clip) for kind, some in kinds.items() for clip in some):
            begin, end = column * step / unit, (column * step + len(clip)) / unit
            times = torch.linspace(begin, end, len(clip))
            left.plot(times.numpy(), row - clip.numpy() / 2, color=_COLOURS[kind], linewidth=0.4)
            place = (begin, end, row + 0.45, row - 0.45)
            loud = spectrogram(clip, rate or _USUAL).flip(0).numpy()  # the first row of a picture is its highest
            right.imshow(loud, extent=place, vmin=-_LOUDNESS, vmax=0, aspect="auto", interpolation="nearest")
    left.set_yticks(range(len(names)), [name[:14] for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_title("waveforms: real grey, synthetic blue")
    right.set_title("spectrograms, likewise; a row goes from 0 Hz to half the rate")
    right.autoscale(axis="x")
    for axis in (left, right):
        axis.set_xlabel("seconds" if rate else "values")
    figure.tight_layout()
    figure.savefig(path)


def _write(clips: list[_Kinds], names: list[str], rate: int, folder: Path) -> None:
    soundfile = require("soundfile", extra="audio")
    folder.mkdir(exist_ok=True)
    for number, (kinds, name) in enumerate(zip(clips, names, strict=True)):
        pauses = [torch.nn.functional.pad(clip, (0, round(_PAUSE * len(clip)))) for clip in kinds["synthetic"]]
        if pauses:
            plain = re.sub(r"[^\w.-]+", "_", name)[:40]
            soundfile.write(folder / f"{number}_{plain}.wav", torch.cat(pauses).numpy(), rate)
