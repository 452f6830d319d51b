"""Columns: what a table's numbers stand for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from onthefly.data.columns import Column


@pytest.mark.parametrize("column", [Column("age", "integer"), Column("colour", "categorical", ("blue", "red"))])
def test_a_column_survives_its_card(column: Column) -> None:
    assert Column.from_json(json.loads(json.dumps(column.to_json()))) == column


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("age", "real"), ("column 'age'", "expected kind numeric, integer, categorical", "found 'real'")),
        (("age", "numeric", ("a",)), ("column 'age'", "found 1 of kind 'numeric'")),
        (("colour", "categorical"), ("column 'colour'", "found 0", "Column('colour', 'categorical', (...))")),
        (("colour", "categorical", ("red", "red")), ("column 'colour'", "distinct categories", "found red")),
    ],
)
def test_what_makes_no_sense_is_refused(given: Any, words: Any, refused: Callable[..., Any]) -> None:
    refused(lambda: Column(*given), *words)
