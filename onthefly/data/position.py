"""The place in training: which epoch is delivered, how much of it was, and where the next pass begins."""

import warnings
from operator import index


class Position:
    """An epoch, and how many of its batches have been handed out.

    A pass that has handed out a batch is over once another begins, and then the next epoch begins; unless ``go_to`` or
    ``resume`` say where to go on.

    Attributes:
        epoch: the one that is being delivered, or will be next.
        step: batches of it handed out.
        loaded: whether a state has been loaded and nothing happened since.
        over: whether the last batch of the epoch is known to have been handed out.

    >>> position = Position()
    >>> position.handed_out(0, 3)
    >>> position.next_pass()
    (1, 0)
    """

    epoch: int = 0
    step: int = 0
    loaded: bool = False
    over: bool = False
    _asked: tuple[int, int] | None = None
    _under_way: bool = False

    def go_to(self, epoch: int) -> None:
        """The next pass delivers this epoch: from its start, or from where a loaded state had come to in it."""
        epoch = index(epoch)
        if epoch < 0:
            raise ValueError(f"set_epoch: expected an epoch from 0, found {epoch}")
        if epoch < self.epoch:
            warnings.warn(
                f"set_epoch: expected an epoch from {self.epoch} on, which training has come to, found {epoch}: it "
                "will be delivered again, as it was; to train anew, wrap the loader again",
                stacklevel=3,
            )
        self._asked = epoch, self.step if epoch == self.epoch and not self._under_way else 0
        self.loaded = False

    def resume(self, epoch: int, step: int) -> None:
        """The next pass goes on after so many batches of an epoch."""
        self.aim(epoch, step)
        self._asked, self.loaded = (epoch, step), True

    @property
    def asked(self) -> bool:
        """Whether a place was named at which no pass has begun yet."""
        return self._asked is not None

    @property
    def untouched(self) -> int:
        """The first epoch of which nothing has been handed out."""
        epoch, step = self.next_pass()
        return epoch + (step > 0)

    def next_pass(self) -> tuple[int, int]:
        """Where a pass that begins now begins: ``(epoch, step)``."""
        if self._asked is not None:
            return self._asked
        return (self.epoch + 1, 0) if self._under_way else (self.epoch, self.step)

    def end(self, epoch: int, step: int) -> bool:
        """The pass that came to this place has nothing more; returns whether it was to go on there and had nothing at
        all, so that the epoch was over before, and the next one is what it should deliver."""
        here = (self.epoch, self.step) == (epoch, step)
        nothing = here and step > 0 and not self._under_way
        self.over = self.over or (here and self._under_way)
        self._asked = (epoch + 1, 0) if nothing else self._asked
        return nothing

    def aim(self, epoch: int, step: int) -> None:
        """Stand at the beginning of a pass."""
        self.epoch, self.step = epoch, step
        self._asked, self._under_way, self.over = None, False, False

    def handed_out(self, epoch: int, step: int) -> None:
        """Stand after a batch that has been handed out, the last before ``step``."""
        self.epoch, self.step, self._under_way, self.loaded = epoch, step, True, False

    def reached(self) -> tuple[int, int]:
        """Where training has come to: ``(epoch, step)``."""
        return self.next_pass() if self.asked else (self.epoch, self.step)
