"""What tests and the examples in docstrings share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may write files: not into the project."""
    monkeypatch.chdir(tmp_path)
