"""Threads on the CPU: the main process leaves the workers a core each while it makes a batch ready."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def beside_workers(workers: int) -> Iterator[None]:
    """Use only as many threads as there are cores without a worker, one at least, and no more than were allowed.

    Threads beyond the cores do worse than nothing: those that are done wait for the others by spinning, and the others
    wait for a core that a worker has.

    >>> before = torch.get_num_threads()
    >>> with beside_workers(1000):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    allowed = torch.get_num_threads()
    ours = min(allowed, max(1, len(_cores()) - workers)) if workers else allowed
    if ours == allowed:
        yield
        return
    torch.set_num_threads(ours)
    try:
        yield
    finally:
        torch.set_num_threads(allowed)


def _cores() -> set[int]:
    """Those that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
