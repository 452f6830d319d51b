"""Columns: what each number of a table's row stands for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Kind = Literal["numeric", "integer", "categorical"]


@dataclass(frozen=True)
class Column:
    """One column of a table, of which a row is ``float32[D]``: a missing value is NaN in a column of any kind.

    Attributes:
        name: its heading.
        kind: "numeric" (any finite number), "integer" (whole numbers, of which float32 holds each exactly) or
            "categorical" (the number of a category, from 0).
        categories: of a categorical column, in the order of their numbers; else empty.

    Raises:
        ValueError: for an unknown kind, a category given twice, categories of numbers, or a categorical column without.

    >>> colour = Column("colour", "categorical", ("blue", "red"))
    >>> Column.from_json(colour.to_json()) == colour
    True
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"column {self.name!r}: expected kind {', '.join(get_args(Kind))}, found {self.kind!r}; write one of "
                "these"
            )
        if bool(self.categories) != (self.kind == "categorical"):
            raise ValueError(
                f"column {self.name!r}: expected categories of a categorical column, and of no other, found "
                f"{len(self.categories)} of kind {self.kind!r}; write Column({self.name!r}, 'categorical', (...))"
            )
        if len(set(self.categories)) < len(self.categories):
            twice = sorted({one for one in self.categories if self.categories.count(one) > 1})
            raise ValueError(
                f"column {self.name!r}: expected distinct categories, found {', '.join(twice)} more than once; name "
                "each once"
            )

    def to_json(self) -> dict[str, Any]:
        """As plain lists and strings."""
        return {**asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Column":
        """The column that ``to_json`` wrote."""
        return cls(data["name"], data["kind"], tuple(data["categories"]))
