"""The side stream: the next batch is made ready beside the step that uses this one."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from onthefly.data.nested import parts
from onthefly.generators.deferred import Checks, at_once, deferred

T = TypeVar("T")


class SideStream:
    """A CUDA stream of a loader's own, one for its lifetime; on any other device work is done when it is started.

    Work waits for what the consumer's stream had to do when it was started, so that memory which was handed out and
    freed isn't written to while it is still read; and whoever takes the result has its stream wait for the work.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: Any = None

    def start(self, work: Callable[[], T], again: Callable[[], T]) -> "Started[T]":
        """Begin with something; what it raises is raised where its result is taken.

        Args:
            work: what there is to do, whose checks may wait for their values.
            again: the same, done anew with every check at once, where one of these fails.
        """
        if self.device.type != "cuda":
            return Started(*_outcome(work))
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream), deferred() as checks:
            result, error = _outcome(work)
        return Started(result, error, Arrival(self.device, self._stream.record_event(), checks), again)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stream": None}  # a copy of the loader has a stream of its own


class Started(Generic[T]):
    """Work that was begun."""

    def __init__(
        self,
        result: T | None,
        error: Exception | None,
        arrival: "Arrival | None" = None,
        again: Callable[[], T] | None = None,
    ) -> None:
        self._result, self._error, self._arrival, self._again = result, error, arrival, again

    def take(self) -> T:
        """The result, for the stream that is current now; or what went wrong, raised."""
        if self._error is not None:
            raise self._error
        if self._arrival is not None and self._again is not None:
            self._arrival.hand_over(self._result)
            try:
                self._arrival.check()
            except Exception:  # noqa: BLE001  whose fault it is shows when it is done alone
                with at_once():
                    return self._again()
        return self._result  # type: ignore[return-value]


class Arrival:
    """The end of work on a CUDA device.

    Args:
        device: that one.
        event: recorded behind the work.
        checks: of what the work made.
    """

    def __init__(self, device: torch.device, event: Any, checks: Checks) -> None:
        self._device, self._event, self._checks = device, event, checks

    def hand_over(self, result: Any) -> None:
        """Have the stream that is current now wait for the work, and note that it uses the result."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(self._event)
        for part in parts(result):
            if isinstance(part, Tensor) and part.device == self._device:
                part.record_stream(stream)

    def check(self) -> None:
        """Run the checks, once the work is over."""
        if self._checks:
            self._event.synchronize()
            self._checks.run()


def _outcome(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001  raised again by take()
        return None, error
