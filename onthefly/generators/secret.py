"""Secret random numbers: functions of one number that only the owner of the data knows.

Noise that others can draw again hides nothing. torch's generators are no match for that: on a CPU a seed has 32 bits
that count. So bits come from SHAKE-256 (FIPS 202), and their number from the operating system.
"""

import hashlib
import math
import secrets

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BITS = 256


def new_secret() -> int:
    """A number that nobody can foresee."""
    return secrets.randbits(_BITS)


def words(secret: int, *purpose: int | str, count: int) -> NDArray[np.uint64]:
    """Uniform ``uint64[count]``; others for every purpose.

    >>> words(7, "rows", 0, count=2)
    array([6344716656324308497, 3033903349794344955], dtype=uint64)
    """
    name = repr((secret, *purpose)).encode()
    return np.frombuffer(hashlib.shake_256(name).digest(8 * count), "<u8").astype(np.uint64)


def normal(secret: int, *purpose: int | str, shape: torch.Size) -> Tensor:
    """Standard normal ``float64[shape]`` on the CPU, by Box and Muller's transform of 53 bits.

    >>> normal(7, "noise", 0, shape=torch.Size([2]))
    tensor([-0.3553, -1.2628], dtype=torch.float64)
    """
    count = math.prod(shape)
    pairs = (count + 1) // 2
    bits = torch.from_numpy((words(secret, *purpose, count=2 * pairs) >> np.uint64(11)).astype(np.float64))
    one, other = bits.view(2, pairs) / 2**53
    length, angle = (-2 * (1 - one).log()).sqrt(), 2 * math.pi * other  # 1 - one is never 0
    return torch.cat([length * angle.cos(), length * angle.sin()])[:count].view(shape)
