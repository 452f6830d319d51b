"""Histograms: what a table's columns hold, class by class, real beside synthetic."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onthefly.data.columns import Column
from onthefly.extras import require
from onthefly.generators.base import FrozenGenerator

_MOST = 8  # classes, and columns
_BINS = 20
_RANGE = (0.005, 0.995)  # of the values: the first and the last bar hold what is beyond
_WIDE, _HIGH = 2.4, 1.7  # inches of one histogram
_BAR = 0.45
_NAME, _CLASS = 6, 20  # letters of a category, and of a class or column
_COLOURS = ("#4c78a8", "#f58518")

Values = NDArray[np.float32]


def histograms(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    columns: Sequence[Column],
    real: Sequence[Sequence[Tensor]] = (),
    each: int = 500,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw how often what occurs in each column, of the real and of the synthetic rows of each class, to a PNG file.

    Args:
        generator: of rows ``float32[D]``.
        path: of the file.
        columns: D of them.
        real: some real rows of each class.
        each: synthetic rows of each class.
        device: where the generator is.

    Returns:
        The path.

    Raises:
        ImportError: without matplotlib, naming the extra that brings it.
    """
    path, columns = Path(path), columns[:_MOST]
    numbers = np.flatnonzero(generator.makes)[:_MOST].tolist()
    size = (_WIDE * len(columns) + 0.5, _HIGH * len(numbers) + 0.6)
    figure = require("matplotlib.figure", extra="report").Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(numbers), len(columns), squeeze=False)
    for line, number in zip(grid, numbers, strict=True):
        made = generator.sample(torch.full((each,), number, device=device), torch.arange(each, device=device)).cpu()
        shown = list(real[number]) if number < len(real) else []
        rows = [torch.stack(shown) if shown else made[:0], made]
        line[0].set_ylabel(generator.classes.name(number)[:_CLASS])
        for place, (axes, column) in enumerate(zip(line, columns, strict=True)):
            _draw(axes, column, [part[:, place].numpy() for part in rows])
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column.name[:_CLASS], fontsize=9)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    return path


def _draw(axes: Any, column: Column, parts: Sequence[Values]) -> None:
    names, shares = _shares(column, parts)
    places = np.arange(len(names))
    for side, (label, share, colour) in enumerate(zip(("real", "synthetic"), shares, _COLOURS, strict=True)):
        axes.bar(places + (side - 0.5) * _BAR, share, _BAR, color=colour, label=label)
    axes.set_xticks([place for place, name in enumerate(names) if name], [name for name in names if name])
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _shares(column: Column, parts: Sequence[Values]) -> tuple[list[str], list[NDArray[np.float64]]]:
    """What bars stand for, some without a name, and how high they are; where values are missing the last is theirs."""
    there, gone = [part[~np.isnan(part)] for part in parts], [np.isnan(part).sum() for part in parts]
    edges = _edges(column, np.concatenate(there))
    counts = [
        np.append(np.histogram(part.clip(edges[0], edges[-1]), edges)[0], some)
        for part, some in zip(there, gone, strict=True)
    ]
    names = [one[:_NAME] for one in column.categories] or _ends(edges)
    shown = len(names) + (sum(gone) > 0)
    shares = [count[:shown] / max(1, len(part)) for count, part in zip(counts, parts, strict=True)]
    return [*names, "missing"][:shown], shares


def _edges(column: Column, values: Values) -> NDArray[np.float64]:
    """Of bins: a category each, or as many as are drawn, from one rare value to the other."""
    if column.categories:
        return np.arange(len(column.categories) + 1, dtype=np.float64) - 0.5
    low, high = np.quantile(values, _RANGE) if len(values) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, _BINS + 1, dtype=np.float64)


def _ends(edges: NDArray[np.float64]) -> list[str]:
    return [f"{edges[0]:.3g}", *[""] * (len(edges) - 3), f"{edges[-1]:.3g}"]
