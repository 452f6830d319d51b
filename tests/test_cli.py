"""The command line, as somebody who has never seen it would use it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onthefly.cli import main
from onthefly.demo.story import SETTINGS
from onthefly.generators import load


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["onthefly", *words])
        main()

    return run


@pytest.fixture
def pictures() -> Path:
    for kind, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        Path("pictures", kind).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (20 + number, 30), colour).save(Path("pictures", kind, f"{number}.png"))
    return Path("pictures")


def test_help_names_the_commands(type_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        type_in("--help")
    shown = capsys.readouterr().out
    assert "demo" in shown
    assert "train" in shown


@pytest.mark.parametrize("grey", [False, True])
def test_train_a_generator_on_a_folder(
    type_in: Any, pictures: Path, grey: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--size 16 --steps 3 --workers 0 --family vae" + (" --grey" if grey else "")
    type_in("train", str(pictures), "--out", "g.safetensors", *words.split())
    made = load("g.safetensors")
    assert made.classes.names == ("cat", "dog")
    assert made.spec.fields["image"].shape == (1 if grey else 3, 16, 16)
    assert Path("g.png").exists()
    assert "onthefly.wrap(loader, 'g.safetensors')" in capsys.readouterr().out


def test_demo_prints_and_draws(
    type_in: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SETTINGS, "digits", replace(SETTINGS["digits"], generator_steps=20, steps=10))
    type_in("demo", "--seeds", "0")
    shown = capsys.readouterr().out
    assert "delivered by the mix" in shown
    assert "The mix" in shown or "No clear difference" in shown
    folder = Path("onthefly-demo")
    assert {path.name for path in folder.iterdir()} == {
        "digits-owner.png",
        "digits-owner-ratio.png",
        "digits-owner.safetensors",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--dataset", "mnist", "--data", "nowhere"], "mnist: expected a folder"),
        (["train", "pictures", "--out", "g.pt"], "ends in .safetensors"),
        (["train", "nothing", "--out", "g.safetensors"], "nothing"),
        (["train", "pictures", "--out", "g.safetensors", "--steps", "0"], "steps of 1 or more"),
        (["train", "broken", "--out", "g.safetensors", "--steps", "3", "--workers", "1"], "cannot identify image file"),
        (["demo", "--seeds"], "seeds: expected at least one"),
    ],
)
def test_mistakes_are_told_in_a_line(type_in: Any, pictures: Path, words: list[str], said: str) -> None:
    for number in range(9):
        Path("broken", "cat").mkdir(parents=True, exist_ok=True)
        Path("broken", "cat", f"{number}.png").write_bytes(
            b"" if number else pictures.joinpath("cat/0.png").read_bytes()
        )
    with pytest.raises(SystemExit) as caught:
        type_in(*words)
    assert str(caught.value).startswith("onthefly: ")
    assert len(str(caught.value).splitlines()) == 1
    assert said in str(caught.value)
