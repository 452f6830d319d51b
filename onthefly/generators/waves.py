"""Waves: sounds to look at, as waveforms and spectrograms, and to listen to, as wav files."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from onthefly.extras import require
from onthefly.generators.base import FrozenGenerator

_MOST = 20  # classes on a sheet
_WIDTH, _HEIGHT = 12.0, 1.1  # inches, of a sheet and of a row
_PAUSE = 0.2  # of a clip's length, between two that are shown or heard one after the other
_WINDOW = 0.032  # seconds that a column of a spectrogram looks at
_LOUDNESS = 70.0  # decibels between black and the loudest
_USUAL = 8000  # values a second, to choose a window by where nobody knows them
_COLOURS = ("0.35", "tab:blue", "tab:orange", "tab:green")

Rows = Mapping[str, Mapping[str, Sequence[Tensor]]]


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
        path: of the PNG file, with a row for each class, real clips before synthetic ones; ``digits.png`` has its
            sounds in ``digits/zero.synthetic.wav``, ... There are none where the generator doesn't tell its rate.
        real: some real clips of each class; ``each`` of these are shown.
        each: synthetic clips of each class.
        device: where the generator is.

    Returns:
        The path.

    Raises:
        ImportError: without matplotlib (extra "report") or soundfile (extra "audio").
    """
    path, rate = Path(path), generator.spec.field.rate
    count = min(generator.classes.count, _MOST)
    made = torch.from_numpy(generator.makes)[:count].nonzero()[:, 0].tolist()
    labels = torch.tensor(made, device=device).repeat_interleave(each)
    drawn = generator.sample(labels, torch.arange(len(labels), device=device)).cpu()
    fakes = dict(zip(made, drawn.unflatten(0, (len(made), each)), strict=True))
    rows = {
        generator.classes.name(number): {
            "real": [clip.cpu() for clip in real[number][:each]] if number < len(real) else [],
            "synthetic": list(fakes.get(number, ())),
        }
        for number in range(count)
    }
    draw_waves(rows, path, rate=rate)
    if rate is not None:
        write_waves(rows, path.with_suffix(""), rate=rate)
    return path


def draw_waves(rows: Rows, path: str | Path, *, rate: int | None = None) -> Path:
    """Draw sounds to a PNG file: their waveforms on the left, their spectrograms on the right.

    Args:
        rows: by name; each holds sounds ``float32[C, T]`` in [-1, 1] by kind, which are drawn one after the other, each
            kind in its colour. The first channel is shown.
        path: of the file.
        rate: values a second; None if it isn't known.

    Returns:
        The path.

    Raises:
        ImportError: without matplotlib (extra "report").

    >>> import tempfile
    >>> hum, folder = torch.sin(torch.arange(4000) / 3)[None], Path(tempfile.mkdtemp())
    >>> draw_waves({"low": {"whole": [hum], "half": [hum / 2]}}, folder / "hum.png", rate=8000).name
    'hum.png'
    """
    path, unit = Path(path), rate or 1
    figure = require("matplotlib.figure", extra="report").Figure((_WIDTH, _HEIGHT * len(rows) + 0.8), dpi=90)
    left, right = figure.subplots(1, 2, sharey=True)
    kinds = list(dict.fromkeys(kind for some in rows.values() for kind in some))
    laid = {name: [(kind, clip[0]) for kind, clips in some.items() for clip in clips] for name, some in rows.items()}
    step = math.ceil((1 + _PAUSE) * max(len(clip) for some in laid.values() for _, clip in some))
    for row, some in enumerate(laid.values()):
        for column, (kind, clip) in enumerate(some):
            begin, end = column * step / unit, (column * step + len(clip)) / unit
            times = torch.linspace(begin, end, len(clip)).numpy()
            colour = _COLOURS[kinds.index(kind) % len(_COLOURS)]
            left.plot(times, row - clip.numpy() / 2, color=colour, linewidth=0.4)
            loud = spectrogram(clip, rate or _USUAL).flip(0).numpy()  # the first row of a picture is its highest
            place = (begin, end, row + 0.45, row - 0.45)
            right.imshow(loud, extent=place, vmin=-_LOUDNESS, vmax=0, aspect="auto", interpolation="nearest")
    left.set_yticks(range(len(rows)), [name[:20] for name in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_title(", then ".join(kinds))
    right.set_title("a row goes from 0 Hz to half the rate")
    right.autoscale(axis="x")
    for axis in (left, right):
        axis.set_xlabel("seconds" if rate else "values")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def write_waves(rows: Rows, folder: str | Path, *, rate: int) -> list[Path]:
    """Write sounds to wav files of 16 bits, one for each row and kind, its sounds one after the other.

    Args:
        rows: as for ``draw_waves``.
        folder: where to; made if it isn't there.
        rate: values a second.

    Returns:
        The files: ``<row>.<kind>.wav``, letters that file names may not have being ``_``; where rows or kinds then have
        the same name, the second is ``<row>.<kind>.2.wav``, and so on. What was there before is overwritten.

    Raises:
        ImportError: without soundfile (extra "audio").
    """
    soundfile = require("soundfile", extra="audio")
    folder, files = Path(folder), list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in rows.items():
        for kind, clips in some.items():
            if clips:
                path = folder / _unlike(files, re.sub(r"[^\w.+-]+", "_", f"{name}.{kind}"))
                laid = torch.cat([F.pad(clip, (0, round(_PAUSE * clip.shape[1]))) for clip in clips], dim=1)
                soundfile.write(path, laid.clamp(-1, 1).T.numpy(), rate, subtype="PCM_16")
                files.append(path)
    return files


def _unlike(files: Sequence[Path], stem: str) -> str:
    """The name of a wav file that no other one has, whatever the case of its letters, which some systems don't see."""
    taken = {file.name.casefold() for file in files}
    names = (f"{stem}{'' if number == 1 else f'.{number}'}.wav" for number in itertools.count(1))
    return next(name for name in names if name.casefold() not in taken)


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
