"""What the benchmarks' results are boiled down to."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.evidence import Bench, bench
from onthefly.testing import CountingGenerator

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "results.py"


@pytest.fixture
def raw() -> dict[str, Any]:
    data = TensorDataset(torch.rand(60, 3, 8, 8), torch.arange(60) % 3)
    generator = CountingGenerator((3, 8, 8), classes=3)
    loader = onthefly.wrap(DataLoader(data, 20, shuffle=True), generator, ratio=0.5, device="cpu")
    found = bench(loader, seconds=0.01, rounds=2, progress=False)
    memory = {"name": "a mix", "what": "MB resident", "megabytes": [100.0, 101.0], "growth": 9.5}
    infos = [
        {"name": "wrap", "against": "DataLoader", "ratio": 0.98, "ratios": (0.9, 1.1)},
        {"title": "contenders, gan", "bench": found.to_plain()},
        {"title": "utilisation, gan", "bench": found.to_plain()},
        {"memory": memory},
    ]
    return {
        "machine_info": {"onthefly": dict(found.machine), "node": "somebody's"},
        "commit_info": {"id": "0123456789abcdef" * 2 + "01234567"},
        "benchmarks": [{"group": "a group", "extra_info": info, "stats": {"data": [1.0] * 9999}} for info in infos],
    }


def test_a_run_becomes_a_page_and_a_small_file(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("raw.json").write_text(json.dumps(raw))
    monkeypatch.setattr(sys, "argv", ["results.py", "raw.json", "--out", "results"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    written, page = sorted(Path("results").iterdir())
    assert "; commit 0123456789.\n" in page.read_text()
    assert str(written) in capsys.readouterr().out
    assert written.stem == page.stem
    assert written.name.startswith(raw["machine_info"]["onthefly"]["date"][:10])
    assert len(written.read_text()) < 50_000
    assert "somebody's" not in written.read_text()
    kept = json.loads(written.read_text())
    assert kept["machine"]["torch"] == raw["machine_info"]["onthefly"]["torch"]
    assert Bench.from_plain(kept["contests"]["contenders, gan"])["mix"].rounds
    shown = page.read_text()
    assert "| a group | wrap | DataLoader | 0.98 (0.90 to 1.10) |  |" in shown
    assert "| a mix | MB resident | flat: at most 5 more | 100 to 101: +9.5 | missed |" in shown
    assert "times a loop by hand | at least 1.5 |" in shown


def test_goals_are_met_or_missed_by_their_figures(raw: dict[str, Any]) -> None:
    names = runpy.run_path(str(SCRIPT))
    found = list(names["goals"](names["boiled_down"](raw)))
    assert [least for *_, least, _ in found] == [0.9, 10.0, 1.5, 1.0, 0.9]
    kept = Bench.from_plain(raw["benchmarks"][1]["extra_info"]["bench"])
    assert found[2][3] == kept.ratio("mix 0.25", "by hand")
    assert found[4][3] == kept.utilisation("mix")


@pytest.mark.parametrize("text", [None, "", '{"benchmarks": []}'])
def test_a_run_without_a_benchmark_says_so(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    if text is not None:
        Path("raw.json").write_text(text)
    monkeypatch.setattr(sys, "argv", ["results.py", "raw.json"])
    with pytest.raises(SystemExit, match="no benchmark ran"):
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_page_tells_only_what_is_known(raw: dict[str, Any]) -> None:
    names = runpy.run_path(str(SCRIPT))
    raw["commit_info"]["id"] = "unversioned"
    raw["benchmarks"] = raw["benchmarks"][:1]
    shown = names["page"](names["boiled_down"](raw))
    assert "commit" not in shown
    assert "Goals" not in shown
    assert "| wrap | DataLoader |" in shown


def test_a_goal_without_its_contender_is_not_measured(raw: dict[str, Any]) -> None:
    names = runpy.run_path(str(SCRIPT))
    contest = raw["benchmarks"][1]["extra_info"]["bench"]
    contest["rows"] = [row for row in contest["rows"] if row["name"] != "by hand"]
    contest["left_out"] = {"by hand": "it raised", "generation": "it raised"}
    shown = names["page"](names["boiled_down"](raw))
    assert "| times a loop by hand | at least 1.5 | not measured |  |" in shown
    assert "| delivered, of the bound | at least 0.9 | not measured |  |" in shown
