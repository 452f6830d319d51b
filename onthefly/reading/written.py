"""Written: text files of rows and columns, taken apart."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onthefly.reading.samples import number, plain

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class Written:
    """Rows and columns of strings.

    Attributes:
        path: of the file.
        names: of the columns: its heading, or column1, column2, ... without one.
        rows: each with a value for every column.
        lines: where each row stands in the file, from 1.
    """

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str, option: str) -> list[str]:
        """The values of a column.

        Raises:
            ValueError: if there is none of that name, naming the option that asked for it.
        """
        if name not in self.names:
            raise ValueError(
                f"{option}: expected a column of {self.path}, found {name!r}; write one of {', '.join(self.names)}"
            )
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def attribute(self, name: str) -> list[Any]:
        """The values of a column that is kept as an attribute: numbers where all of them are.

        Raises:
            ValueError: if there is no such column, or a line has no value in it.
        """
        values = self.column(name, "attributes")
        empty = next((row for row, value in enumerate(values) if value.strip().lower() in MISSING), None)
        if empty is not None:
            raise ValueError(
                f"attributes: expected a value of {name!r} in every line of {self.path}, found {values[empty]!r} in "
                f"line {self.lines[empty]}; add it, or leave the column out of attributes="
            )
        return plain(values)


def read_written(path: Path, *, header: bool | None = None) -> Written:
    """Read a file in UTF-8: values between tabs if its name ends in .tsv, .tab or .txt, where quotes mean nothing; else
    between commas, where double quotes hold a value together. Blank lines are passed over.

    Args:
        path: of the file.
        header: whether its first line is a heading; by default it is one if none of its values is a number, or comes
            again in its column.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it isn't text, has fewer than two columns or no row, rows of unequal length, or a name twice.
    """
    lines, rows = _rows(path)
    widths = Counter(map(len, rows))
    if not rows or widths.most_common(1)[0][0] < 2:
        between = "tabs" if _by_tabs(path) else "commas"
        raise ValueError(
            f"read: expected rows with {between} between the values in {path}, found "
            f"{f'one value in line {lines[0]}' if rows else 'nothing'}; write the file so"
        )
    ragged = next((place for place, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if ragged is not None:
        raise ValueError(
            f"read: expected {len(rows[0])} values in every line of {path}, as in line {lines[0]}, found "
            f"{len(rows[ragged])} in line {lines[ragged]}; correct that line"
        )
    if header if header is not None else _is_heading(rows):
        names, lines, rows = tuple(name.strip() for name in rows[0]), lines[1:], rows[1:]
    else:
        names = tuple(f"column{place}" for place in range(1, len(rows[0]) + 1))
    return _checked(Written(path, names, rows, lines))


def _by_tabs(path: Path) -> bool:
    return path.suffix.lower() in {".tsv", ".tab", ".txt"}


def _rows(path: Path) -> tuple[list[int], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"read: expected a file, found none at {path}; check the path")
    form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if _by_tabs(path) else {"delimiter": ","}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, **form)
            found = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise ValueError(f"read: expected text in UTF-8, found {path} ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"read: expected rows of values in {path} ({error}); correct it") from error
    return [line for line, _ in found], [row for _, row in found]


def _is_heading(rows: Sequence[Sequence[str]]) -> bool:
    first, others = rows[0], rows[1:]
    if any(not value.strip() or number(value) is not None for value in first):
        return False
    return not any(row[place] == value for row in others for place, value in enumerate(first))


def _checked(found: Written) -> Written:
    if not found.rows:
        raise ValueError(f"read: expected rows below the heading of {found.path}, found none; add some")
    twice = [name for name, times in Counter(found.names).items() if times > 1 or not name]
    if twice:
        raise ValueError(
            f"read: expected distinct names in the heading of {found.path}, found {', '.join(map(repr, twice))}; "
            "rename them"
        )
    return found
