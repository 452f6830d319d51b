"""Tables: a csv file of numbers and categories."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.columns import Column
from onthefly.reading.samples import Samples, in_order, number, numbered
from onthefly.reading.written import MISSING, Written, read_written

_EXACT = 2**24  # whole numbers up to here are exact in float32
_MOST = float(np.finfo(np.float32).max)


class Rows(Samples):
    """The rows of a csv file, as numbers.

    Yields ``(float32[D], class number)``: a number as it is, a category as its number among the column's categories, a
    missing value (an empty one, NA, NaN, null, None or ?) as NaN. A pair of single quotes around a value is dropped.

    Args:
        file: in UTF-8.
        label: the name of the label's column; by default the last.
        categorical: columns whose values are categories even if all are numbers; others are so if a value isn't a
            number.
        attributes: columns to keep as ``attributes``, and not in the row.
        columns: what another file's columns were (its ``columns``): those of this one must be the same, by name.
        classes: what another file's classes were, likewise.
        header: whether the first line is a heading; by default it is one unless one of its values is a number or comes
            again in its column. Without a heading columns are called column1, column2, ...

    Attributes:
        columns: what each of the D numbers stands for.
        values: ``float32[N, D]``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for columns that aren't there, lines of unequal length, infinite values, a column without a value,
            a line without a label; with ``columns`` and ``classes``, for categories, names or labels not among them.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "pets.csv")
    >>> _ = file.write_text("age,colour,kind\\n3,black,cat\\n,brown,dog\\n")
    >>> rows = Rows(file)
    >>> rows[0], rows[1][0], rows.columns[1].categories
    ((tensor([3., 0.]), 0), tensor([nan, 1.]), ('black', 'brown'))
    """

    def __init__(
        self,
        file: str | Path,
        *,
        label: str | None = None,
        categorical: Sequence[str] = (),
        attributes: Sequence[str] = (),
        columns: Sequence[Column] | None = None,
        classes: Sequence[str] | None = None,
        header: bool | None = None,
    ) -> None:
        written = _unquoted(read_written(Path(file), header=header))
        label = written.names[-1] if label is None else label
        labels = _labels(written, label, classes)
        known = {name: written.attribute(name) for name in attributes}
        kept = [name for name in written.names if name != label and name not in known]
        if columns is None:
            columns = _described(written, kept, categorical)
        self.columns = _matching(written, kept, columns)
        self.values = torch.from_numpy(np.stack([_encoded(written, one) for one in self.columns], 1))
        classes = in_order(labels) if classes is None else classes
        super().__init__(numbered(labels, classes), classes, known)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.values[index], int(self.targets[index])


def _unquoted(written: Written) -> Written:
    rows = [[_bare(value) for value in row] for row in written.rows]
    return Written(written.path, tuple(map(_bare, written.names)), rows, written.lines)


def _bare(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value


def _labels(written: Written, label: str, classes: Sequence[str] | None) -> list[str]:
    labels = written.column(label, "label")
    for row, value in enumerate(labels):
        if value.lower() in MISSING or (classes is not None and value not in classes):
            expected = "a label" if classes is None else f"a label among {', '.join(classes)}"
            raise ValueError(
                f"read: expected {expected} in column {label!r}, found {value!r} in line {written.lines[row]} of "
                f"{written.path}; correct it, or remove the line"
            )
    return labels


def _described(written: Written, names: Sequence[str], categorical: Sequence[str]) -> list[Column]:
    strange = [name for name in categorical if name not in names]
    if strange:
        raise ValueError(
            f"categorical: expected columns of {written.path}, found {', '.join(strange)}; write some of "
            f"{', '.join(names)}"
        )
    return [_column(written, name, name in categorical) for name in names]


def _column(written: Written, name: str, categorical: bool) -> Column:
    values = [value for value in written.column(name, "columns") if value.lower() not in MISSING]
    if not values:
        raise ValueError(
            f"read: expected a value in column {name!r} of {written.path}, found none; remove the column, or keep it "
            f"as an attribute: attributes=[{name!r}]"
        )
    found = [number(value) for value in values]
    numbers = [one for one in found if one is not None]
    if categorical or len(numbers) < len(values):
        if not categorical and len(numbers) > len(values) / 2:
            odd = [value for value, one in zip(values, found, strict=True) if one is None]
            warnings.warn(
                f"read: column {name!r} of {written.path} is read as categories, since {len(odd)} of its values are no "
                f"numbers, as {odd[0]!r}; correct them, or write categorical=[{name!r}]",
                stacklevel=6,
            )
        return Column(name, "categorical", in_order(values))
    integer = Column(name, "integer")
    return integer if all(_fits(one, integer) for one in numbers) else Column(name, "numeric")


def _matching(written: Written, names: Sequence[str], columns: Sequence[Column]) -> tuple[Column, ...]:
    expected = [column.name for column in columns]
    if sorted(expected) != sorted(names) or not expected:
        raise ValueError(
            f"columns: expected {', '.join(expected) or 'a column beside the label'} in {written.path}, found "
            f"{', '.join(names) or 'none'}; correct its heading, or pass label= and attributes= as for the first file"
        )
    return tuple(columns)


def _encoded(written: Written, column: Column) -> NDArray[np.float32]:
    values, place = written.column(column.name, "columns"), {one: float(i) for i, one in enumerate(column.categories)}
    found = np.full(len(values), np.nan, np.float32)
    for row, value in enumerate(values):
        if value.lower() in MISSING:
            continue
        one = place.get(value) if column.kind == "categorical" else number(value)
        if one is None or not _fits(one, column):
            raise ValueError(
                f"read: expected {_expected(column)} in column {column.name!r}, found {value!r} in line "
                f"{written.lines[row]} of {written.path}; correct it, or leave it empty"
            )
        found[row] = one
    return found


def _fits(value: float, column: Column) -> bool:
    return value.is_integer() and abs(value) <= _EXACT if column.kind == "integer" else abs(value) <= _MOST


def _expected(column: Column) -> str:
    if column.kind == "categorical":
        shown = ", ".join(column.categories[:10]) + (", ..." if len(column.categories) > 10 else "")
        return f"one of the categories {shown}"
    return "a whole number of at most 2**24" if column.kind == "integer" else "a finite number"
