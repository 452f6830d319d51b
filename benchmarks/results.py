"""Results: the JSON of pytest-benchmark, boiled down to what is claimed, as JSON and as a page to read.

pytest benchmarks --benchmark-json=raw.json && python benchmarks/results.py raw.json
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from onthefly.evidence import Bench
from onthefly.evidence.timing import Spread

FOLDER = Path(__file__).parent / "results"
SHARE = "mix 0.25"
GOALS = {  # of a mix with a quarter of synthetic samples: what it is, and the least that it should be
    "delivered, of the bound": (0.9, lambda found: found.efficiency(SHARE)),
    "times generation in `__getitem__`": (10.0, lambda found: found.ratio(SHARE, "in __getitem__")),
    "times a loop by hand": (1.5, lambda found: found.ratio(SHARE, "by hand")),
    "times files made before": (1.0, lambda found: found.ratio(SHARE, "from files")),
}
FUSED = {"Kornia": (3.0, 8.0), "one warp, one pass": (None, 1 / 1.3)}  # over what: at least, on a CPU and on CUDA
STEP = 1 / 1.05  # of the plain training step's throughput
BUSY = (0.9, 0.95)  # the least that a generator should be, where it is the limit, on a CPU and on CUDA
GROWTH = 5.0  # MB over 35 epochs that pass for flat: a batch of 64 pictures takes 0.8


def boiled_down(raw: dict[str, Any]) -> dict[str, Any]:
    """What is kept: the machine, the ratios, the contests, the memory; no rounds of ratios, no statistics of times."""
    infos = [one["extra_info"] | {"group": one["group"]} for one in raw["benchmarks"]]
    return {
        "machine": raw["machine_info"]["onthefly"],
        "commit": _commit(raw["commit_info"].get("id")),
        "ratios": [
            {name: value for name, value in info.items() if name != "bench"} for info in infos if "ratios" in info
        ],
        "memory": [info["memory"] for info in infos if "memory" in info],
        "contests": {info["title"]: info["bench"] for info in infos if "bench" in info},
    }


def goals(results: dict[str, Any]) -> Iterator[tuple[str, str, float, Spread | None]]:
    """Where, what, what it should be at least, and what it is; None where a contender was left out."""
    on_cuda = results["machine"]["device"] != "CPU"
    for title, plain in results["contests"].items():
        found = Bench.from_plain(plain)
        if title.startswith("contenders"):
            yield from ((title, name, least, _figure(figure, found)) for name, (least, figure) in GOALS.items())
        if title.startswith("utilisation"):
            yield (
                title,
                "of the time the generator is busy",
                BUSY[on_cuda],
                _figure(lambda one: one.utilisation("mix"), found),
            )
        if title.startswith("a training step"):
            yield (
                title,
                "times the plain step's throughput",
                STEP,
                _figure(lambda one: one.ratio(SHARE, "plain"), found),
            )
    for one in results["ratios"]:
        least = FUSED[one["against"]][on_cuda] if one["name"] == "fused" else None
        if least is not None and "drawn" not in one["group"]:
            yield f"fused, {one['group']}", f"times {one['against']}", least, Spread(one["ratio"], *one["ratios"])


def page(results: dict[str, Any]) -> str:
    """All of it, to read."""
    machine = results["machine"]
    commit = f"; commit {results['commit'][:10]}" if results["commit"] else ""
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads of torch"
    device = "" if machine["device"] == "CPU" else f", {machine['device']}"
    names = ("onthefly", "torch", "torchvision", "kornia", "numpy", "python")
    versions = ", ".join(f"{name} {machine[name]}" for name in names)
    parts = [
        f"# Benchmarks, {machine['date'][:10]}",
        f"{where}{device}; {versions}{commit}.",
        "Ratios are of rounds beside each other in one run: median (least to most).",
    ]
    if cells := list(_goal_cells(results)):
        parts += ["## Goals", _table(["where", "what", "goal", "found", ""], cells)]
    if results["ratios"]:
        parts += ["## Ratios of throughput", _table(["what", "of", "over", "ratio", ""], _ratio_cells(results))]
    for title, plain in results["contests"].items():
        parts += [f"## {title[0].upper()}{title[1:]}", f"```text\n{Bench.from_plain(plain)}\n```"]
    return "\n\n".join(parts) + "\n"


def name_of(machine: dict[str, Any]) -> str:
    """The date and the hardware, as a file is called: 2026-11-21-nvidia-h200, 2026-11-21-amd-epyc-2-cores."""
    hardware = machine["device"] if machine["device"] != "CPU" else f"{machine['processor']} {machine['cores']} cores"
    return f"{machine['date'][:10]}-{re.sub('[^a-z0-9]+', '-', hardware.lower()).strip('-')}"


def _commit(found: Any) -> str | None:
    """Outside a repository pytest-benchmark has a word in place of the hash."""
    return found if re.fullmatch("[0-9a-f]{40,64}", str(found)) else None


def _figure(read: Callable[[Bench], Spread], found: Bench) -> Spread | None:
    try:
        return read(found)
    except (KeyError, ValueError):  # a contender, or a part of the bound, that was left out
        return None


def _goal_cells(results: dict[str, Any]) -> Iterator[list[str]]:
    for where, what, least, found in goals(results):
        told = ["not measured", ""] if found is None else [str(found), "met" if found.median >= least else "missed"]
        yield [where, what, f"at least {least:.3g}", *told]
    for one in results["memory"]:
        grown, first, last = one["growth"], one["megabytes"][0], one["megabytes"][-1]
        met = "met" if grown <= GROWTH else "missed"
        yield [
            one["name"],
            one["what"],
            f"flat: at most {GROWTH:g} more",
            f"{first:.0f} to {last:.0f}: {grown:+.1f}",
            met,
        ]


def _ratio_cells(results: dict[str, Any]) -> Iterator[list[str]]:
    for one in results["ratios"]:
        low, high = one["ratios"]
        spread = f"{one['ratio']:.2f} ({low:.2f} to {high:.2f})"
        yield [one["group"], one["name"], one["against"], spread, one.get("note", "")]


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _short(value: Any) -> Any:
    """Numbers with six digits: what is measured is not more exact than that."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return [_short(one) for one in value] if isinstance(value, (list, tuple)) else value


def main() -> None:
    """Write both files, and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="what pytest --benchmark-json=FILE wrote")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write to")
    asked = parser.parse_args()
    raw = json.loads(asked.raw.read_text() or "{}") if asked.raw.exists() else {}
    if not raw.get("benchmarks"):
        sys.exit(f"results: no benchmark ran, so there is nothing in {asked.raw}; what pytest printed says why")
    results = _short(boiled_down(raw))
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{name_of(results['machine'])}.json"
    path.write_text(json.dumps(results) + "\n")
    path.with_suffix(".md").write_text(page(results))
    print(f"wrote {path} and {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
