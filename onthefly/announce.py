"""Where an iteration stands, told to frameworks that ask. Those that aren't in use are not imported for it."""

import sys
from collections.abc import Callable
from typing import Any


class Announcement:
    """One pass over a loader, as Accelerate's ``GradientState`` knows the loaders that are being iterated.

    Accelerate ends an accumulation of gradients early at the last batch of a pass, and cuts off what it added to that
    batch when it gathers results. It knows both from its own loaders; others have to say so themselves. The pass that
    handed out a batch last is the one that counts, and one that is dropped before its end is forgotten with this.

    Attributes:
        end_of_dataloader: whether the batch handed out is the last one.
        remainder: rows of the last batch to keep of those gathered; 0 for all, since none is added to even it out.
    """

    end_of_dataloader: bool = False
    remainder: int = 0
    _announced: bool = False

    def handed_out(self, is_last: Callable[[], bool]) -> None:
        """A batch has been handed out; whether it is the last one is asked only for somebody who wants to know."""
        self.over()
        for state in _accelerate():
            self.end_of_dataloader = is_last()
            state._add_dataloader(self)
            self._announced = True

    def over(self) -> None:
        """The pass is over."""
        if self._announced:
            for state in _accelerate():
                state._remove_dataloader(self)
        self._announced = False


def _accelerate() -> list[Any]:
    """Accelerate's ``GradientState``, where an ``Accelerator`` is in use."""
    module = sys.modules.get("accelerate.state")
    return [module.GradientState()] if module is not None and module.is_initialized() else []
