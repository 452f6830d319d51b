"""Usage: what this process, and the workers that it has begun meanwhile, take of processor and memory."""

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
        return self._peak + sum(int(worker.memory_full_info().uss) for worker in self._workers())

    def _cpu_seconds(self) -> float:
        times = [worker.cpu_times() for worker in self._workers()]
        return process_time() + sum(float(one.user + one.system) for one in times)

    def _workers(self) -> list[Any]:
        pids = {child.pid for child in active_children()} - self._others
        return [self._psutil.Process(pid) for pid in pids]


def memory_in_words(device: torch.device) -> str:
    """What ``Usage.peak_bytes`` counts."""
    if device.type == "cuda":
        return "highest allocated on the device (torch.cuda.max_memory_allocated)"
    return "highest resident set of this process, and what its workers have for themselves"
