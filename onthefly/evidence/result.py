"""The result of a measurement: every round of every contender, and what follows from them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from onthefly.evidence.bound import Bound
from onthefly.evidence.parts import bound_of
from onthefly.evidence.picture import draw
from onthefly.evidence.table import WITH_A_BOUND, table
from onthefly.evidence.timing import Round, Spread, ratios


@dataclass(frozen=True)
class Row:
    """What was measured of one contender.

    Attributes:
        name: of the contender.
        about: what it is.
        rounds: one after the other; the n-th ones of all contenders ran beside each other in time.
    """

    name: str
    about: str
    rounds: tuple[Round, ...]

    @property
    def rate(self) -> Spread:
        """Samples a second."""
        return Spread.of([one.rate for one in self.rounds])

    @property
    def step_seconds(self) -> float:
        """A batch, in seconds: the median."""
        return Spread.of([one.seconds / one.batches for one in self.rounds]).median

    @property
    def waiting(self) -> float:
        """The share of the time that went by in ``next()``, in [0, 1]."""
        return sum(one.waiting for one in self.rounds) / sum(one.seconds for one in self.rounds)

    @property
    def memory(self) -> int:
        """Bytes, at their highest."""
        return max(one.memory for one in self.rounds)

    @property
    def share(self) -> float:
        """Synthetic samples, of all that it delivered."""
        return sum(one.synthetic for one in self.rounds) / sum(one.samples for one in self.rounds)

    @property
    def made(self) -> float:
        """Samples that a generator made meanwhile, over all that it delivered: less than the share where they are used
        again, or were made before."""
        return sum(one.made for one in self.rounds) / sum(one.samples for one in self.rounds)

    @property
    def cut(self) -> bool:
        """Whether a batch took longer than a round was to last."""
        return any(one.cut for one in self.rounds)


@dataclass(frozen=True)
class Bench:
    """Contenders measured side by side. Printed, it is a table.

    Attributes:
        rows: the contenders.
        parts: fetching, generation and augmentation alone.
        left_out: contenders that there are none of here, and parts that could not be measured, and why.
        settings: what was asked for.
        machine: what it ran on, and when.
    """

    rows: tuple[Row, ...]
    parts: tuple[Row, ...]
    left_out: Mapping[str, str]
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]

    def __getitem__(self, name: str) -> Row:
        """A contender, or a part, by its name."""
        found = next((row for row in (*self.rows, *self.parts) if row.name == name), None)
        if found is None:
            names = ", ".join(row.name for row in (*self.rows, *self.parts))
            raise KeyError(f"bench: expected one of {names}, found {name!r}")
        return found

    def __contains__(self, name: str) -> bool:
        return any(row.name == name for row in (*self.rows, *self.parts))

    def ratio(self, name: str, against: str = "plain") -> Spread:
        """The samples a second of one contender over those of another, round by round."""
        return ratios(self[name].rounds, self[against].rounds)

    def bounds(self, name: str) -> tuple[Bound, ...]:
        """The bound of a mix's batches in each round; none where its parts could not be measured."""
        fetch = f"fetch, {name}"
        if fetch not in self or not self.left_out.keys().isdisjoint(("generation", "augmentation")):
            return ()
        on_cpu = self.machine["device"] == "CPU"  # a GPU generates while the main process goes on
        cores, beside = self.machine["cores"] if on_cpu else None, self.settings["workers"] > 0 or not on_cpu
        others = [self[part].rounds if part in self else () for part in ("generation", "augmentation")]
        pairs = enumerate(zip(self[name].rounds, self[fetch].rounds, strict=False))
        return tuple(
            bound_of(one, alone, *(_nth(rounds, number) for rounds in others), cores=cores, beside=beside)
            for number, (one, alone) in pairs
        )

    def bound(self, name: str) -> Bound:
        """The one in the middle of ``bounds``.

        Raises:
            ValueError: as ``efficiency``.
        """
        bounds = sorted((bound for bound, _ in self._bounded(name)), key=lambda one: one.seconds)
        return bounds[len(bounds) // 2]

    def efficiency(self, name: str) -> Spread:
        """The bound of a mix over what its batches took: 1 is all that can be had.

        Raises:
            ValueError: for a contender without a bound: no mix, of a stream, or measured with a step.
        """
        return Spread.of([bound.efficiency(took) for bound, took in self._bounded(name)])

    def utilisation(self, name: str) -> Spread:
        """The share of the time in which a mix's generator did what it can do; see ``Bound.utilisation``.

        Raises:
            ValueError: as ``efficiency``.
        """
        return Spread.of([bound.utilisation(took) for bound, took in self._bounded(name)])

    def _bounded(self, name: str) -> list[tuple[Bound, float]]:
        """The bound of each round, and the seconds that a batch took in it."""
        pairs = zip(self.bounds(name), self[name].rounds, strict=False)
        found = [(bound, one.seconds / one.batches) for bound, one in pairs]
        if not found:
            raise ValueError(
                f"bench: expected a mix that has a bound, found {name!r}, for which no bound was measured; "
                f"{WITH_A_BOUND}"
            )
        return found

    def __str__(self) -> str:
        return table(self)

    def plot(self, path: str | Path) -> Path:
        """Draw it to a PNG file.

        Raises:
            ValueError: for a path that doesn't end in .png.
            ImportError: if matplotlib is missing, naming the extra that brings it.
        """
        return draw(self, Path(path))

    def to_plain(self) -> dict[str, Any]:
        """As plain lists, strings and numbers."""
        return asdict(self)

    def to_json(self, path: str | Path) -> Path:
        """Write all of it to a JSON file, from which ``from_json`` reads it back."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_plain(), indent=1) + "\n")
        return path

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_plain`` made, or JSON of it."""
        rows, parts = (tuple(map(_row, plain[kind])) for kind in ("rows", "parts"))
        return cls(rows, parts, plain["left_out"], plain["settings"], plain["machine"])

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """What ``to_json`` wrote."""
        return cls.from_plain(json.loads(Path(path).read_text()))


def _nth(rounds: tuple[Round, ...], number: int) -> Round | None:
    """The round with this number, or the last one of a part that was too slow for more; None for no part."""
    return rounds[min(number, len(rounds) - 1)] if rounds else None


def _row(plain: Mapping[str, Any]) -> Row:
    return Row(plain["name"], plain["about"], tuple(Round(**one) for one in plain["rounds"]))
