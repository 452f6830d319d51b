"""The picture: what each class gets over training, and its ratio in every epoch."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.extras import require

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REAL, _SYNTHETIC, _INK, _FAINT = "#4c78a8", "#f58518", "#333333", "#d9d9d9"
_NAMED = 40  # classes with a name at the axis
_UNNAMED = 16  # classes whose room those without names share
_LINES = 10  # classes with a line of their own
_NAME = 24  # letters of a name
_ALIKE = 0.05  # shares that stand together, by size: of small classes they are ragged by rounding


def draw(about: str, names: list[str], real: Ints, synthetic: Ints, ratio: Floats, path: Path) -> Path:
    """Draw to a PNG file: on the left what each class gets, the largest synthetic share on top; on the right ratios.

    Args:
        about: what it is of.
        names: of the classes.
        real: ``int64[E, C]``, real samples of each epoch.
        synthetic: ``int64[E, C]``.
        ratio: ``float64[E, C]``, NaN where a class has no slot.
        path: where to.
    """
    if path.suffix != ".png":
        raise ValueError(f"plot: expected a path that ends in .png, found {path.name}; write {path.stem}.png")
    reals, fakes = real.sum(axis=0), synthetic.sum(axis=0)
    share = np.rint(fakes / np.maximum(reals + fakes, 1) / _ALIKE)
    order = np.lexsort((reals + fakes, -share))
    height = 3.6 + 0.16 * (len(names) if len(names) <= _NAMED else _UNNAMED)
    figure = require("matplotlib.figure", extra="report").Figure(figsize=(11.5, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    figure.suptitle(about, x=0.01, ha="left", color=_INK, fontsize=11)
    _draw_counts(left, [_short(names[number]) for number in order.tolist()], reals[order], fakes[order])
    overall = synthetic.sum(axis=1) / np.maximum((real + synthetic).sum(axis=1), 1)
    if len(names) <= _LINES:
        _draw_lines(right, [_short(names[number]) for number in order.tolist()], ratio[:, order], overall)
    else:
        _draw_map(figure, right, ratio[:, order])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _draw_counts(axes: Any, names: list[str], real: Ints, synthetic: Ints) -> None:
    few = len(names) <= _NAMED
    edges = np.arange(len(names) + 1) - 0.5
    for low, high, colour, label in (
        (0 * real, real, _REAL, "real"),
        (real, real + synthetic, _SYNTHETIC, "synthetic"),
    ):
        if few:
            axes.barh(np.arange(len(names)), high - low, left=low, height=0.72, color=colour, label=label)
        else:  # bars thinner than a pixel would leave gaps
            axes.stairs(high, edges, baseline=low, orientation="horizontal", fill=True, color=colour, label=label)
    axes.set_title("samples of each class", loc="left", color=_INK, fontsize=10)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, None), xlabel="samples over all epochs")
    _name_classes(axes, names)
    axes.xaxis.set_major_locator(require("matplotlib.ticker", extra="report").MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2, handlelength=1.2)


def _draw_lines(axes: Any, names: list[str], ratio: Floats, overall: Floats) -> None:
    epochs = np.arange(len(ratio))
    marker = "o" if len(ratio) <= 20 else None
    colours = require("matplotlib", extra="report").colormaps["viridis"](np.linspace(0, 0.85, len(names)))
    for name, line, colour in zip(names, ratio.T, colours, strict=True):
        axes.plot(epochs, line, color=colour, label=name, marker=marker, markersize=4, linewidth=1.8)
    if len(names) > 1:
        axes.plot(epochs, overall, color=_INK, label="all", linestyle=":", marker=marker, markersize=4, linewidth=2)
    axes.set_title("ratio of each class", loc="left", color=_INK, fontsize=10)
    axes.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="synthetic share")
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    _whole_epochs(axes, len(ratio))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _draw_map(figure: Any, axes: Any, ratio: Floats) -> None:
    shown = axes.imshow(ratio.T, aspect="auto", interpolation="nearest", vmin=0, vmax=1, cmap="viridis", origin="upper")
    axes.set_title("ratio of each class", loc="left", color=_INK, fontsize=10)
    axes.set(xlabel="epoch", facecolor=_FAINT)
    axes.set_yticks([])
    _whole_epochs(axes, len(ratio))
    figure.colorbar(shown, ax=axes, label="synthetic share", pad=0.02).outline.set_visible(False)


def _name_classes(axes: Any, names: list[str]) -> None:
    if len(names) <= _NAMED:
        axes.set_yticks(np.arange(len(names)), names)
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel(f"{len(names):,} classes, the largest synthetic share on top")
        axes.set_yticks([])


def _whole_epochs(axes: Any, epochs: int) -> None:
    axes.set_xlim(-0.5, epochs - 0.5)
    axes.xaxis.set_major_locator(
        require("matplotlib.ticker", extra="report").MaxNLocator(8, integer=True, min_n_ticks=1)
    )


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."
