"""The table: what each class gets, in the first, the middle and the last epoch, and in all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SHOWN = 12  # classes with a line of their own
_NAME = 24  # letters of a name
_GAP = "   "


def table(names: Sequence[str], samples: Ints, real: Ints, synthetic: Ints, fresh: Ints) -> list[str]:
    """Its lines: classes with the largest synthetic share first, those after the first few together, then all.

    Args:
        names: of the classes.
        samples: ``int64[C]``, real samples that there are.
        real: ``int64[E, C]``, delivered.
        synthetic: ``int64[E, C]``, delivered.
        fresh: ``int64[E, C]``, those of them that no slot had before.
    """
    rows = _rows(names, real.sum(axis=0), synthetic.sum(axis=0))
    epochs = len(real)
    some = np.unique([0, epochs // 2, epochs - 1]).tolist() if epochs > 1 else []
    shown = [(f"epoch {epoch}", {"real": real[epoch], "synthetic": synthetic[epoch]}) for epoch in some]
    totals = {"real": real.sum(axis=0), "synthetic": synthetic.sum(axis=0), "fresh": fresh.sum(axis=0)}
    if not (totals["synthetic"] - totals["fresh"]).any():
        del totals["fresh"]
    blocks = [("", {"samples": samples}), *shown, (f"all {epochs} epochs" if epochs > 1 else "epoch 0", totals)]
    parts = [_block(title, columns, rows) for title, columns in blocks]
    parts[-1] = _side_by_side([parts[-1], ["", *_ratios(totals["real"], totals["synthetic"], rows)]], "  ")
    heads = ["", "class", *(name for name, _ in rows)]
    first = [f"{head:<{max(map(len, heads))}}" for head in heads]
    return [line.rstrip() for line in _side_by_side([first, *parts], _GAP)]


def in_words(number: int, noun: str, plural: str | None = None) -> str:
    """So many of something.

    >>> in_words(1, "epoch"), in_words(2, "batch", "batches")
    ('1 epoch', '2 batches')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def in_bytes(number: int) -> str:
    """A number of bytes, to read.

    >>> in_bytes(1500), in_bytes(26)
    ('1.5 kB', '26 B')
    """
    size, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"


def _rows(names: Sequence[str], real: Ints, synthetic: Ints) -> list[tuple[str, Ints]]:
    """The name of every line, and its classes."""
    order = np.lexsort((real + synthetic, -synthetic / np.maximum(real + synthetic, 1)))
    own, rest = (order, order[:0]) if len(order) <= _SHOWN else (order[: _SHOWN - 1], order[_SHOWN - 1 :])
    rows = [(_short(names[number]), np.array([number])) for number in own.tolist()]
    if len(rest):
        rows.append((f"{len(rest)} others", rest))
    if len(order) > 1:
        rows.append(("all", order))
    return rows


def _block(title: str, columns: dict[str, Ints], rows: list[tuple[str, Ints]]) -> list[str]:
    cells = [[name, *(str(counts[some].sum()) for _, some in rows)] for name, counts in columns.items()]
    body = _side_by_side([_to_right(column) for column in cells], "  ")
    width = max(len(title), len(body[0]))
    return [f"{title:^{width}}", *(f"{line:>{width}}" for line in body)]


def _ratios(real: Ints, synthetic: Ints, rows: list[tuple[str, Ints]]) -> list[str]:
    counts = [(synthetic[some].sum(), (real + synthetic)[some].sum()) for _, some in rows]
    return _to_right(["ratio", *(f"{some / slots:.3f}" if slots else "-" for some, slots in counts)])


def _to_right(cells: list[str]) -> list[str]:
    return [f"{cell:>{max(map(len, cells))}}" for cell in cells]


def _side_by_side(parts: list[list[str]], gap: str) -> list[str]:
    return [gap.join(line) for line in zip(*parts, strict=True)]


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."
