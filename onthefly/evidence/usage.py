"""Usage: what this process, and the workers that it has begun meanwhile, take of processor and memory."""

from collections.abc import Callable
from contextlib import suppress
from multiprocessing import active_children
from time import perf_counter, process_time
from typing import Any

import torch

from onthefly.extras import require

_EVERY = 0.02  # seconds between two looks at the memory: one costs some microseconds


class Usage:
    """Counts from when it is made; workers that were there before are somebody else's.

    On the CPU memory is what this process has resident, at its highest, and what each worker has for itself alone; on
    CUDA what was allocated on the device, at its highest.

    Args:
        device: whose memory counts.
    """

    def __init__(self, device: torch.device) -> None:
        self._psutil, self._device = require("psutil", extra="report"), device
        self._this = self._psutil.Process()
        self._others = {child.pid for child in active_children()}
        self._peak, self._looked, self._cpu = 0, 0.0, 0.0

    def begin(self) -> None:
        """Forget what was used up to now."""
        self._peak, self._looked, self._cpu = 0, 0.0, self._cpu_seconds()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def look(self) -> None:
        """See whether more memory is taken than ever; to be called often."""
        if perf_counter() - self._looked > _EVERY:
            self._peak = max(self._peak, self._this.memory_info().rss)
            self._looked = perf_counter()

    @property
    def cpu_seconds(self) -> float:
        """Of all threads and workers, since the beginning."""
        return self._cpu_seconds() - self._cpu

    @property
    def peak_bytes(self) -> int:
        """Of memory, since the beginning."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return self._peak + int(self._of_workers(self._own_bytes))

    def _cpu_seconds(self) -> float:
        return process_time() + self._of_workers(lambda worker: sum(worker.cpu_times()[:2]))  # user, system

    def _own_bytes(self, worker: Any) -> float:
        try:
            return float(worker.memory_full_info().uss)
        except self._psutil.AccessDenied:  # macOS tells it to root alone
            return float(worker.memory_info().rss)

    def _of_workers(self, asked: Callable[[Any], float]) -> float:
        """The sum over those that have begun since; one may end while it is asked."""
        total = 0.0
        for child in active_children():
            if child.pid not in self._others:
                with suppress(self._psutil.NoSuchProcess):
                    total += asked(self._psutil.Process(child.pid))
        return total


def memory_in_words(device: torch.device) -> str:
    """What ``Usage.peak_bytes`` counts."""
    if device.type == "cuda":
        return "highest allocated on the device (torch.cuda.max_memory_allocated)"
    return "highest resident set of this process, shared by all contenders, and what each one's workers have alone"
