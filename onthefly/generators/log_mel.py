"""LogMel: sound as a small picture of its loudness by pitch and time, and sound again from such a picture.

A picture holds no phases. They are first integrated over time from how loudness changes with frequency, which for a
Gaussian window tells them exactly (Průša, Balazs and Søndergaard, IEEE/ACM TASLP 2017), begin so that frequencies don't
peak together (Schroeder, IEEE Transactions on Information Theory 1970), and are then made to agree with each other by a
few of Griffin and Lim's steps (IEEE TASSP 1984). Where neighbours cancel out, such a step takes any
small difference for a large one; damped there, the sound that comes back depends smoothly on the picture, and so not on
the last bits in which a network's results differ from batch to batch.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from onthefly.data.spec import Field
from onthefly.extras import require
from onthefly.generators.coding import Coding

_WINDOW, _HOPS = 0.048, 3  # seconds that a frame looks at; frames that look at any place
_MOST_BANDS = 64
_MULTIPLE = 8  # bands and frames come in, so that networks can halve them
_FLOOR = 3e-5  # what is added to loudness, of a full scale of 1: 90 decibels below
_STEPS, _DAMPING = 4, 0.3
_SPREAD = 0.25  # of a window: over how long Schroeder's phases spread what would be one click
_GAUSSIAN = 0.25645  # a Hann window of n values is nearest to the Gaussian exp(-pi t^2 / (0.25645 n^2))
_FLAT = 0.2  # of the loudest: what is softer has little say in the phases
_AT_ONCE = 500  # clips that are looked at together


class LogMel(Coding):
    """Sound of one channel, to the logarithm of its loudness in bands of pitch: ``float32[1, bands, frames]``, each
    band with mean 0 and standard deviation 1.

    Bands and frames are multiples of 8: up to 64 bands, and 62.5 frames a second and what rounds that up, so that a
    second at 8 kHz is 64 x 64. Frames look at 48 milliseconds. What comes back sounds alike, but its phases aren't
    those that were: it can't be compared value by value. Silence stays silent. Needs torchaudio (extra "audio").

    Args:
        field: ``float32[1, T]`` in [-1, 1], with its rate.
        mean: of each band.
        scale: standard deviation of each band.

    Raises:
        ValueError: for another field.

    >>> hum = torch.sin(2 * math.pi * 440 * torch.arange(8000) / 8000)[None, None]
    >>> coding = LogMel.fit(Field((1, 8000), "float32", (-1.0, 1.0), rate=8000), list(hum), None)
    >>> coding.encode(hum).shape, coding.decode(coding.encode(hum)).shape
    (torch.Size([1, 1, 64, 64]), torch.Size([1, 1, 8000]))
    """

    kind = "log_mel"
    bounded = False

    def __init__(self, field: Field, mean: Sequence[float], scale: Sequence[float]) -> None:
        self.field, self._rate = field, _checked_rate(field)
        self.mean, self.scale = torch.tensor(mean)[:, None], torch.tensor(scale)[:, None]
        self._hop = 2 * round(_WINDOW / _HOPS * self._rate / 2)  # even, as a window must be to have its middle
        self._size = _HOPS * self._hop
        frames = _MULTIPLE * math.ceil((1 + math.ceil(field.shape[1] / self._hop)) / _MULTIPLE)
        self.shape = (1, bands_of(self._rate), frames)
        if self.mean.shape != (self.shape[1], 1) or self.scale.shape != self.mean.shape:
            raise ValueError(
                f"log_mel: expected a mean and a scale for each of {self.shape[1]} bands, found {len(self.mean)} and "
                f"{len(self.scale)}; train again"
            )

    @classmethod
    def fit(cls, field: Field, samples: Sequence[Any], dataset: Any) -> Self:
        bands = bands_of(_checked_rate(field))
        plain = cls(field, [0.0] * bands, [1.0] * bands)
        waves = torch.stack(list(samples))
        seen = torch.cat([plain.encode(some) for some in waves.split(_AT_ONCE)])[:, 0].double()
        spread = seen.std(dim=(0, 2), correction=0)
        return cls(field, seen.mean(dim=(0, 2)).tolist(), torch.where(spread > 1e-6, spread, 1.0).tolist())

    def encode(self, samples: Tensor) -> Tensor:
        if tuple(samples.shape[1:]) != self.field.shape:
            raise ValueError(
                f"log_mel: expected sounds of {self.field}, found {list(samples.shape[1:])}; cut or pad them to "
                f"{self.field.shape[1]} values, mix channels to one"
            )
        padded = F.pad(samples[:, 0], (0, self._length - samples.shape[2]))
        loud = self._bands.float().to(samples.device) @ self._seen(padded).abs() / self._full
        return ((loud + _FLOOR).log()[:, None] - self.mean.to(samples.device)) / self.scale.to(samples.device)

    def decode(self, encoded: Tensor) -> Tensor:
        told = (encoded * self.scale.to(encoded.device) + self.mean.to(encoded.device))[:, 0].double()
        loud = (told.clamp(max=0).exp() - _FLOOR).clamp(min=0) * self._full
        wave = self._sound((self._spread.to(loud.device) @ loud).clamp(min=0))
        return wave[:, None, : self.field.shape[1]].clamp(-1, 1).to(encoded.dtype)

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean[:, 0].tolist(), "scale": self.scale[:, 0].tolist()}

    @classmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        return cls(field, data["mean"], data["scale"])

    @property
    def _length(self) -> int:
        """Of a wave that has the frames exactly."""
        return (self.shape[2] - 1) * self._hop

    @property
    def _full(self) -> float:
        """What a frame sees at most of a wave that is 1 everywhere."""
        return self._size / 2

    @cached_property
    def _bands(self) -> Tensor:
        """``float64[bands, frequencies]``: how much of each frequency a band hears."""
        audio = require("torchaudio.functional", extra="audio")
        bands = audio.melscale_fbanks(self._size // 2 + 1, 0.0, self._rate / 2, self.shape[1], self._rate)
        told: Tensor = bands.T.double()
        return told

    @cached_property
    def _spread(self) -> Tensor:
        """``float64[frequencies, bands]``: the least loudness of frequencies that gives that of bands."""
        inverse: Tensor = torch.linalg.pinv(self._bands)
        return inverse

    def _seen(self, wave: Tensor) -> Tensor:
        window = torch.hann_window(self._size, dtype=wave.dtype, device=wave.device)
        return torch.stft(wave, self._size, self._hop, window=window, pad_mode="constant", return_complex=True)

    def _heard(self, seen: Tensor) -> Tensor:
        window = torch.hann_window(self._size, dtype=seen.real.dtype, device=seen.device)
        return torch.istft(seen, self._size, self._hop, window=window, length=self._length)

    def _sound(self, loud: Tensor) -> Tensor:
        """``float64[N, frequencies, frames]`` to the wave that is about as loud there: ``float64[N, length]``."""
        seen = torch.polar(loud, self._first_phases(loud))
        for _ in range(_STEPS):
            again = self._seen(self._heard(seen))
            size = (again.abs().square() + (_DAMPING * loud).square()).sqrt().clamp(min=1e-12)
            seen = loud * again / size * math.sqrt(1 + _DAMPING**2)
        return self._heard(seen)

    def _first_phases(self, loud: Tensor) -> Tensor:
        frequency = torch.arange(loud.shape[1], device=loud.device)[:, None]
        frame = torch.arange(loud.shape[2], device=loud.device)
        steady = 2 * math.pi * (frequency * self._hop * frame % self._size) / self._size
        spread = math.pi * _SPREAD * frequency.square() / loud.shape[1]
        told = (loud + _FLAT * loud.amax((1, 2), keepdim=True) + 1e-12).log()
        slope = F.pad((told[:, 2:] - told[:, :-2]) / 2, (0, 0, 1, 1)) * self._hop / (_GAUSSIAN * self._size)
        return steady + spread + F.pad((slope[..., 1:] + slope[..., :-1]) / 2, (1, 0)).cumsum(2)


def bands_of(rate: int) -> int:
    """How many bands there are at a rate: no finer than the frequencies that a frame tells apart.

    >>> bands_of(8000), bands_of(16000), bands_of(1000)
    (64, 64, 16)
    """
    finest = _pitch(1 / _WINDOW)
    return min(_MOST_BANDS, int(_pitch(rate / 2) / finest) // _MULTIPLE * _MULTIPLE)


def _pitch(frequency: float) -> float:
    """In mel, as O'Shaughnessy has it."""
    return 2595 * math.log10(1 + frequency / 700)


def _checked_rate(field: Field) -> int:
    if len(field.shape) != 2 or field.shape[0] != 1:
        raise ValueError(
            f"log_mel: expected sound of one channel, float32[1, T], found {field}; mix the channels to one, or leave "
            "coding= out"
        )
    if field.rate is None:
        raise ValueError(
            f"log_mel: expected sound whose rate is known, found {field}; give your dataset an attribute rate, as "
            "dataset.rate = 8000"
        )
    if bands_of(field.rate) < _MULTIPLE:
        raise ValueError(f"log_mel: expected a rate of 500 Hz or more, found {field}; leave coding= out")
    return field.rate
