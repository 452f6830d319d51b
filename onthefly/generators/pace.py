"""Pace: how long making samples takes, on the device that makes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any

import torch


class Pace:
    """The seconds that each forward of a generator takes, from one ``restart`` to the next. Before the first one
    nothing is noted.

    Args:
        device: the one that makes samples. On CUDA it keeps the time itself, and nobody waits for it until it is asked.

    >>> pace = Pace(torch.device("cpu"))
    >>> pace.restart()
    >>> with pace.making(64):
    ...     samples = torch.rand(64, 3, 8, 8)
    >>> pace.forwards, pace.seconds() > 0
    (1, True)
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._is_asked = device, False
        self._made: list[tuple[int, Any]] = []

    @property
    def forwards(self) -> int:
        """How many there have been."""
        return len(self._made)

    @property
    def is_beside(self) -> bool:
        """Whether making samples goes on beside other work, rather than between it."""
        return self._device.type == "cuda"

    @contextmanager
    def making(self, count: int) -> Iterator[None]:
        """Note how long it takes to make so many samples; nothing, if that fails."""
        if not self._is_asked:
            yield
            return
        begin = self._now()
        yield
        self._made.append((count, (begin, self._now())))

    def restart(self) -> None:
        """Forget what has been noted, and note what follows."""
        self._made, self._is_asked = [], True

    def seconds(self, since: int = 0, until: int | None = None) -> float:
        """Of all forwards from one number to another."""
        return sum(_seconds(*times) for _, times in self._made[since:until])

    def seconds_each(self) -> float:
        """Of a sample, in the median of the forwards: the first ones prepare more than they make."""
        return median(_seconds(*times) / count for count, times in self._made)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_made": []}  # a device's own times can't be copied

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def _seconds(begin: Any, end: Any) -> float:
    if isinstance(end, float):
        return float(end - begin)
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000
