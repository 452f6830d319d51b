"""Nested structures."""

from collections import UserDict, defaultdict, namedtuple
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from onthefly.data.nested import change, change_at, outline, parts, places

Point = namedtuple("Point", "x y")
NESTED = {"a": (1, [2, 3]), "b": Point(4, UserDict(c=5)), "d": ["x", "y"]}


def test_every_part_has_a_place() -> None:
    assert dict(places(NESTED)) == {
        "['a'][0]": 1,
        "['a'][1][0]": 2,
        "['a'][1][1]": 3,
        "['b'][0]": 4,
        "['b'][1]['c']": 5,
        "['d']": ["x", "y"],
    }
    assert dict(places(7)) == {"": 7}


def test_containers_stay_what_they_are() -> None:
    changed = change(lambda part: part * 2, NESTED)
    assert changed == {"a": (2, [4, 6]), "b": Point(8, UserDict(c=10)), "d": ["x", "y", "x", "y"]}
    assert type(changed["b"]) is Point
    assert type(changed["b"].y) is UserDict
    assert NESTED["a"] == (1, [2, 3])
    assert type(change(str, defaultdict(list, a=1))) is defaultdict
    assert change(str, MappingProxyType({"a": 1})) == {"a": "1"}


def test_one_part_is_changed() -> None:
    assert change_at("['a'][1][0]", lambda part: part + 10, NESTED)["a"] == (1, [12, 3])


def test_what_moves_by_itself_is_one_part() -> None:
    packed = pack_sequence([torch.ones(3), torch.ones(2)])
    assert parts([packed, 1]) == [packed, 1]


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "c": 2}, [1, 2], 7])
def test_what_is_not_alike_is_shown(other: Any, refused: Any) -> None:
    refused(lambda: change(lambda one, two: one, {"a": 1, "b": 2}, other), "expected {'a': int, 'b': int}, found")


def test_an_outline() -> None:
    assert outline([torch.zeros(2, 3), Point("x", None)]) == "[float32[2, 3], (str, NoneType)]"
