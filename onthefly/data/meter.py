"""What was delivered, counted where it is handed out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.classes import Classes
from onthefly.mixing.plan import Slots


@dataclass(frozen=True)
class Stats:
    """What a loader has delivered since it was made. Printed, it is a table.

    Attributes:
        classes: the classes; a single one called "all" where no plan tells them apart.
        real: ``int64[C]``, real samples of each class.
        synthetic: ``int64[C]``, synthetic samples of each class.
        batches: how many.
    """

    classes: Classes
    real: NDArray[np.int64]
    synthetic: NDArray[np.int64]
    batches: int

    def __str__(self) -> str:
        names = [self.classes.name(number) for number in range(self.classes.count)]
        rows = list(zip(names, self.real, self.synthetic, strict=True))
        rows += [("all", self.real.sum(), self.synthetic.sum())] if len(rows) > 1 else []
        width = max(5, *map(len, names))
        table = "\n".join(
            f"{name:<{width}} {real:>9} {synthetic:>9}"
            for name, real, synthetic in [("class", "real", "synthetic"), *rows]
        )
        return f"{table}  in {self.batches} batches"


class Meter:
    """Counts the batches that it is shown.

    Args:
        classes: of the plan; None if there is none.
    """

    def __init__(self, classes: Classes | None) -> None:
        self.classes = Classes.of(("all",)) if classes is None else classes
        self.batches = 0
        self.real, self.synthetic = np.zeros((2, self.classes.count), np.int64)

    def count(self, slots: Slots) -> None:
        """Count a planned batch."""
        self.batches += 1
        self.real += np.bincount(slots.label[~slots.synthetic], minlength=self.classes.count)
        self.synthetic += np.bincount(slots.label[slots.synthetic], minlength=self.classes.count)

    def count_unplanned(self, size: int) -> None:
        """Count a batch of which only the size is known."""
        self.batches += 1
        self.real += size

    def stats(self) -> Stats:
        """The counts up to now."""
        return Stats(self.classes, self.real.copy(), self.synthetic.copy(), self.batches)
