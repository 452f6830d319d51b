"""How near a sound is to the one that it should be, in decibels: more is better."""

from torch import Tensor

_LEAST = 1e-12  # power that is taken for silence


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
    Hershey, ICASSP 2019).

    >>> import torch
    >>> wave = torch.sin(torch.arange(100.0))[None]
    >>> bool(si_sdr(wave, 0.5 * wave) > 100)
    True
    """
    signal, whole = clean.flatten(1), found.flatten(1)
    scale = (signal * whole).sum(dim=1, keepdim=True) / _power(signal)[:, None]
    return snr(scale * signal, whole)


def _power(wave: Tensor) -> Tensor:
    return wave.square().sum(dim=1).clamp(min=_LEAST)
