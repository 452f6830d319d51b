"""Optional packages."""

import sys
import tomllib
from typing import Any

import pytest

from onthefly.extras import require
from tests.floors import ROOT


def test_what_is_there_is_imported() -> None:
    assert require("math", extra="report").pi > 3


def test_what_is_missing_is_told_with_the_command_to_type(monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setitem(sys.modules, "nlpaug", None)
    refused(
        lambda: require("nlpaug.augmenter", extra="text"),
        "nlpaug could not be imported",
        "extra 'text'",
        'pip install "onthefly-torch[text]"',
        error=ImportError,
    )


def test_the_extras_that_are_promised_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    kinds = ["audio", "text", "diffusion", "language", "flow", "privacy", "signing", "report"]
    frameworks = ["lightning", "accelerate", "huggingface", "ray", "timm", "frameworks"]
    assert set(extras) == {*kinds, *frameworks, "all", "dev"}
