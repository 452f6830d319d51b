"""Checks of values on a device, which may wait until the batch is handed out: to read them at once would keep the
process, and with it the device, waiting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

Check = Callable[[list[float]], None]

_DEVICE = "cuda"  # whose values take their time to arrive


class Checks:
    """Checks that wait for values to arrive from their device, where the work that these come from goes on.

    Attributes:
        passed: whether all have been run, and none failed.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Check]] = []
        self._others: list[Checks] = []
        self.passed = False

    def __bool__(self) -> bool:
        return bool(self._waiting) or any(self._others)

    def add(self, values: Tensor, check: Check) -> None:
        """Check values once ``run`` is called, by when they have to have arrived."""
        arriving = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._waiting.append((arriving.copy_(values, non_blocking=True), check))

    def include(self, others: "Checks") -> None:
        """Run these too, which were made for something that is used again."""
        self._others.append(others)

    def run(self) -> None:
        """Check what has arrived. What fails once fails whenever it is run."""
        for other in self._others:
            other.run()
        for values, check in () if self.passed else self._waiting:
            check(values.tolist())
        self.passed = True


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


def waiting() -> Checks | None:
    """The checks that wait here; None where they are made at once."""
    return _CHECKS.get()


def expect(values: Tensor, check: Check) -> None:
    """Check a few values: at once, or later where that is what is going on.

    Args:
        values: of any dtype, ``[n]``.
        check: gets them as numbers; raises if they are wrong.
    """
    checks = waiting()
    if checks is None or values.device.type != _DEVICE:
        check(values.tolist())
    else:
        checks.add(values, check)
