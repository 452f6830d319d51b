"""The table of a measurement, to be read from top to bottom."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from onthefly.mixing.table import in_bytes, in_words

if TYPE_CHECKING:
    from onthefly.evidence.result import Bench

_WIDTH = 120
_ALIKE = 0.02  # shares: a few batches are that far from what was asked for
ALTERNATIVES = ("in __getitem__", "by hand", "from files")
WITH_A_BOUND = "there is one for a mix of a wrapped DataLoader whose parts run alone, without step="
_BESIDE = "max(fetch, generate) + augment"
_IN_TURN = "fetch + generate + augment (0 workers: one after the other)"
_BOUND = (
    "The bound is {}, each measured alone; and where they share the cores of a CPU, no less than the work of all three "
    "over the cores. The generator is busy for its time alone over the time that a batch took. A little over 100% is "
    "noise."
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
        [in_words(settings["samples"], "sample")] if settings["samples"] else []
    )
    device = "" if machine["device"] == "CPU" else f", {machine['device']}"
    versions = ", ".join(f"{name} {machine[name]}" for name in ("onthefly", "torch", "kornia", "python"))
    return [
        f"{', '.join(what)}; {each}",
        f"{machine['processor']}, {in_words(machine['cores'], 'core')}{device}; {versions}; {machine['date'][:10]}",
    ]


def _contenders(bench: "Bench") -> list[str]:
    stepped = bench.settings["step"]
    again = any(row.made != row.share for row in bench.rows if row.name not in ALTERNATIVES)  # samples used again
    head = [
        "",
        "samples/s",
        "least",
        "most",
        "ms a batch",
        *(["waiting"] if stepped else []),
        "memory",
        "synthetic",
        *(["made"] if again else []),
        "x plain",
    ]
    rows = [head]
    for row in bench.rows:
        rate = row.rate
        waiting = [f"{row.waiting:.0%}"] if stepped else []
        shares = [f"{share:.1%}" if row.share else "" for share in (row.share, *([row.made] if again else []))]
        plain = str(bench.ratio(row.name)) if "plain" in bench and row.name != "plain" else ""
        cells = [f"{rate.median:,.0f}", f"{rate.low:,.0f}", f"{rate.high:,.0f}", f"{row.step_seconds * 1e3:.2f}"]
        rows.append([row.name + ("*" if row.cut else ""), *cells, *waiting, in_bytes(row.memory), *shares, plain])
    cut = ["* a batch takes longer than a round: not measured again"] if any(row.cut for row in bench.rows) else []
    return _aligned(rows) + cut


def _versus(bench: "Bench") -> list[str]:
    return [
        f"{mix} is {bench.ratio(mix, name)} times as fast as {_named(name)}{_shares(bench, mix, name)}"
        for mix, name in versus(bench)
    ]


def _shares(bench: "Bench", mix: str, name: str) -> str:
    """Said where they differ, for who delivers fewer synthetic samples is faster."""
    one, other = bench[mix].share, bench[name].share
    return "" if abs(one - other) < _ALIKE else f"; but {one:.0%} of its samples are synthetic, {other:.0%} of theirs"


def _named(name: str) -> str:
    return {
        "in __getitem__": "generation in __getitem__",
        "by hand": "a loop by hand",
        "from files": "files made before",
    }[name]


def _bounds(bench: "Bench") -> list[str]:
    mixes = [row.name for row in bench.rows if bench.bounds(row.name)]
    if not mixes:
        mixed = any(row.name.startswith("mix") for row in bench.rows)
        return [f"no bound was measured: {WITH_A_BOUND}"] if mixed else []
    head = [
        "ms a batch",
        "fetch",
        "generate",
        "augment",
        "by the clock",
        "on the cores",
        "bound",
        "limit",
        "took",
        "of the bound",
        "generator busy",
    ]
    shown = [bench.bound(name) for name in mixes]
    rows = [head]
    for name, one in zip(mixes, shown, strict=True):
        times = [
            one.fetch.seconds,
            one.generate.seconds,
            one.augment.seconds,
            one.on_clock,
            one.on_cores,
            one.seconds,
        ]
        cells = [f"{seconds * 1e3:.2f}" if seconds else "" for seconds in times]
        took = f"{bench[name].step_seconds * 1e3:.2f}"
        busy = f"{bench.utilisation(name).median:.0%}" if one.generate.seconds else ""
        rows.append([name, *cells, one.limit, took, f"{bench.efficiency(name).median:.0%}", busy])
    return _aligned(rows) + _folded(_BOUND.format(_BESIDE if all(one.beside for one in shown) else _IN_TURN))


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
