"""Hermetic randomness: other people's code may draw from the global generators, which must not show it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def hermetic(key: int, *devices: torch.device) -> Iterator[None]:
    """Seed the global generators (Python's, numpy's, torch's on the CPU and on ``devices``) by a key, then restore all
    of them.

    >>> before = torch.random.get_rng_state()
    >>> with hermetic(7):
    ...     first = torch.rand(2)
    >>> with hermetic(7):
    ...     again = torch.rand(2)
    >>> torch.equal(first, again), torch.equal(before, torch.random.get_rng_state())
    (True, True)
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    there = {device for device in devices if device.type == "cuda"}
    with torch.random.fork_rng(there):
        try:
            random.seed(key)
            np.random.seed(key & 0xFFFF_FFFF)
            torch.default_generator.manual_seed(key)  # torch.manual_seed would reach every CUDA device
            for one in there:
                with torch.cuda.device(one):
                    torch.cuda.manual_seed(key)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
