"""The table of a measurement, to be read from top to bottom."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from onthefly.mixing.table import in_bytes, in_words

if TYPE_CHECKING:
    from onthefly.evidence.result import Bench

_WIDTH = 120
ALTERNATIVES = ("in __getitem__", "by hand", "from files")
_BOUND = (
    "The bound is max(fetch, generate) + augment, each measured alone; and where they share the cores of a CPU, no "
    "less than the work of all three over the cores. The generator is busy for its time alone over the time that a "
    "batch took."
)


def table(bench: "Bench") -> str:
    """Head, contenders, bounds, what is what."""
    parts = [_head(bench), _contenders(bench), _versus(bench), _bounds(bench), _notes(bench)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def versus(bench: "Bench") -> list[tuple[str, str]]:
    """The mix with the share of the alternatives, and each of these: the pairs that a user wants to know of."""
    mix = f"mix {bench.settings['share']:g}"
    return [(mix, name) for name in ALTERNATIVES if mix in bench and name in bench]


def _head(bench: "Bench") -> list[str]:
    machine, settings = bench.machine, bench.settings
    each = f"{in_words(settings['rounds'], 'round')} of {settings['seconds']:g} s each, in turn"
    what = [f"batches of {settings['batch_size']}"] if settings["batch_size"] else []
    what += [in_words(settings["workers"], "worker")] + (
        [f"{settings['samples']} samples"] if settings["samples"] else []
    )
    device = "" if machine["device"] == "CPU" else f", {machine['device']}"
    versions = ", ".join(f"{name} {machine[name]}" for name in ("onthefly", "torch", "kornia", "python"))
    return [
        f"{', '.join(what)}; {each}",
        f"{machine['processor']}, {in_words(machine['cores'], 'core')}{device}; {versions}; {machine['date'][:10]}",
    ]


def _contenders(bench: "Bench") -> list[str]:
    stepped = bench.settings["step"]
    head = [
        "",
        "samples/s",
        "least",
        "most",
        "ms a batch",
        *(["waiting"] if stepped else []),
        "memory",
        "synthetic",
        "x plain",
    ]
    rows = [head]
    for row in bench.rows:
        rate = row.rate
        waiting = [f"{row.waiting:.0%}"] if stepped else []
        made = bench.settings["share"] if row.name in ALTERNATIVES else row.share
        share = f"{made:.1%}" if made else ""
        plain = str(bench.ratio(row.name)) if "plain" in bench and row.name != "plain" else ""
        cells = [f"{rate.median:,.0f}", f"{rate.low:,.0f}", f"{rate.high:,.0f}", f"{row.step_seconds * 1e3:.2f}"]
        rows.append([row.name + ("*" if row.cut else ""), *cells, *waiting, in_bytes(row.memory), share, plain])
    cut = ["* a batch takes longer than a round: not measured again"] if any(row.cut for row in bench.rows) else []
    return _aligned(rows) + cut


def _versus(bench: "Bench") -> list[str]:
    return [f"{mix} is {bench.ratio(mix, name)} times as fast as {_named(name)}" for mix, name in versus(bench)]


def _named(name: str) -> str:
    return {
        "in __getitem__": "generation in __getitem__",
        "by hand": "a loop by hand",
        "from files": "files made before",
    }[name]


def _bounds(bench: "Bench") -> list[str]:
    mixes = [row.name for row in bench.rows if bench.bounds(row.name)]
    if not mixes:
        return []
    head = [
        "ms a batch",
        "fetch",
        "generate",
        "augment",
        "side by side",
        "on the cores",
        "bound",
        "limit",
        "took",
        "of the bound",
        "generator busy",
    ]
    rows = [head]
    for name in mixes:
        bounds = sorted(bench.bounds(name), key=lambda one: one.seconds)
        one = bounds[len(bounds) // 2]
        times = [
            one.fetch.seconds,
            one.generate.seconds,
            one.augment.seconds,
            one.side_by_side,
            one.on_cores,
            one.seconds,
        ]
        cells = [f"{seconds * 1e3:.2f}" if seconds else "" for seconds in times]
        took = f"{bench[name].step_seconds * 1e3:.2f}"
        busy = f"{bench.utilisation(name).median:.0%}" if one.generate.seconds else ""
        rows.append([name, *cells, one.limit, took, f"{bench.efficiency(name).median:.0%}", busy])
    return _aligned(rows) + _folded(_BOUND)


def _notes(bench: "Bench") -> list[str]:
    lines = [line for row in bench.rows for line in _folded(f"{row.name}: {row.about}")]
    lines += _folded(f"memory: {bench.settings['memory']}")
    why = {
        reason: [name for name, other in bench.left_out.items() if other == reason]
        for reason in bench.left_out.values()
    }
    return lines + [
        line for reason, names in why.items() for line in _folded(f"left out: {', '.join(names)}: {reason}")
    ]


def _folded(text: str) -> list[str]:
    return wrap(text, _WIDTH, subsequent_indent="  ")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
