"""What the page about frameworks shows runs."""

from pathlib import Path

import pytest

from tests.processes import ROOT, run

for framework in ("lightning", "accelerate", "transformers"):
    pytest.importorskip(framework)


def test_the_code_of_the_page_runs_top_to_bottom(tmp_path: Path) -> None:
    run("-W", "ignore", "-m", "tests.pages", ROOT / "docs" / "frameworks.md", folder=tmp_path)
