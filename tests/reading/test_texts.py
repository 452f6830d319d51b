"""Texts: label and text of every line, as they were written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from onthefly.reading import check_classes, read


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_quotes_mean_nothing_between_tabs() -> None:
    found = read(write("m.tsv", 'Label\tSMS\nham\t"Hi," she said\nspam\t"WIN\nham\t don\'t \n'))
    assert [found[i] for i in range(3)] == [('"Hi," she said', 0), ('"WIN', 1), (" don't ", 0)]
    assert found.classes == ("ham", "spam")


def test_columns_are_asked_for_by_name() -> None:
    file = write("m.tsv", "id\twords\tfrom\tmood\n1\ta b\tann\tgood\n2\tc\tbob\tbad\n")
    found = read(file, label="mood", text="words", attributes=["from", "id"])
    assert [found[i] for i in range(2)] == [("a b", 1), ("c", 0)]
    assert found.attributes == {"from": ["ann", "bob"], "id": [1, 2]}


def test_a_file_without_a_heading_loses_no_line() -> None:
    found = read(write("m.txt", "ham\tone\nspam\ttwo\nham\tthree\n"))
    assert [found[i] for i in range(3)] == [("one", 0), ("two", 1), ("three", 0)]


def test_texts_in_a_csv_are_asked_for_by_their_column() -> None:
    found = read(write("m.csv", 'text,kind\n"yes, ""please""",a\nno,b\n'), text="text", label="kind")
    assert [found[i] for i in range(2)] == [('yes, "please"', 0), ("no", 1)]


def test_messages_of_the_real_data(real_data: Path) -> None:
    found = read(real_data / "sms_spam" / "SMSSpamCollection.tsv")
    assert found.classes == ("ham", "spam")
    assert np.bincount(found.targets).tolist() == [4827, 747]
    assert found[0][0].startswith("Go until jurong point, crazy..")
    assert sum(text.startswith('"') for text, _ in found) == 54
    check_classes(found)
    texts, labels = next(iter(DataLoader(found, batch_size=4)))
    assert (len(texts), labels.tolist()) == (4, [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("label\ttext\nham\thi\n", {"label": "kind"}, ("label: expected a column", "found 'kind'", "label, text")),
        ("label\ttext\nham\thi\n", {"text": "sms"}, ("text: expected a column", "found 'sms'", "label, text")),
        ("label\ttext\nham\thi\nham\n", {}, ("expected 2 values", "found 1 in line 3")),
        ("label\ttext\nham\t \n", {}, ("expected a value of 'text'", "found none in line 2")),
        ("label\ttext\n\thi\n", {}, ("expected a value of 'label'", "found none in line 2")),
        ("label,text\nham,hi\n", {}, ("expected rows with tabs", "one value in line 1")),
        ("label\ttext\tfrom\nham\thi\t\n", {"attributes": ["from"]}, ("attributes: expected a value of 'from'",)),
    ],
)
def test_bad_files_are_refused(text: str, options: Any, words: Any, refused: Callable[..., Any]) -> None:
    refused(lambda: read(write("m.tsv", text), **options), *words)
