"""The picture of a measurement: samples a second of every contender, and what the time of a mix's batch goes into."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from onthefly.evidence.table import ALTERNATIVES
from onthefly.extras import require
from onthefly.mixing.table import in_words

if TYPE_CHECKING:
    from onthefly.evidence.result import Bench

_MIX, _PLAIN, _OTHER, _INK, _FAINT = "#f58518", "#4c78a8", "#9d9d9d", "#333333", "#d9d9d9"
_FETCH, _GENERATE, _AUGMENT = "#4c78a8", "#f58518", "#54a24b"


def draw(bench: "Bench", path: Path) -> Path:
    """Draw to a PNG file: on the left contenders, on the right bounds, where there are any."""
    if path.suffix != ".png":
        raise ValueError(f"plot: expected a path that ends in .png, found {path.name}; write {path.stem}.png")
    mixes = [row.name for row in bench.rows if bench.bounds(row.name)]
    height = 1.9 + 0.36 * len(bench.rows)
    figure = require("matplotlib.figure", extra="report").Figure(figsize=(12.5, height), layout="constrained")
    left, *right = figure.subplots(1, 2 if mixes else 1, width_ratios=(1.15, 1) if mixes else (1,), squeeze=False)[0]
    figure.suptitle(_title(bench), x=0.01, ha="left", color=_INK, fontsize=10)
    _draw_rates(left, bench)
    for axes in right:
        _draw_bounds(axes, bench, mixes)
    for axes in (left, *right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(colors=_INK, length=0)
        axes.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _title(bench: "Bench") -> str:
    machine, settings = bench.machine, bench.settings
    size = f"batches of {settings['batch_size']}, " if settings["batch_size"] else ""
    device = "" if machine["device"] == "CPU" else f", {machine['device']}"
    where = f"{machine['processor']}, {in_words(machine['cores'], 'core')}{device}"
    return f"{size}{in_words(settings['workers'], 'worker')}; {where}; torch {machine['torch']}; {machine['date'][:10]}"


def _draw_rates(axes: Any, bench: "Bench") -> None:
    rates = [row.rate for row in bench.rows]
    middle = [rate.median for rate in rates]
    spread = [[rate.median - rate.low for rate in rates], [rate.high - rate.median for rate in rates]]
    colours = [_colour(row.name) for row in bench.rows]
    bars = {"ecolor": _INK, "elinewidth": 1}
    axes.barh(range(len(middle)), middle, xerr=spread, color=colours, height=0.7, error_kw=bars)
    for place, (row, rate) in enumerate(zip(bench.rows, rates, strict=True)):
        against = "" if row.name == "plain" or "plain" not in bench else f"   {bench.ratio(row.name).median:.2f} x"
        _write(axes, rate.high, place, f"{rate.median:,.0f}{against}")
    share = f", {bench.settings['share']:g}"
    names = [row.name + (share if row.name in ALTERNATIVES else "") for row in bench.rows]
    axes.set_yticks(range(len(middle)), names)
    axes.set_xlim(0, max(rate.high for rate in rates) * 1.3)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("samples a second; times the plain loader", loc="left", color=_INK, fontsize=10)
    axes.xaxis.grid(visible=True, color=_FAINT)
    axes.set_axisbelow(True)


def _colour(name: str) -> str:
    return _MIX if name.startswith("mix") else _PLAIN if name.startswith("plain") else _OTHER


def _draw_bounds(axes: Any, bench: "Bench", mixes: list[str]) -> None:
    labels = {}
    for place, name in enumerate(mixes):
        one, took = bench.bound(name), bench[name].step_seconds * 1e3
        fetch, generate, augment = (part.seconds * 1e3 for part in (one.fetch, one.generate, one.augment))
        labels["took"] = axes.barh(place, took, height=0.7, color=_FAINT)
        labels["fetch"] = axes.barh(place - 0.13, fetch, height=0.22, color=_FETCH)
        if generate:
            left = 0 if one.beside else fetch
            labels["generate"] = axes.barh(place + 0.13, generate, left=left, height=0.22, color=_GENERATE)
        if augment:
            labels["augment"] = axes.barh(place, augment, left=one.before_augment * 1e3, height=0.48, color=_AUGMENT)
        labels["bound"] = axes.vlines(one.seconds * 1e3, place - 0.42, place + 0.42, color=_INK)
        efficiency = f"{bench.efficiency(name).median:.0%} of the bound ({one.limit})"
        _write(axes, max(took, one.seconds * 1e3), place, efficiency)
    longest = max(max(bench[name].step_seconds, *(one.seconds for one in bench.bounds(name))) for name in mixes)
    axes.set_xlim(0, longest * 1e3 * 1.5)
    axes.set_yticks(range(len(mixes)), mixes)
    title = "ms a batch: its parts alone, the least it can take, what it took"
    axes.set_title(title, loc="left", color=_INK, fontsize=10)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": len(labels), "frameon": False}
    axes.legend(labels.values(), labels.keys(), fontsize=8, **below)


def _write(axes: Any, x: float, y: float, text: str) -> None:
    """To the right of where a bar ends."""
    where = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (x, y), color=_INK, fontsize=8, **where)
