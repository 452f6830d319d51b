"""Keyed noise: random numbers that are a function of a sample's key, equal to the bit on every device and in every
batch.

Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in torch's integer operations,
and a table of normal quantiles: no transcendental function is computed on a device, so no two devices can round one
differently.

Time goes into passes over memory, so words stay in a core's cache, some keys at a time, and are changed where they lie.
A product of 32-bit words is kept whole: its lower half is a word as soon as the upper one is masked away, and one mask
a word and round is enough.
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
_CACHED = 1 << 15  # blocks that a thread works on at a time: torch gives no thread less than that
_LARGEST = 1 << 31  # a bound whose product with a word fits into an int64


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
    return _bits(keys, count, stream, torch.int32).long() & _WORD


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
    halves = _bits(keys, math.prod(shape), stream, torch.uint16).int().flatten()
    return _quantiles(keys.device).index_select(0, halves).reshape(len(keys), *shape)


def uniform(keys: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Uniform noise between 0 and 1, both left out, for every key.

    Values are the 2**23 odd multiples of 2**-24, which float32 holds exactly; their mean is 1/2.

    Args:
        keys: ``int64[N]``, non-negative.
        shape: of the noise of one sample.
        stream: distinct streams of one key are independent.

    Returns:
        ``float32[N, *shape]``, as reproducible as ``normal``.

    >>> uniform(torch.tensor([0, 1]), (2,))
    tensor([[0.3990, 0.8805],
            [0.8903, 0.8947]])
    """
    words = _bits(keys, math.prod(shape), stream, torch.int32)
    odd = (words >> 8).bitwise_and_(0xFF_FFFF).bitwise_or_(1)
    return odd.to(torch.float32).mul_(2.0**-24).reshape(len(keys), *shape)


def integers(keys: Tensor, shape: Sequence[int], high: int, stream: int = 0) -> Tensor:
    """Uniform whole numbers below a bound, for every key.

    A word times the bound, of which the upper half is taken (Lemire, "Fast random integer generation in an interval",
    2019) without rejection: no number is likelier than another by more than 2**-32.

    Args:
        keys: ``int64[N]``, non-negative.
        shape: of the numbers of one sample.
        high: the bound, from 1 to 2**31.
        stream: distinct streams of one key are independent.

    Returns:
        ``int64[N, *shape]`` in 0 .. high - 1, as reproducible as ``normal``.

    Raises:
        ValueError: for a bound out of range.

    >>> integers(torch.tensor([0, 1]), (4,), high=6).tolist()
    [[2, 5, 4, 3], [5, 5, 3, 4]]
    """
    if not 1 <= high <= _LARGEST:
        raise ValueError(f"integers: expected a bound high from 1 to 2**31, found {high}; a number is below its bound")
    return philox(keys, math.prod(shape), stream).mul_(high).bitwise_right_shift_(32).reshape(len(keys), *shape)


def _bits(keys: Tensor, count: int, stream: int, dtype: torch.dtype) -> Tensor:
    """The random bits of every key as ``dtype[N, count]``: words of a block in order, the lower half of each first."""
    blocks = -(-count * dtype.itemsize // 16)
    pairs = torch.empty(len(keys), blocks, 2, dtype=torch.int64, device=keys.device)
    at_once = max(1, _CACHED * torch.get_num_threads() // max(1, blocks)) if keys.device.type == "cpu" else len(keys)
    for some, written in zip(keys.split(at_once), pairs.split(at_once), strict=True):
        for pair, words in enumerate(_rounds(some, blocks, stream)):
            written[..., pair] = words
    return pairs.view(dtype).flatten(1)[:, :count]


def _rounds(keys: Tensor, blocks: int, stream: int) -> tuple[Tensor, Tensor]:
    """Words 0 and 1, and words 2 and 3, of every block: twice ``int64[N, blocks]``, the first word being the lower."""
    word0, word2, first, third, word3, word1 = _space(6, len(keys), blocks, keys.device)
    low, high = (keys & _WORD)[:, None], (keys >> 32)[:, None]
    counter = torch.arange(0, blocks * _MULTIPLIERS[0], _MULTIPLIERS[0], device=keys.device)
    word0.copy_(low ^ stream)  # the first round, of a counter of which all but one word is small
    word1.zero_()
    torch.bitwise_xor(high, counter >> 32, out=word2)
    word3.copy_(counter)
    for _ in range(1, _ROUNDS):
        low, high = low + _WEYL[0], high + _WEYL[1]
        torch.mul(word0, _MULTIPLIERS[0], out=first)
        torch.mul(word2, _MULTIPLIERS[1], out=third)
        _mix(third, word1, low, out=word0)
        _mix(first, word3, high, out=word2)
        word1, word3, first, third = third, first, word3, word1
    return word0.bitwise_or_(word1.bitwise_left_shift_(32)), word2.bitwise_or_(word3.bitwise_left_shift_(32))


def _space(buffers: int, keys: int, blocks: int, device: torch.device) -> Tensor:
    """Uninitialised ``int64[buffers, keys, blocks]``, of which the longer of the last two lies side by side."""
    if keys < blocks:
        return torch.empty(buffers, keys, blocks, dtype=torch.int64, device=device)
    return torch.empty(buffers, blocks, keys, dtype=torch.int64, device=device).mT


def _mix(product: Tensor, word: Tensor, key: Tensor, *, out: Tensor) -> None:
    """The upper half of a product, with a word and a key whose upper halves don't matter."""
    torch.bitwise_right_shift(product, 32, out=out).bitwise_xor_(word).bitwise_xor_(key).bitwise_and_(_WORD)


@lru_cache
def _quantiles(device: torch.device) -> Tensor:
    """The table, computed once and in Python, so that it is the same on every device."""
    if device.type != "cpu":
        return _quantiles(torch.device("cpu")).to(device)
    upper = [NormalDist().inv_cdf((2 * i + 1) / 131072) for i in range(32768, 65536)]
    return torch.tensor([-value for value in reversed(upper)] + upper, dtype=torch.float32)
