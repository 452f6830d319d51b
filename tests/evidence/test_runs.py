"""How the benchmarks are run: to their end, whatever fails on the way."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, env=alone)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A virtual environment with a GPU, in which everything that is asked for fails."""
    (tmp_path / "bin").mkdir()
    for name in ("python", "pytest"):
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name}: $*"\n[ "$1" = - ] || exit 3\n')
        path.chmod(0o755)
    (tmp_path / "installed").touch()
    return tmp_path


def test_all_of_it_is_run_for_a_gpu_whatever_fails(folder: Path) -> None:
    done = run("sh", "benchmarks/gpu.sh", str(folder / "bin" / "python"), str(folder / "out"))
    _, tests, benchmarks, results, end = done.stdout.splitlines()
    assert done.returncode == 3
    assert "pytest benchmarks" in benchmarks
    assert str(folder / "out") in results
    assert re.fullmatch(r"took \d+ s", end)
    marked = [path for path in ROOT.glob("tests/**/test_*.py") if re.search(r"mark\.gpu", path.read_text())]
    assert {word for word in tests.split() if word.endswith(".py")} == {str(path.relative_to(ROOT)) for path in marked}


def test_results_are_written_where_a_benchmark_fails(folder: Path) -> None:
    done = run("make", "--silent", f"VENV={folder}", "bench")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["pytest:", "benchmarks"],
        ["python:", "benchmarks/results.py"],
    ]
    assert done.returncode != 0


def test_benchmarks_that_do_not_begin_are_no_error(tmp_path: Path) -> None:
    words = (sys.executable, "-m", "pytest", "-q", "benchmarks/test_plan.py", "--budget=0")
    done = run(*words, f"--benchmark-json={tmp_path / 'raw.json'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout
