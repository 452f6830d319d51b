"""Conditions: values as numbers, and what isn't a value."""

from typing import Any

import numpy as np
import pytest
import torch

from onthefly.data.conditions import Category, Interval, condition_of, encoded, from_json


def test_values_show_the_condition() -> None:
    assert condition_of(["b", "a", "b"]) == Category(("a", "b"))
    assert condition_of([3, 1, 3]) == Category((1, 3))
    assert condition_of(np.array([0.5, -2.0])) == Interval(-2.0, 0.5)
    assert condition_of(torch.tensor([2, 0, 1])) == condition_of(list(torch.tensor([2, 0, 1]))) == Category((0, 1, 2))
    assert condition_of([1, 0.5]) == Interval(0.5, 1.0)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([None, "a"], "NoneType"),
        (["a", 1], "some of each"),
        ([[0.0, 1.0]] * 4, "found list"),
        (torch.rand(4, 2), "found list"),
        ([0.5, float("nan")], "found nan"),
        ([0.5, -float("inf")], "found -inf"),
        ([0.5, 0.5], "found 0.5 for every sample"),
        ("abab", "found str"),
        (3, "found int"),
    ],
)
def test_values_that_are_no_condition(values: Any, found: str, refused: Any) -> None:
    refused(lambda: condition_of(values, "speaker"), "conditions: expected speaker to be", found)


@pytest.mark.parametrize("condition", [Category(("a", "b")), Category((1, 3)), Interval(-2.0, 0.5)])
def test_plain_values_and_back(condition: Any) -> None:
    assert from_json(condition.to_json()) == condition


def test_all_conditions_side_by_side() -> None:
    known = {"speaker": Category(("anna", "ben")), "rotation": Interval(0.0, 2.0)}
    numbers = encoded(known, {"rotation": [2.0, 0.5], "speaker": ["ben", "anna"]})
    assert numbers is not None
    assert torch.equal(numbers, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, -0.5]]))
    assert encoded({}, {}) is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Category(("a", "b")).encode(["c"], "speaker"), ("speaker", "one of a, b", "c")),
        (lambda: Interval(0, 1).encode([0.5, 1.5], "rotation"), ("rotation", "[0, 1]", "1.5")),
        (lambda: Category((0, 1)).encode([[0]], "side"), ("side", "one of 0, 1", "[0]")),
        (lambda: Interval(0, 1).encode(["left"], "side"), ("side", "[0, 1]", "'left'")),
        (lambda: Interval(0, 1).encode([np.nan]), ("[0, 1]", "nan")),
        (lambda: Interval(1, 1), ("(low, high)", "(1, 1)")),
        (lambda: Interval(0, np.inf), ("finite", "inf")),
        (lambda: Category(()), ("distinct values",)),
        (lambda: Category(("a", "a")), ("distinct values",)),
        (lambda: encoded({"speaker": Category(("a",))}, {}), ("values of speaker", "none")),
        (lambda: encoded({}, {"speaker": ["a"]}), ("values of none", "speaker")),
    ],
)
def test_bad_input(call: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(call, "expected", "found", *words)
