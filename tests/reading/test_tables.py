"""Tables: numbers, categories, missing values; and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onthefly.data.columns import Column
from onthefly.reading import Rows, check_classes, read, split

PETS = "age,weight,colour,code,kind\n3,4.5,black,1,cat\n,20.25,brown,2,dog\n7,NA,,2,cat\n"


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_numbers_categories_and_missing_values() -> None:
    found = read(write("pets.csv", PETS))
    assert found.columns == (
        Column("age", "integer"),
        Column("weight", "numeric"),
        Column("colour", "categorical", ("black", "brown")),
        Column("code", "integer"),
    )
    expected = [[3, 4.5, 0, 1], [np.nan, 20.25, 1, 2], [7, np.nan, np.nan, 2]]
    assert np.array_equal(found.values.numpy(), np.array(expected, np.float32), equal_nan=True)
    assert found.values.dtype == torch.float32
    assert found[1][1] == 1
    assert (found.classes, found.targets.tolist()) == (("cat", "dog"), [0, 1, 0])


def test_columns_are_asked_for_by_name() -> None:
    found = read(write("pets.csv", PETS.replace("7,NA,,", "7,NA,black,")), label="colour", categorical=["code"])
    assert [column.name for column in found.columns] == ["age", "weight", "code", "kind"]
    assert found.columns[2] == Column("code", "categorical", ("1", "2"))
    assert found.values[:, 2].tolist() == [0, 1, 1]
    assert found.classes == ("black", "brown")


def test_attributes_leave_the_row(refused: Callable[..., Any]) -> None:
    found = read(write("pets.csv", PETS), attributes=["code"])
    assert found.attributes == {"code": [1, 2, 2]}
    assert [column.name for column in found.columns] == ["age", "weight", "colour"]
    words = ("attributes: expected a value of 'age'", "found '' in line 3", "leave the column out")
    refused(lambda: read("pets.csv", attributes=["age"]), *words)


def test_mammography_comes_without_a_heading(real_data: Path) -> None:
    found = read(real_data / "mammography" / "mammography.csv")
    assert found.values.shape == (11183, 6)
    assert found.classes == ("-1", "1")
    assert np.bincount(found.targets).tolist() == [10923, 260]
    assert {column.kind for column in found.columns} == {"numeric"}
    assert found.columns[0].name == "column1"
    assert found[0][0].tolist() == pytest.approx(
        [0.23001961, 5.0725783, -0.27606055, 0.83244412, -0.37786573, 0.4803223]
    )
    check_classes(found)
    training, held_out = split(found, 0.1)
    assert np.bincount(held_out.targets).tolist() == [1092, 26]
    assert training.columns == found.columns


@pytest.mark.parametrize(
    ("text", "header", "names"),
    [
        ("a,b\nx,y\nz,y\n", None, ("a",)),
        ("a,y\nx,y\nz,y\n", None, ("column1",)),
        ("1,2\n3,4\n", None, ("column1",)),
        ("1,2\n3,4\n", True, ("1",)),
        ("a,b\nx,y\n", False, ("column1",)),
    ],
)
def test_whether_there_is_a_heading(text: str, header: bool | None, names: tuple[str, ...]) -> None:
    found = read(write("some.csv", text), header=header)
    assert tuple(column.name for column in found.columns) == names


def test_another_file_is_read_with_the_columns_of_the_first(refused: Callable[..., Any]) -> None:
    first = read(write("pets.csv", PETS))
    same = {"columns": first.columns, "classes": first.classes}
    other = read(write("more.csv", "kind,code,colour,weight,age\ndog,1,brown,3,\n"), label="kind", **same)
    assert other[0][0].nan_to_num(-1).tolist() == [-1, 3, 1, 1]
    assert other[0][1] == 1
    for row, words in {
        "3,4.5,green,1,cat": ("one of the categories black, brown", "column 'colour'", "'green' in line 2"),
        "3.5,4.5,black,1,cat": ("a whole number", "column 'age'", "'3.5' in line 2"),
        "3,heavy,black,1,cat": ("a finite number", "column 'weight'", "'heavy' in line 2"),
        "3,4.5,black,1,emu": ("a label among cat, dog", "column 'kind'", "'emu' in line 2"),
    }.items():
        file = write("odd.csv", f"age,weight,colour,code,kind\n{row}\n")
        refused(lambda file=file: read(file, **same), *words, "correct it")
    file = write("odd.csv", "age,weight,kind\n3,4.5,cat\n")
    refused(lambda: read(file, **same), "columns: expected age, weight, colour, code in odd.csv", "found age, weight")


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e39", "1e400"])
def test_infinite_values_are_refused(value: str, refused: Callable[..., Any]) -> None:
    file = write("wild.csv", f"a,b,kind\n1,2,x\n{value},2,y\n")
    refused(lambda: read(file), "a finite number in column 'a'", f"found {value!r} in line 3 of wild.csv", "leave it")


def test_whole_numbers_that_float32_rounds_are_only_numeric() -> None:
    found = read(write("ids.csv", f"small,large,kind\n{2**24},{2**24 + 1},x\n0,0,y\n"))
    assert [column.kind for column in found.columns] == ["integer", "numeric"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,b,c\n1,2,x\n1,y\n", {}, ("expected 3 values in every line", "as in line 1", "found 2 in line 3")),
        (
            PETS,
            {"label": "species"},
            ("label: expected a column", "found 'species'", "age, weight, colour, code, kind"),
        ),
        (PETS, {"categorical": ["size"]}, ("categorical: expected columns", "found size", "age, weight")),
        (PETS, {"attributes": ["size"]}, ("attributes: expected a column", "found 'size'")),
        ("a,kind\n1,x\n2,\n", {}, ("expected a label in column 'kind'", "found '' in line 3")),
        ("a,b,kind\n,1,x\nNA,2,y\n", {}, ("expected a value in column 'a'", "found none", "attributes=['a']")),
        ("a;kind\n1;x\n", {}, ("commas between the values", "one value in line 1")),
        ("", {}, ("expected rows with commas", "found nothing")),
        ("a,kind\n", {}, ("expected rows below the heading", "found none")),
        ("a,a,kind\n1,2,x\n", {}, ("expected distinct names", "found 'a'")),
        ("kind\nx\n", {}, ("expected rows with commas",)),
        ("a,kind\n1,x\n", {"attributes": ["a"]}, ("expected a column beside the label", "found none")),
    ],
)
def test_bad_tables_are_refused(text: str, options: Any, words: Any, refused: Callable[..., Any]) -> None:
    refused(lambda: read(write("bad.csv", text), **options), *words)


def test_what_is_no_text_is_refused(refused: Callable[..., Any]) -> None:
    Path("latin.csv").write_bytes("größe,kind\n1,x\n".encode("latin-1"))
    refused(lambda: read("latin.csv"), "expected text in UTF-8", "latin.csv", "save it as UTF-8")
    refused(lambda: Rows("none.csv"), "found none at none.csv", "check the path", error=FileNotFoundError)


def test_a_few_odd_values_among_numbers_are_told() -> None:
    file = write("typo.csv", "a,kind\n1,x\n2,x\noops,y\n")
    with pytest.warns(UserWarning, match=r"column 'a' of typo.csv is read as categories, since 1 .* as 'oops'"):
        assert read(file).columns[0].categories == ("1", "2", "oops")
    assert read(file, categorical=["a"]).columns[0].categories == ("1", "2", "oops")
