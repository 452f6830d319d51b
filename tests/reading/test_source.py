"""Sources: what is read as what, and what can't be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onthefly.reading import Pictures, Rows, Texts, read

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
