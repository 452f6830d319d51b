"""Sources: what is read as what, and what can't be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from onthefly.generators import train
from onthefly.reading import Pictures, Rows, Texts, check_classes, read, split

TABLE = "text,kind\n1,a\n2,b\n"


def test_a_source_is_known_by_what_it_is() -> None:
    Path("table.csv").write_text(TABLE)
    Path("texts.TSV").write_text(TABLE.replace(",", "\t"))
    assert isinstance(read("table.csv"), Rows)
    assert isinstance(read(Path("table.csv"), text="text", label="kind"), Texts)
    assert isinstance(read("texts.TSV", text="text", label="kind"), Texts)


def test_a_folder_that_is_called_like_a_data_set() -> None:
    Path("MNIST/one").mkdir(parents=True)
    Image.new("L", (4, 4)).save("MNIST/one/1.png")
    assert isinstance(read("./MNIST"), Pictures)
    assert isinstance(read(Path("MNIST")), Pictures)


def test_options_that_are_none_are_not_given() -> None:
    Path("table.csv").write_text(TABLE)
    assert read("table.csv", size=None, rate=None, label="kind").classes == ("a", "b")


@pytest.mark.parametrize(
    ("source", "options", "words", "error"),
    [
        (
            "table.csv",
            {"size": 32, "rate": 8000},
            ("options of a table", "categorical", "leave out size=, rate="),
            None,
        ),
        ("table.csv", {"data": "."}, ("options of a table", "found data"), None),
        ("data.zip", {}, ("found the archive data.zip", "unpack it first: unzip data.zip"), None),
        ("notes.md", {}, ("a file that ends in .csv, .tsv", "found notes.md", "rename it"), None),
        ("nowhere/there", {}, ("found none at nowhere/there", "check the path"), FileNotFoundError),
        ("missing.csv", {}, ("found none at missing.csv", "check the path"), FileNotFoundError),
        ("mnist", {}, ("found no folder 'mnist'", "expected one of MNIST", "did you mean MNIST?"), FileNotFoundError),
        ("cifar-10", {}, ("found no folder 'cifar-10'", "did you mean CIFAR10?"), FileNotFoundError),
        ("ImageNet", {}, ("found no folder 'ImageNet'", "CIFAR10", "pass torchvision's dataset"), FileNotFoundError),
    ],
)
def test_what_cannot_be_read_is_refused(
    source: str, options: Any, words: Any, error: Any, refused: Callable[..., Any]
) -> None:
    Path("table.csv").write_text(TABLE)
    Path("data.zip").touch()
    Path("notes.md").touch()
    refused(lambda: read(source, **options), *words, error=error or ValueError)


def made_of(found: Any) -> Any:
    made = train("vae", found, steps=2, config={"width": 4, "latent": 4}, progress=False)
    return made.sample(torch.tensor([1, 0]), torch.tensor([5, 6]))


def test_a_generator_makes_what_was_read() -> None:
    for number in range(4):
        for kind in ("cat", "dog"):
            Path("pets", kind).mkdir(parents=True, exist_ok=True)
            Path("calls", kind).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (50 * number, 0, 0)).save(f"pets/{kind}/{number}.png")
            soundfile.write(f"calls/{kind}/{number}.wav", np.full(64, number / 4), 8000)
    Path("table.csv").write_text("a,b,kind\n1,2.5,x\n3,4.5,y\n5,6.5,x\n7,8.5,y\n")
    for found in (read("pets", size=8), read("calls"), read("table.csv"), split(read("calls"), 0.5)[0]):
        check_classes(found)
        assert made_of(found).shape == (2, *found[0][0].shape)
