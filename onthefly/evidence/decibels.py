"""How near a sound is to the one that it should be, in decibels: more is better."""

from torch import Tensor

_LEAST = 1e-12  # power that is taken for silence
_LOWEST = -120.0  # decibels: what there is of one sound in another that has nothing of it


def snr(clean: Tensor, found: Tensor) -> Tensor:
    """The signal-to-noise ratio of sounds ``[N, ..., T]``, taking for noise whatever differs: ``float32[N]``.

    >>> import torch
    >>> snr(torch.ones(2, 1, 8), torch.tensor([[[0.9]], [[1.01]]]).expand(2, 1, 8))
    tensor([20.0000, 40.0000])
    """
    signal, noise = clean.flatten(1), (found - clean).flatten(1)
    ratio: Tensor = 10 * (_power(signal) / _power(noise)).log10()
    return ratio


def si_sdr(clean: Tensor, found: Tensor) -> Tensor:
    """The same whatever the volume: the scale-invariant signal-to-distortion ratio (Le Roux, Wisdom, Erdogan and
    Hershey, ICASSP 2019), from -120, for silence and what has nothing of the sound, to 120 decibels.

    >>> import torch
    >>> wave = torch.sin(torch.arange(100.0))[None]
    >>> bool(si_sdr(wave, 0.5 * wave) > 100), si_sdr(wave, 0 * wave)
    (True, tensor([-120.]))
    """
    signal, whole = _of_power_1(clean), _of_power_1(found)
    right = (signal * whole).sum(dim=1, keepdim=True) * signal
    ratio = snr(right, whole).float()
    return ratio.where(whole.any(dim=1), _LOWEST)


def _of_power_1(wave: Tensor) -> Tensor:
    """``float64[N, T]``; silence stays silent."""
    flat = wave.flatten(1).double()
    size: Tensor = flat.norm(dim=1, keepdim=True)
    return flat / size.clamp(min=1e-300)


def _power(wave: Tensor) -> Tensor:
    return wave.square().sum(dim=1).clamp(min=_LEAST)
