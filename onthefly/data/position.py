"""The place in training: which epoch is delivered, how much of it was, and where the next pass begins."""


class Position:
    """An epoch, and how many of its batches have been handed out.

    A pass that has handed out a batch is over once another begins, and then the next epoch begins; unless ``set_epoch``
    names one.

    Attributes:
        epoch: the one that is being delivered, or will be next.
        step: batches of it handed out.

    >>> position = Position()
    >>> position.handed_out(0, 3)
    >>> position.next_pass()
    (1, 0)
    """

    epoch: int = 0
    step: int = 0
    _asked: int | None = None
    _under_way: bool = False

    def set_epoch(self, epoch: int) -> None:
        """The next pass delivers this epoch: from its start, or from where a loaded state had come to in it."""
        self._asked = epoch

    @property
    def asked(self) -> bool:
        """Whether ``set_epoch`` has named an epoch that no pass has begun yet."""
        return self._asked is not None

    def next_pass(self) -> tuple[int, int]:
        """Where a pass that begins now begins: ``(epoch, step)``."""
        if self._asked is not None:
            return self._asked, self.step if self._asked == self.epoch and not self._under_way else 0
        return (self.epoch + 1, 0) if self._under_way else (self.epoch, self.step)

    def aim(self, epoch: int, step: int) -> None:
        """Stand at the beginning of a pass."""
        self.epoch, self.step = epoch, step
        self._asked, self._under_way = None, False

    def handed_out(self, epoch: int, step: int) -> None:
        """Stand after a batch that has been handed out, the last before ``step``."""
        self.epoch, self.step, self._under_way = epoch, step, True

    def reached(self) -> tuple[int, int]:
        """Where training has come to: ``(epoch, step)``."""
        return self.next_pass() if self.asked else (self.epoch, self.step)
