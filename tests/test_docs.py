"""Whatever is shown in the documentation and the examples runs."""

import re
import runpy
from pathlib import Path

import pytest

from tests.pages import BLOCK, run_code

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WITH_CODE = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("guide", "generators", "by-hand", "guarantees")),
]
ELSEWHERE = [ROOT / "docs" / "frameworks.md"]  # run in tests/frameworks, where frameworks may be missing


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_top_to_bottom(page: Path) -> None:
    assert len(run_code(page)) > 1


def test_no_other_page_has_code_that_nobody_runs() -> None:
    assert [page for page in PAGES if page not in WITH_CODE + ELSEWHERE and BLOCK.search(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_and_shows_what_was_delivered(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(example), run_name="__main__")
    assert "synthetic" in capsys.readouterr().out


def test_there_are_pages_and_examples() -> None:
    assert len(PAGES) >= 4
    assert len(EXAMPLES) >= 3
