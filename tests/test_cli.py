"""The command line, as somebody who has never seen it would use it."""

import shutil
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from onthefly.cli import main
from onthefly.cli.train import _config
from onthefly.demo.story import SETTINGS
from onthefly.evidence import Bench
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
    assert "explain" in shown
    assert "bench" in shown


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


def test_train_on_sounds_with_speakers(type_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        tone = 0.5 * np.sin(np.arange(800) * (0.1 + 0.2 * (number % 2)))
        Path("sounds.v1").mkdir(exist_ok=True)
        soundfile.write(
            f"sounds.v1/{('low', 'high')[number % 2]}_{('anna', 'ben')[number // 6]}_{number}.wav", tone, 8000
        )
    words = "--family vae --coding unit --steps 2 --workers 0 --config width=4 latent=4 --conditions speaker"
    type_in("train", "sounds.v1", "--out", "g.safetensors", "--pattern", "{label}_{speaker}_{take}.wav", *words.split())
    assert "12 samples of 2 classes" in capsys.readouterr().out
    made = load("g.safetensors", attributes={"speaker": "ben"})
    assert made.spec.field.rate == 8000
    assert made.sample(torch.tensor([0]), torch.tensor([3])).shape == (1, 1, 800)


def test_sizes_are_numbers_truths_and_words(type_in: Any, pictures: Path) -> None:
    words = "--size 8 --steps 1 --workers 0 --family vae --config width=4 latent=4 encoder=False"
    type_in("train", str(pictures), "--out", "g.safetensors", *words.split())
    assert load("g.safetensors").card["config"] == {"width": 4, "latent": 4, "encoder": False}  # type: ignore[index]
    read = _config(["dropout=0.2", "encoder=TRUE", "width=-3", "network=small"])
    assert repr(read) == "{'dropout': 0.2, 'encoder': True, 'width': -3, 'network': 'small'}"


def test_train_on_a_table(type_in: Any) -> None:
    Path("t.csv").write_text("size,weight,kind\n" + "".join(f"{n},{n * 2.5},{'ab'[n % 2]}\n" for n in range(20)))
    words = ["t.csv", "--out", "g.safetensors", "--family", "vae", "--steps", "2", "--workers", "0"]
    type_in("train", *words, "--licence", "CC0")
    made = load("g.safetensors")
    assert made.classes.names == ("a", "b")
    assert made.sample(torch.tensor([0, 1]), torch.tensor([3, 4])).shape == (2, 2)
    assert (made.card["licence"], made.card["data"]) == ("CC0", "t.csv")  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--config width", "expected NAME=VALUE, found 'width'"),
        ("--config depth=3", "depth"),
        ("--config width=-3", "expected a whole number above 0, found -3"),
        ("--conditions speaker", "nothing beside their class), found speaker"),
        ("--balance odd", "odd"),
        ("--device foo", "device: expected one that is there"),
        ("--init none.safetensors", "no file none.safetensors"),
        ("--rate 8000", "leave out rate="),
        ("--dp-epsilon 8", "expected --dp-epsilon and --dp-delta"),
        ("--distill a.safetensors", "expected no source"),
    ],
)
def test_train_refuses(type_in: Any, pictures: Path, words: str, message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        type_in("train", str(pictures), "--out", "g.safetensors", "--family", "vae", "--workers", "0", *words.split())
    assert str(caught.value).startswith("onthefly: ")
    assert message in str(caught.value)


def test_train_a_student(type_in: Any, pictures: Path) -> None:
    words = "--size 8 --steps 2 --workers 0 --config width=4 depth=1"
    type_in("train", str(pictures), "--out", "teacher.safetensors", *words.split())
    type_in("train", "--distill", "teacher.safetensors", "--out", "student.safetensors", "--steps", "2")
    made = load("student.safetensors", steps=1)
    assert made.sample(torch.tensor([0]), torch.tensor([1])).shape == (1, 3, 8, 8)


def test_train_privately(type_in: Any, pictures: Path) -> None:
    words = "--size 8 --steps 2 --workers 0 --family vae --batch-size 4 --dp-epsilon 8 --dp-delta 1e-3"
    type_in("train", str(pictures), "--out", "g.safetensors", *words.split())
    assert 0 < load("g.safetensors").card["privacy"]["epsilon"] <= 8  # type: ignore[index]


def test_train_goes_on_from_a_checkpoint(type_in: Any, pictures: Path) -> None:
    words = ["--size", "8", "--steps", "2", "--workers", "0"]
    type_in("train", str(pictures), "--out", "a.safetensors", "--family", "vae", *words)
    type_in("train", str(pictures), "--out", "b.safetensors", "--init", "a.safetensors", *words)
    assert load("b.safetensors").card["init"]["file"] == "a.safetensors"  # type: ignore[index]


def test_one_class_is_refused(type_in: Any, pictures: Path) -> None:
    shutil.rmtree(pictures / "cat")
    with pytest.raises(SystemExit) as caught:
        type_in("train", str(pictures), "--out", "g.safetensors")
    assert "expected two or more, found one, 'dog'" in str(caught.value)


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


def test_explain_a_folder_of_pictures(type_in: Any, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for picture in pictures.rglob("*.png"):
        picture.write_bytes(b"")  # only names are read
    Path("pictures", "dog", "0.png").unlink()
    words = "--epochs 5 --batch-size 4 --ratio linear:0:0.4 --plot deep/mix.png"
    type_in("explain", "pictures", *words.split())
    shown = capsys.readouterr().out
    assert "5 epochs of 11 slots in 3 batches of 4" in shown
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("dog")] == [["dog", "5"]]
    assert "wrote deep/mix.png" in shown
    assert Path("deep", "mix.png").exists()


def test_explain_what_a_checkpoint_can_make(type_in: Any, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--size 16 --steps 1 --workers 0 --family vae"
    type_in("train", str(pictures), "--out", "g.safetensors", *words.split())
    Path("pictures", "dog").rename(Path("pictures", "eel"))
    capsys.readouterr()
    words = "--generator g.safetensors --ratio 0.5 --reuse 2 --world-size 3"
    type_in("explain", "pictures", *words.split())
    shown = capsys.readouterr().out
    assert "of 192" in shown
    assert "can't make eel" in shown
    assert "a sample takes 3.1 kB" in shown
    assert "fresh" in shown or "those to be used again" in shown


QUICK = "--seconds 0.01 --rounds 1 --workers 0 --batch-size 4 --size 16"


def test_bench_a_folder_with_an_untrained_generator(
    type_in: Any, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in("bench", "pictures", "--family", "vae", "--out", "deep/bench", *QUICK.split())
    shown = capsys.readouterr().out
    assert "mix 0.25 is" in shown
    assert "untrained" in shown
    assert "batches of 4, 0 workers, 12 samples" in shown
    found = Bench.from_json("deep/bench/bench.json")
    assert {"plain", "mix", "mix 0.5", "in __getitem__", "generation", "augmentation"} <= {
        row.name for row in (*found.rows, *found.parts)
    }
    assert Path("deep", "bench", "bench.png").exists()


def test_bench_a_checkpoint_and_nothing_at_all(
    type_in: Any, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--size 16 --steps 1 --workers 0 --family vae --grey"
    type_in("train", "pictures", "--out", "g.safetensors", *words.split())
    words = "--seconds 0.01 --rounds 1 --workers 0 --batch-size 4 --generator g.safetensors --no-augment --contenders"
    type_in("bench", "pictures", *words.split(), "plain", "mix")
    assert [row.name for row in Bench.from_json("onthefly-bench/bench.json").rows] == ["plain", "mix"]
    capsys.readouterr()
    type_in("bench", "pictures", *QUICK.split())
    shown = capsys.readouterr().out
    assert "plain + augment" in shown
    assert "What would a generator add? Type --family gan" in shown


def test_bench_prints_its_table_before_it_writes(
    type_in: Any, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("found", "bench.json").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"bench\.json"):
        type_in("bench", "pictures", *QUICK.split(), "--out", "found", "--contenders", "plain", "mix")
    assert "samples/s" in capsys.readouterr().out


def test_explain_counts_and_labels(type_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.repeat([0, 1, 2], [6, 3, 1])
    np.save("numbers.npy", rows)
    Path("numbers.csv").write_text("\n".join(map(str, rows)) + "\n")
    Path("names.txt").write_text("\r\n".join(f"class {row}" for row in rows))
    tables = []
    for words in (["--counts", "6", "3", "1"], ["--labels", "numbers.npy"], ["--labels", "numbers.csv"]):
        type_in("explain", *words, "--balance", "power:0.5", "--ratio", "0.3")
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] == tables[2]
    type_in("explain", "--labels", "names.txt")
    assert "class 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--dataset", "mnist", "--data", "nowhere"], "mnist: expected a folder"),
        (["train", "pictures", "--out", "g.pt"], "ends in .safetensors"),
        (["train", "nothing", "--out", "g.safetensors"], "nothing"),
        (["train", "pictures", "--out", "g.safetensors", "--steps", "0"], "steps of 1 or more"),
        (["train", "broken", "--out", "g.safetensors", "--steps", "3", "--workers", "1"], "cannot identify image file"),
        (["demo", "--seeds"], "seeds: expected at least one"),
        (["explain"], "expected one of FOLDER, --counts and --labels, found none"),
        (["explain", "pictures", "--counts", "3"], "found FOLDER and --counts"),
        (["explain", "nowhere"], "found no folder nowhere"),
        (["explain", "pictures/cat"], "found no subfolder in pictures/cat"),
        (["explain", "--counts", "5", "-1"], "counts: expected the number of samples"),
        (["explain", "--counts", "0"], "not all 0"),
        (["explain", "--counts", "5", "0"], "no real sample of 1"),
        (["explain", "--counts", "5", "--ratio", "half"], "ratio: expected a number from 0 to 1, fill"),
        (["explain", "--counts", "5", "--ratio", "linear:0"], "linear:START:END"),
        (["explain", "--counts", "5", "--ratio", "linear:0:2"], "share from 0 to 1, found 2"),
        (["explain", "--counts", "5", "--ratio", "linear:0:1"], "pass epochs="),
        (["explain", "--counts", "5", "--balance", "even"], "balance: expected natural, uniform, power:0.5"),
        (["explain", "--counts", "5", "--generator", "g.safetensors"], "no file g.safetensors"),
        (["explain", "--counts", "5", "--world-size", "0"], "world_size: expected a whole number of 1 or more"),
        (["explain", "--counts", "5", "--plot", "mix.pdf"], "ends in .png"),
        (["explain", "--labels", "none.npy"], "none.npy"),
        (["bench", "nowhere"], "found no folder nowhere"),
        (["bench", "pictures", "--family", "gan", "--generator", "g.safetensors"], "leave out one of them"),
        (["bench", "pictures", "--generator", "g.safetensors"], "no file g.safetensors"),
        (["bench", "pictures", "--ratio", "half"], "ratio: expected a number from 0 to 1, fill"),
        (["bench", "pictures", "--size", "0"], "size: expected"),
        (["bench", "pictures", "--size", "-3"], "size: expected"),
        (["bench", "pictures", "--seconds", "0"], "seconds: expected how long a round lasts"),
        (["bench", "pictures", "--contenders", "mine"], "contenders: expected some of plain"),
        (["explain", "--labels", "broken/cat/0.png"], "expected broken/cat/0.png to be text"),
        (["explain", "--labels", "broken/cat/1.png"], "found none in broken/cat/1.png"),
        (["explain", "--labels", "two.csv"], "found 'cat,dog' in line 1 of two.csv"),
        (["explain", "--labels", "heading.csv"], "leave the heading out"),
        (["explain", "--labels", "text.npy"], "that numpy.save wrote"),
    ],
)
def test_mistakes_are_told_in_a_line(type_in: Any, pictures: Path, words: list[str], said: str) -> None:
    for kind, number in product(("cat", "dog"), range(9)):
        Path("broken", kind).mkdir(parents=True, exist_ok=True)
        Path("broken", kind, f"{number}.png").write_bytes(
            b"" if number else pictures.joinpath("cat/0.png").read_bytes()
        )
    Path("two.csv").write_text("cat,dog\n")
    Path("heading.csv").write_text("label\n1\n0\n")
    Path("text.npy").write_text("1\n0\n")
    with pytest.raises(SystemExit) as caught:
        type_in(*words)
    assert str(caught.value).startswith("onthefly: ")
    assert len(str(caught.value).splitlines()) == 1
    assert said in str(caught.value)
