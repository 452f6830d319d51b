"""Noisy: sounds with noise added, as pairs from which its removal is learnt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from onthefly.data.hermetic import hermetic
from onthefly.mixing.keys import hash64

_VOICES = 5  # that babble is made of
_SOFTEST = 1e-4  # loudness that a clip is taken to have at least: noise is added to silence, too


class Noisy(Dataset[tuple[Tensor, Tensor, int]]):
    """Sounds with noise added at some signal-to-noise ratio.

    Yields ``(noisy, clean, class number)``, both ``float32[1, T]`` in [-1, 1], scaled alike so that the louder one just
    reaches 1 or -1: pairs as ``train("diffusion", ..., config={"paired": True})`` takes them.

    Args:
        clips: map-style; yields ``(float32[1, T], class number)``, as ``Clips`` does.
        rows: which of them; all if None.
        snr: in decibels: ``(least, most)``, anything between them, or one of several, if there are not two.
        noises: names of noises, each as often: "white"; "coloured", whose power falls with frequency by up to 6
            decibels an octave; "babble", five other clips at once.
        seed: each sample has the same noise whenever it is asked for, a function of the seed and its place; None for
            other noise every time, drawn by torch's global generator.

    Attributes:
        rate: the clips', in Hz, if they have one.
        targets: their class numbers, if they have them.
        classes: the names of all classes, if they have them.

    Raises:
        ValueError: for noises or ratios that there are not, or no clips.

    >>> from torch.utils.data import TensorDataset
    >>> tones = TensorDataset(torch.sin(torch.arange(800) / 3).repeat(4, 1, 1), torch.arange(4))
    >>> noisy, clean, label = Noisy(tones, snr=(10, 10), noises=["white"], seed=0)[3]
    >>> power = clean.square().mean() / (noisy - clean).square().mean()
    >>> noisy.shape, round(float(10 * power.log10()), 3), noisy.abs().max()
    (torch.Size([1, 800]), 10.0, tensor(1.))
    """

    def __init__(
        self,
        clips: Any,
        *,
        rows: Sequence[int] | None = None,
        snr: Sequence[float] = (-5.0, 15.0),
        noises: Sequence[str] = ("white", "coloured", "babble"),
        seed: int | None = None,
    ) -> None:
        self.clips, self.rows = clips, list(range(len(clips)) if rows is None else rows)
        self.snr, self.noises, self.seed = tuple(map(float, snr)), tuple(noises), seed
        self._check()
        if hasattr(clips, "rate"):
            self.rate = clips.rate
        if hasattr(clips, "classes"):
            self.classes = clips.classes
        if hasattr(clips, "targets"):
            self.targets = [int(clips.targets[row]) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if self.seed is None:
            return self._pair(index)
        with hermetic(int(hash64(self.seed, index) >> 1)):
            return self._pair(index)

    def _pair(self, index: int) -> tuple[Tensor, Tensor, int]:
        clean, label = self.clips[self.rows[index]]
        noise = _NOISES[self.noises[_below(len(self.noises))]](self, clean)
        softer = _loudness(clean) / _loudness(noise) * 10 ** (-self._ratio() / 20)
        noisy = clean + softer * noise
        peak = torch.maximum(noisy.abs().max(), clean.abs().max()).clamp(min=_SOFTEST)  # noise may soften a peak
        return noisy / peak, clean / peak, int(label)

    def _ratio(self) -> float:
        if len(self.snr) != 2:
            return self.snr[_below(len(self.snr))]
        low, high = self.snr
        return low + (high - low) * float(torch.rand(()))

    def _white(self, clean: Tensor) -> Tensor:
        return torch.randn_like(clean)

    def _coloured(self, clean: Tensor) -> Tensor:
        """Power that falls as a power of frequency, up to the second."""
        seen = torch.fft.rfft(torch.randn_like(clean))
        places = torch.arange(seen.shape[-1]).clamp(min=1)
        coloured: Tensor = torch.fft.irfft(seen * places ** (-float(torch.rand(()))), clean.shape[-1])
        return coloured

    def _babble(self, clean: Tensor) -> Tensor:
        voices = [self.clips[self.rows[_below(len(self.rows))]][0] for _ in range(_VOICES)]
        return torch.stack([_around(voice / _loudness(voice)) for voice in voices]).sum(dim=0)

    def _check(self) -> None:
        unknown = sorted(set(self.noises) - _NOISES.keys())
        if unknown or not self.noises:
            raise ValueError(f"noises: expected some of {', '.join(_NOISES)}, found {', '.join(unknown) or 'none'}")
        if not self.snr or not all(abs(ratio) <= 100 for ratio in self.snr):
            raise ValueError(f"snr: expected decibels from -100 to 100, found {self.snr}; write snr=(-5, 15)")
        if not self.rows:
            raise ValueError("noisy: expected clips, found none; leave rows= out for all of them")


def _around(voice: Tensor) -> Tensor:
    """Said again and again from anywhere on, without the silence that it was padded with."""
    heard = int((voice != 0).nonzero()[:, -1].max()) + 1 if voice.any() else voice.shape[-1]
    times = -(-voice.shape[-1] // heard)
    return voice[:, :heard].repeat(1, times)[:, : voice.shape[-1]].roll(_below(voice.shape[-1]), dims=-1)


def _loudness(wave: Tensor) -> Tensor:
    """The root of the mean square."""
    return wave.square().mean().sqrt().clamp(min=_SOFTEST)


def _below(count: int) -> int:
    return int(torch.randint(count, ()))


_NOISES: Mapping[str, Callable[[Noisy, Tensor], Tensor]] = {
    "white": Noisy._white,
    "coloured": Noisy._coloured,
    "babble": Noisy._babble,
}
