"""Keyed noise: random numbers that are a function of a sample's key, equal to the bit on every device and in every
batch.

Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in torch's integer operations,
and a table of normal quantiles: no transcendental function is computed on a device, so no two devices can round one
differently.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import torch
from torch import Tensor

_WORD = 0xFFFF_FFFF
_ROUNDS = 10
_MULTIPLIERS = (0xD251_1F53, 0xCD9E_8D57)
_WEYL = (0x9E37_79B9, 0xBB67_AE85)


def philox(keys: Tensor, count: int, stream: int = 0) -> Tensor:
    """Random 32-bit words for every key.

    Args:
        keys: ``int64[N]``, non-negative.
        count: words for each.
        stream: distinct streams of one key are independent.

    Returns:
        ``int64[N, count]``, each uniform in 0 .. 2**32 - 1.

    >>> [f"{word:08x}" for word in philox(torch.tensor([0]), 4)[0].tolist()]  # as the reference implementation
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    blocks = -(-count // 4)
    counter = torch.arange(blocks, device=keys.device)
    zeros = torch.zeros_like(counter)
    words = [part.expand(len(keys), blocks) for part in (counter, zeros + stream, zeros, zeros)]
    low, high = (keys & _WORD)[:, None], (keys >> 32)[:, None]
    for _ in range(_ROUNDS):
        first, third = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
        words = [_upper(third) ^ words[1] ^ low, third & _WORD, _upper(first) ^ words[3] ^ high, first & _WORD]
        low, high = (low + _WEYL[0]) & _WORD, (high + _WEYL[1]) & _WORD
    return torch.stack(words, dim=-1).flatten(1)[:, :count]


def normal(keys: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Standard normal noise for every key.

    Values are the 65,536 quantiles of the normal distribution at (i + 1/2) / 65,536, from -4.32 to 4.32.

    Args:
        keys: ``int64[N]``, non-negative.
        shape: of the noise of one sample.
        stream: distinct streams of one key are independent.

    Returns:
        ``float32[N, *shape]``; equal keys give equal noise, whatever stands beside them and wherever it is computed.

    >>> alone, among = normal(torch.tensor([5]), (3,)), normal(torch.tensor([4, 5]), (3,))
    >>> torch.equal(alone[0], among[1])
    True
    """
    count = math.prod(shape)
    words = philox(keys, -(-count // 2), stream)
    halves = torch.stack([words & 0xFFFF, words >> 16], dim=-1).flatten(1)[:, :count]
    return _quantiles(keys.device)[halves].reshape(len(keys), *shape)


def _upper(product: Tensor) -> Tensor:
    """The upper 32 bits of a 64-bit product, of which int64 holds the right bits with the wrong sign."""
    return (product >> 32) & _WORD


@lru_cache
def _quantiles(device: torch.device) -> Tensor:
    """The table, computed once and in Python, so that it is the same on every device."""
    if device.type != "cpu":
        return _quantiles(torch.device("cpu")).to(device)
    upper = [NormalDist().inv_cdf((2 * i + 1) / 131072) for i in range(32768, 65536)]
    return torch.tensor([-value for value in reversed(upper)] + upper, dtype=torch.float32)
