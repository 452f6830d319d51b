"""Classes by number and by name."""

from typing import Any

import numpy as np
import pytest

from onthefly.mixing.classes import Classes


def test_a_class_is_known_by_number_and_by_name() -> None:
    classes = Classes.of(["cat", "dog"])
    assert [classes.number(key) for key in ("cat", "dog", 0, np.int64(1))] == [0, 1, 0, 1]
    assert [Classes.of(3).name(number) for number in range(3)] == ["0", "1", "2"]
    assert Classes.of(classes) is classes
    assert len(classes) == 2


@pytest.mark.parametrize("key", ["eel", 2, -1, 0.5, None])
def test_unknown_classes_are_refused_with_those_there_are(key: Any, refused: Any) -> None:
    refused(lambda: Classes.of(["cat", "dog"]).number(key, "balance"), "balance", repr(key), "cat, dog")


@pytest.mark.parametrize("classes", [0, [], ("a", "b", "a")])
def test_bad_classes(classes: Any, refused: Any) -> None:
    refused(lambda: Classes.of(classes), "classes", "expected", "found")
