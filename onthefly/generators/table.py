"""Table: rows of numbers, whole numbers and categories, some of them missing, as vectors that a network can make.

Numbers become normal by their own distribution (``Quantiles``), categories one-hot. Where a column has missing values,
one more number says whether this one is. What comes back are known categories, whole numbers where there were such, and
nothing beyond what was seen; so whatever a network makes is a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from onthefly.data.columns import Column
from onthefly.data.spec import Field
from onthefly.generators.coding import Coding
from onthefly.generators.quantiles import Quantiles

_JITTER = 0.9  # of the distance at which a choice becomes another


class Table(Coding):
    """The coding of rows ``float32[D]``, of which the dataset's ``columns`` say what they hold: else numbers.

    >>> class Pets(torch.utils.data.TensorDataset):
    ...     columns = (Column("size", "numeric"), Column("colour", "categorical", ("red", "green", "blue")))
    >>> rows = torch.tensor([[1.5, 0.0], [2.5, 1.0], [float("nan"), 1.0], [4.5, 2.0]])
    >>> table = Table.fit(Field((2,), "float32"), list(rows), Pets(rows))
    >>> table.shape  # a number, whether it is missing, and three categories
    (5,)
    >>> table.decode(table.encode(rows))
    tensor([[1.5000, 0.0000],
            [2.5000, 1.0000],
            [   nan, 1.0000],
            [4.5000, 2.0000]])
    """

    kind = "table"
    sees_all = True
    bounded = False

    def __init__(self, field: Field, coded: "Sequence[_Coded]") -> None:
        self._coded = tuple(coded)
        missing = any(one.missing for one in coded)
        self.field = Field(field.shape, field.dtype, field.range, field.rate, missing)
        self.shape = (sum(one.size for one in coded),)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a row holds."""
        return tuple(one.column for one in self._coded)

    @classmethod
    def fit(cls, field: Field, samples: Sequence[Any], dataset: Any) -> Self:
        """To all rows there are, so that a missing value isn't met first among those held out."""
        rows = torch.stack(list(samples))
        columns = _columns_of(dataset, rows.shape[1])
        _check(rows, columns, [True] * len(columns))
        return cls(field, [_fitted(*one) for one in zip(columns, rows.numpy().T, strict=True)])

    def encode(self, samples: Tensor) -> Tensor:
        """Rows ``float32[N, D]``, with NaN for what is missing, to ``float32[N, *shape]``.

        Raises:
            ValueError: for a category that isn't one, infinite values, and missing ones in a column that had none;
                naming the column and the row.
        """
        _check(samples, self.columns, [one.missing for one in self._coded])
        return torch.cat([one.encode(samples[:, place]) for place, one in enumerate(self._coded)], dim=1).float()

    def decode(self, encoded: Tensor) -> Tensor:
        """``float32[N, *shape]`` to rows ``float32[N, D]``, with NaN for what is missing."""
        return torch.stack([one.decode(part) for one, part in self._parts(encoded)], dim=1).float()

    def jitter(self, encoded: Tensor) -> Tensor:
        return torch.cat([one.jitter(part) for one, part in self._parts(encoded)], dim=1).float()

    def to_json(self) -> dict[str, Any]:
        return {"columns": [one.to_json() for one in self._coded]}

    @classmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        return cls(field, [_from_json(one) for one in data["columns"]])

    def _parts(self, encoded: Tensor) -> "list[tuple[_Coded, Tensor]]":
        return list(zip(self._coded, encoded.split([one.size for one in self._coded], dim=1), strict=True))


