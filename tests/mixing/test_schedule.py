"""Schedules."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from onthefly.mixing.classes import Classes
from onthefly.mixing.schedule import Census, Constant, as_schedule
from onthefly.schedule import Cosine, Fill, Linear, Schedule, Steps

CENSUS = Census(Classes.of(("cat", "dog", "eel")), real=np.array([100, 50, 0]), slots=np.array([50.0, 100.0, 50.0]))
CLOCK = np.linspace(0, 1, 11)


def over_training(schedule: Schedule, label: int = 0) -> list[float]:
    return schedule(CLOCK, np.full(11, label), CENSUS).round(6).tolist()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.25), [0.25] * 11),
        (Linear(0, 0.5), [0.05 * i for i in range(11)]),
        (Cosine(1, 0), [(1 + np.cos(np.pi * i / 10)) / 2 for i in range(11)]),
        (Cosine(1, 0.5, until=0.2), [1, 0.75] + [0.5] * 9),
        (Steps({0.0: 0.5, 0.75: 0.1}), [0.5] * 8 + [0.1] * 3),
        (Steps({0.45: 1.0}), [0] * 5 + [1] * 6),
        (Linear(0, 1) * 0.5, [0.05 * i for i in range(11)]),
        (0.5 * Linear(0, 1), [0.05 * i for i in range(11)]),
        (Linear(0, 1) * Linear(1, 0), [0.1 * i * (1 - 0.1 * i) for i in range(11)]),
        (Linear(0, 1).then(0.25, at=0.5), [0, 0.1, 0.2, 0.3, 0.4] + [0.25] * 6),
        (Constant(1).then(Linear(0, 1), at=0.5), [1] * 5 + [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ],
)
def test_values_over_training(schedule: Schedule, expected: list[float]) -> None:
    assert over_training(schedule) == pytest.approx(expected, abs=1e-6)


def test_fill_is_what_real_data_cannot_supply() -> None:
    each = np.arange(3)
    assert Fill(cap=0.9)(np.zeros(3), each, CENSUS).tolist() == [0, 0.5, 0.9]
    assert Fill(cap=0.3)(np.zeros(3), each, CENSUS).tolist() == [0, 0.3, 0.3]
    assert Fill(cap=1.0)(np.zeros(3), each, CENSUS).tolist() == [0, 0.5, 1]


def test_a_schedule_for_each_class_and_nothing_for_the_others() -> None:
    schedule = as_schedule({"dog": 0.5, 2: Linear(0, 1)})
    ratio = schedule(np.array([0.5, 0.5, 0.5, 1.0]), np.array([0, 1, 2, 2]), CENSUS)
    assert ratio.tolist() == [0, 0.5, 0.5, 1]


@pytest.mark.parametrize(
    ("schedule", "changes"),
    [
        (0.5, False),
        (Fill(), False),
        (Linear(0.2, 0.2), False),
        (Steps({0.0: 0.3}), False),
        (Steps({0.1: 0.3}), True),
        (Fill() * Linear(0, 1), True),
        ({0: 0.5, 1: Cosine(1, 0)}, True),
        ({0: 0.5}, False),
        (Constant(0).then(1, at=0.5), True),
    ],
)
def test_whether_it_changes(schedule: Any, changes: bool) -> None:
    assert as_schedule(schedule).changes is changes


def test_equal_schedules_are_equal_and_show_what_they_are() -> None:
    assert as_schedule({"a": Fill(0.5) * 0.5}) == as_schedule({"a": Fill(0.5) * 0.5})
    assert repr(Fill(0.5) * Cosine(1, 0, until=0.9)) == (
        "Product(left=Fill(cap=0.5), right=Cosine(start=1.0, end=0.0, until=0.9))"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fill(cap=2), ("Fill", "2")),
        (lambda: Linear(-0.1, 1), ("Linear", "-0.1")),
        (lambda: Cosine(0, 1, until=0), ("until", "0")),
        (lambda: Steps({}), ("Steps", "{}", "write Steps(")),
        (lambda: Steps([(0, 0.5)]), ("Steps", "[(0, 0.5)]", "write Steps(")),  # type: ignore[arg-type]
        (lambda: Linear("0", 1), ("Linear", "'0'")),  # type: ignore[arg-type]
        (lambda: as_schedule(True), ("ratio", "True")),
        (lambda: Steps({30: 0.5}), ("Steps", "30", "not an epoch")),
        (lambda: Steps({0.5: 1.5}), ("Steps", "1.5")),
        (lambda: Fill().then(0.5, at=2), ("at", "2")),
        (lambda: Fill() * 3, ("ratio", "3")),
        (lambda: as_schedule([0.5]), ("ratio", "[0.5]")),
    ],
)
def test_bad_schedules(make: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(make, *words)


def test_a_schedule_that_leaves_zero_to_one_is_refused_where_it_does(refused: Any) -> None:
    class Wrong(Schedule):
        changes = False

        def __call__(self, progress: Any, label: Any, census: Any) -> Any:
            return np.full(len(label), 1.2)

    from onthefly import MixPlan

    refused(lambda: MixPlan([0, 1], batch_size=1, balance="uniform", ratio=Wrong()), "ratio", "1.2", "Wrong")


@pytest.mark.parametrize(
    ("zero", "other"),
    [
        (as_schedule(0), as_schedule(0.1)),
        (Fill(0), Fill(0.1)),
        (Linear(0, 0), Linear(0, 0.1)),
        (Cosine(0, 0), Cosine(0.1, 0)),
        (Steps({0.0: 0, 0.5: 0}), Steps({0.5: 0.1})),
        (0 * Fill(), Fill() * Fill()),
        (Fill(0).then(0, at=0.5), Fill(0).then(0.1, at=0.5)),
        (as_schedule({0: 0, "a": Fill(0)}), as_schedule({0: 0, "a": Fill()})),
        (as_schedule({}), as_schedule({1: 1})),
    ],
)
def test_which_schedules_are_certain_to_be_zero(zero: Schedule, other: Schedule) -> None:
    assert zero.is_zero
    assert not other.is_zero


def test_a_schedule_that_cannot_be_hashed_may_serve_a_class() -> None:
    @dataclass
    class Mine(Schedule):
        ratio: float

        def __call__(self, progress: Any, label: Any, census: Any) -> Any:
            return np.full(len(label), self.ratio)

        changes = False

    census = Census(Classes.of(("a", "b")), np.ones(2, np.int64), np.ones(2))
    with pytest.raises(ValueError, match=r"ratio: expected each class once, found 0"):
        as_schedule({"a": 0.5, 0: 0.1})(np.zeros(1), np.zeros(1, np.int64), census)
    ratio = as_schedule({0: Mine(0.25), 1: Mine(0.5)})
    assert ratio(np.zeros(3), np.array([0, 1, 0]), census).tolist() == [0.25, 0.5, 0.25]
