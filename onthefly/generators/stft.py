"""Stft: sound as what its frames are made of, phases and all, and the very same sound again."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from onthefly.data.spec import Field
from onthefly.generators.coding import Coding

_WINDOW = 0.032  # seconds that a frame looks at
_POWER = 0.5  # of loudness, that is kept: what is soft is heard, too
_AT_ONCE = 500  # clips that are looked at together


class Stft(Coding):
    """Sound of one channel, to its short-time Fourier transform, compressed: ``float32[2, K, frames]``, the real
    and the imaginary parts of K frequencies, each with standard deviation 1.

    Frames look at 32 milliseconds, every 16; half of their loudness in decibels is kept, with their phases (Richter et
    al., "Speech enhancement and dereverberation with diffusion-based generative models", IEEE/ACM TASLP 2023). What
    comes back is the same sound within rounding, so that it can be compared value by value, as by its signal-to-noise
    ratio.

    Args:
        field: ``float32[1, T]`` in [-1, 1], with its rate.
        scale: standard deviation of each frequency's real and imaginary parts.

    Raises:
        ValueError: for another field.

    >>> hum = torch.sin(440 * torch.arange(8000) * 6.2832 / 8000)[None, None]
    >>> coding = Stft.fit(Field((1, 8000), "float32", (-1.0, 1.0), rate=8000), list(hum), None)
    >>> coding.encode(hum).shape, (coding.decode(coding.encode(hum)) - hum).abs().max() < 1e-5
    (torch.Size([1, 2, 128, 64]), tensor(True))
    """

    kind = "stft"
    bounded = False

    def __init__(self, field: Field, scale: Sequence[float]) -> None:
        if len(field.shape) != 2 or field.shape[0] != 1 or not field.rate or field.rate < 500:
            raise ValueError(
                f"stft: expected sound of one channel, float32[1, T], whose rate is known and 500 Hz or more, found "
                f"{field}; mix the channels to one, and give your dataset an attribute rate, as dataset.rate = 8000"
            )
        self.field = field
        half = round(_WINDOW * field.rate / 2) - 1
        self._size, self._hop = 2 * half, half  # frames overlap by half, with one frequency more than half a size
        self.shape = (2, half + 1, 2 + (field.shape[1] - 1) // half)
        self.scale = torch.tensor(scale)
        if self.scale.shape != (half + 1,):
            raise ValueError(
                f"stft: expected a scale for each of {half + 1} frequencies, found {len(self.scale)}; train again"
            )

    @classmethod
    def fit(cls, field: Field, samples: Sequence[Any], dataset: Any) -> Self:
        count = round(_WINDOW * (field.rate or 0) / 2)
        plain = cls(field, [1.0] * count)
        waves = torch.stack(list(samples))
        seen = torch.cat([plain.encode(some) for some in waves.split(_AT_ONCE)]).double()
        spread = seen.square().mean(dim=(0, 1, 3)).sqrt()
        return cls(field, torch.where(spread > 1e-6, spread, 1.0).tolist())

    def encode(self, samples: Tensor) -> Tensor:
        if tuple(samples.shape[1:]) != self.field.shape:
            raise ValueError(
                f"stft: expected sounds of {self.field}, found {list(samples.shape[1:])}; cut or pad them to "
                f"{self.field.shape[1]} values, mix channels to one"
            )
        padded = F.pad(samples[:, 0], (0, self._length - samples.shape[2]))
        seen = torch.stft(
            padded, self._size, self._hop, window=self._window(samples), pad_mode="constant", return_complex=True
        )
        soft = seen * seen.abs().clamp(min=1e-12).pow(_POWER - 1) / self.scale.to(samples.device)[:, None]
        return torch.stack([soft.real, soft.imag], dim=1)

    def decode(self, encoded: Tensor) -> Tensor:
        soft = torch.complex(encoded[:, 0], encoded[:, 1]) * self.scale.to(encoded.device)[:, None]
        seen = soft * soft.abs().pow(1 / _POWER - 1)
        wave = torch.istft(seen, self._size, self._hop, window=self._window(encoded), length=self._length)
        return wave[:, None, : self.field.shape[1]].clamp(-1, 1)

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        return cls(field, data["scale"])

    @property
    def _length(self) -> int:
        """Of a wave that has the frames exactly."""
        return (self.shape[2] - 1) * self._hop

    def _window(self, like: Tensor) -> Tensor:
        return torch.hann_window(self._size, device=like.device)