class _Coded(ABC):
    """One column: ``[N]`` values, and ``[N, size]`` numbers for a network."""

    column: Column
    missing: bool
    size: int

    @abstractmethod
    def encode(self, values: Tensor) -> Tensor: ...

    @abstractmethod
    def decode(self, encoded: Tensor) -> Tensor: ...

    @abstractmethod
    def jitter(self, encoded: Tensor) -> Tensor:
        """Others, drawn at random, that are decoded to the same."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]: ...


class _Numbers(_Coded):
    """A normal number, and one that is 1 where the value is missing and -1 elsewhere."""

    def __init__(self, column: Column, missing: bool, quantiles: Quantiles) -> None:
        self.column, self.missing, self.quantiles = column, missing, quantiles
        self.size = 1 + missing

    def encode(self, values: Tensor) -> Tensor:
        gone = values.isnan()
        number = self.quantiles.encode(values.nan_to_num()).masked_fill(gone, 0.0)
        return torch.stack([number, gone.double().mul(2).sub(1)][: self.size], dim=1)

    def decode(self, encoded: Tensor) -> Tensor:
        values = self.quantiles.decode(encoded[:, 0])
        if self.column.kind == "integer":
            values = values.round()
        return values.masked_fill(encoded[:, 1] > 0, torch.nan) if self.missing else values

    def jitter(self, encoded: Tensor) -> Tensor:
        number = self.quantiles.jitter(encoded[:, 0])
        if not self.missing:
            return number[:, None]
        number = torch.where(encoded[:, 1] > 0, torch.randn_like(number), number)
        return torch.stack([number, _moved(encoded[:, 1])], dim=1)

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column.to_json(), "missing": self.missing, "quantiles": self.quantiles.to_json()}


class _Categories(_Coded):
    """1 for the category there is, -1 for others; a missing one is one more."""

    def __init__(self, column: Column, missing: bool) -> None:
        self.column, self.missing = column, missing
        self.size = len(column.categories) + missing

    def encode(self, values: Tensor) -> Tensor:
        number = values.nan_to_num(nan=len(self.column.categories)).long()
        return F.one_hot(number, self.size).double().mul(2).sub(1)

    def decode(self, encoded: Tensor) -> Tensor:
        number = encoded.argmax(dim=1)
        return number.double().masked_fill(number == len(self.column.categories), torch.nan)

    def jitter(self, encoded: Tensor) -> Tensor:
        return _moved(encoded)

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column.to_json(), "missing": self.missing}


def _moved(choice: Tensor) -> Tensor:
    return choice + _JITTER * (2 * torch.rand_like(choice) - 1)


def _fitted(column: Column, values: NDArray[np.float32]) -> _Coded:
    gone = np.isnan(values)
    if column.kind == "categorical":
        return _Categories(column, bool(gone.any()))
    if gone.all():
        raise ValueError(
            f"table: expected a number in column {column.name!r}, found none in {len(values)} rows; leave it out"
        )
    return _Numbers(column, bool(gone.any()), Quantiles.fit(values[~gone]))


def _from_json(data: Mapping[str, Any]) -> _Coded:
    column = Column.from_json(data["column"])
    if column.kind == "categorical":
        return _Categories(column, data["missing"])
    return _Numbers(column, data["missing"], Quantiles.from_json(data["quantiles"]))


def _columns_of(dataset: Any, count: int) -> tuple[Column, ...]:
    """Those that a dataset names, or the one that it is a part of."""
    found = getattr(dataset, "columns", None)
    if found is None and hasattr(dataset, "dataset"):
        return _columns_of(dataset.dataset, count)
    if found is None or not all(isinstance(one, Column) for one in found):
        return tuple(Column(str(place), "numeric") for place in range(count))
    if len(found) != count:
        raise ValueError(
            f"table: expected a column for each of {count} numbers of a row, found {len(found)}: "
            f"{', '.join(one.name for one in found)}; correct {type(dataset).__name__}.columns"
        )
    return tuple(found)


def _check(rows: Tensor, columns: Sequence[Column], missing: Sequence[bool]) -> None:
    """Refuse what isn't a row of such a table."""
    for place, (column, may_miss) in enumerate(zip(columns, missing, strict=True)):
        values = rows[:, place]
        wrong = values.isinf() if may_miss else ~values.isfinite()
        if column.kind == "categorical":
            number = values.nan_to_num(nan=0.0)
            wrong |= (number != number.floor()) | (number < 0) | (number >= len(column.categories))
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"table: expected {_expected(column)}{', or NaN,' if may_miss else ''} in column {column.name!r}, "
                f"found {values[row]:g} in row {row} of {len(rows)}: {[round(one, 4) for one in rows[row].tolist()]}; "
                "correct it or leave the row out, in training too"
            )


def _expected(column: Column) -> str:
    if column.kind == "categorical":
        return f"a category from 0 to {len(column.categories) - 1}"
    return "a finite number"
