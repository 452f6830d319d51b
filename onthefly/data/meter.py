"""What was delivered, counted where it is handed out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.classes import Classes
from onthefly.mixing.slots import Slots

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Stats:
    """What a loader has delivered since it was made. Printed, it is a table.

    Attributes:
        classes: the classes; a single one called "all" where no plan tells them apart.
        real: ``int64[C]``, real samples of each class.
        synthetic: ``int64[C]``, synthetic samples of each class.
        fresh: ``int64[C]``, those of them that were made for their slot; the others were remembered.
        refilled: ``int64[C]``, real samples that fill a slot whose synthetic one went wrong.
        batches: how many.
        checkpoints: the SHA-256 of every file that a generator was loaded from, by its path.
    """

    classes: Classes
    real: NDArray[np.int64]
    synthetic: NDArray[np.int64]
    fresh: NDArray[np.int64]
    refilled: NDArray[np.int64]
    batches: int
    checkpoints: Mapping[str, str] = field(default_factory=dict)

    @property
    def reused(self) -> NDArray[np.int64]:
        """Synthetic samples of each class that had been made for an earlier slot: ``int64[C]``."""
        return self.synthetic - self.fresh

    def __str__(self) -> str:
        columns = {"real": self.real, "synthetic": self.synthetic}
        columns |= {"fresh": self.fresh, "reused": self.reused} if self.reused.any() else {}
        columns |= {"refilled": self.refilled} if self.refilled.any() else {}
        names = [self.classes.name(number) for number in range(self.classes.count)]
        rows = list(zip(names, *columns.values(), strict=True))
        rows += [("all", *(column.sum() for column in columns.values()))] if len(rows) > 1 else []
        width = max(5, *map(len, names))
        lines = [
            " ".join([f"{name:<{width}}", *(f"{value:>9}" for value in values)])
            for name, *values in [("class", *columns), *rows]
        ]
        lines[-1] += f"  in {self.batches} batches"
        return "\n".join(lines + [f"{path}: SHA-256 {digits}" for path, digits in self.checkpoints.items()])


class Meter:
    """Counts the batches that it is shown.

    Args:
        classes: of the plan; None if there is none.
    """

    def __init__(self, classes: Classes | None) -> None:
        self.classes = Classes.of(("all",)) if classes is None else classes
        self.batches = 0
        self.real, self.synthetic, self.fresh, self.refilled = np.zeros((4, self.classes.count), np.int64)

    def count(self, slots: Slots, fresh: Bools, refilled: Bools | None = None) -> None:
        """Count a planned batch; ``fresh`` are those of its synthetic slots that were made for it, ``refilled`` those
        of all its slots that were to be synthetic."""
        self.batches += 1
        synthetic = slots.label[slots.synthetic]
        np.add.at(self.real, slots.label[~slots.synthetic], 1)  # not bincount, which costs as much as there are classes
        np.add.at(self.synthetic, synthetic, 1)
        np.add.at(self.fresh, synthetic[fresh], 1)
        if refilled is not None:
            np.add.at(self.refilled, slots.label[refilled], 1)

    def count_unplanned(self, size: int) -> None:
        """Count a batch of which only the size is known."""
        self.batches += 1
        self.real += size

    def stats(self) -> Stats:
        """The counts up to now."""
        real, synthetic, fresh, refilled = map(np.copy, (self.real, self.synthetic, self.fresh, self.refilled))
        return Stats(self.classes, real, synthetic, fresh, refilled, self.batches)
