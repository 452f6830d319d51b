"""How many samples a generator makes fastest in one forward: measured once, and remembered."""

import math
import time

import numpy as np
import torch

from onthefly.data.hermetic import hermetic
from onthefly.generators.base import FrozenGenerator

_FIRST, _MOST = 8, 1024  # samples
_GAIN = 1.05  # in throughput, below which a larger batch isn't worth its memory
_LONG = 0.25  # seconds of a forward beyond which no larger one is tried
_HOPELESS = 2.0  # seconds of a first forward that aren't explained by its being the first
_REPEATS = 3
_TRIES = 2  # sizes in a row that aren't faster, before larger ones are given up: the machine may have been busy
_BUDGET = 1.0  # seconds for all of it, where forwards are quick


def best_batch_size(generator: FrozenGenerator, device: torch.device) -> int | None:
    """How many samples a generator makes best in one forward on a device: its own ``batch_size`` if it has one.

    Else forwards of 8 samples, of 16 and so on up to 1,024 are timed, until more don't make it faster, a forward takes
    a quarter of a second, or memory runs out. That takes about a second, or two forwards where they are slow, and one
    where they are very slow. It is done once for each device, for all copies of a generator and all that is made around
    it. Global random states are untouched; a generator that minds being asked declares a ``batch_size``.

    Args:
        generator: one that is where ``FrozenGenerator.placed`` put it.
        device: where that is.

    Returns:
        At least 1; of several generators the least. None for one that makes samples of real ones, without which it
        can't be measured.

    >>> from onthefly.generators import from_module
    >>> blobs = from_module(torch.nn.Linear(4, 8), latent=4, classes=2, call=lambda net, noise, labels: net(noise))
    >>> best_batch_size(blobs.running(batch_size=32), torch.device("cpu"))
    32
    >>> best_batch_size(blobs, torch.device("cpu")) in (8, 16, 32, 64, 128, 256, 512, 1024)
    True
    """
    if generator.batch_size is not None:
        return generator.batch_size
    several = len(generator.makers) > 1
    sizes = (_size_of(one, one.where if several else device) for one in generator.makers)
    return min((size for size in sizes if size is not None), default=None)


def _size_of(generator: FrozenGenerator, device: torch.device) -> int | None:
    if generator.batch_size is not None or generator.wants_source:
        return generator.batch_size
    there = torch.empty(0, device=device).device  # "cuda" has a number too
    if there not in generator.measured:
        with torch.no_grad(), hermetic(0, there):
            generator.measured[there] = _measure(generator, there)
    return generator.measured[there]


def _measure(generator: FrozenGenerator, device: torch.device) -> int:
    best, seconds = _begin(generator, device)
    if best < _FIRST or seconds > _HOPELESS:
        return best
    size, rate, in_vain, begun = best, 0.0, 0, time.perf_counter()
    while size <= _MOST and time.perf_counter() - begun < _BUDGET / 2:  # the next one will take as long as all before
        seconds = _steady(generator, size, device)
        if size / seconds >= _GAIN * rate:
            best, rate, in_vain = size, size / seconds, 0
        else:
            in_vain += 1
        if in_vain == _TRIES or seconds > _LONG:
            break
        size *= 2
    return best


def _begin(generator: FrozenGenerator, device: torch.device) -> tuple[int, float]:
    """The size to begin with, less where memory has no room for it; and the seconds of a first forward."""
    for size in (_FIRST, 4, 2):
        try:
            return size, _forward(generator, size, device)
        except torch.OutOfMemoryError:
            continue
        except Exception:  # noqa: BLE001 - a fault is told where its sample was to be delivered
            return size, math.inf
    return 1, math.inf


def _steady(generator: FrozenGenerator, size: int, device: torch.device) -> float:
    """Seconds of a forward, the least of a few unless it is long; without end where it fails."""
    try:
        seconds = _forward(generator, size, device)
        again = 0 if seconds > _LONG else _REPEATS - 1
        return min([seconds, *(_forward(generator, size, device) for _ in range(again))])
    except Exception:  # noqa: BLE001 - memory ran out; or a fault, which is told where its sample was to be delivered
        return math.inf


def _forward(generator: FrozenGenerator, size: int, device: torch.device) -> float:
    """Seconds of making so many samples."""
    makes = torch.from_numpy(np.flatnonzero(generator.makes)).to(device)
    keys = torch.arange(size, device=device)
    labels = makes[keys % len(makes)]
    _wait(device)
    begun = time.perf_counter()
    generator.at_once(labels, keys)
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
