"""Steps that an interrupt (Ctrl-C) doesn't cut in half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def whole() -> Iterator[None]:
    """An interrupt waits until this is done, and then is one; a second doesn't wait. Where signals aren't Python's to
    handle, as in another thread, nothing is changed.

    >>> with whole():
    ...     signal.getsignal(signal.SIGINT) is signal.default_int_handler
    False
    """
    before = signal.getsignal(signal.SIGINT)
    pressed: list[bool] = []

    def wait(*_: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
