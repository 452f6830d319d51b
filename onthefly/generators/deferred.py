"""Checks of values on a device, which may wait until the batch is handed out: to read them at once would keep the
process, and with it the device, waiting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

Check = Callable[[list[float]], None]


class Checks:
    """Checks that wait for values to arrive from their device."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Check]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, values: Tensor, check: Check) -> None:
        """Check values once ``run`` is called, by when they have to have arrived."""
        arriving = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._waiting.append((arriving.copy_(values, non_blocking=True), check))

    def run(self) -> None:
        """Check what has arrived; the work that the values came from has to be over."""
        waiting, self._waiting = self._waiting, []
        for values, check in waiting:
            check(values.tolist())


_CHECKS: ContextVar[Checks | None] = ContextVar("_CHECKS", default=None)


@contextmanager
def deferred() -> Iterator[Checks]:
    """Checks of values on a CUDA device within it wait until they are run."""
    checks = Checks()
    token = _CHECKS.set(checks)
    try:
        yield checks
    finally:
        _CHECKS.reset(token)


@contextmanager
def at_once() -> Iterator[None]:
    """Checks within it are made at once, wherever it stands."""
    token = _CHECKS.set(None)
    try:
        yield
    finally:
        _CHECKS.reset(token)


def expect(values: Tensor, check: Check) -> None:
    """Check a few values: at once, or later where that is what is going on.

    Args:
        values: of any dtype, ``[n]``.
        check: gets them as numbers; raises if they are wrong.
    """
    checks = _CHECKS.get()
    if checks is None or values.device.type != "cuda":
        check(values.tolist())
    else:
        checks.add(values, check)
