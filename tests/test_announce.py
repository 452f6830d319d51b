"""What frameworks are told of an iteration; tests/frameworks has the real ones."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from onthefly.announce import Announcement


class State:
    """Accelerate's, as far as it is used."""

    def __init__(self) -> None:
        self.passes: list[Any] = []

    def _add_dataloader(self, one: Any) -> None:
        self.passes.append(one)

    def _remove_dataloader(self, one: Any) -> None:
        self.passes = [other for other in self.passes if other is not one]


def in_use(monkeypatch: pytest.MonkeyPatch, initialized: bool) -> State:
    state = State()
    module = SimpleNamespace(GradientState=lambda: state, is_initialized=lambda: initialized)
    monkeypatch.setitem(sys.modules, "accelerate.state", module)
    return state


def test_the_latest_pass_that_handed_out_a_batch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    state, (outer, inner) = in_use(monkeypatch, True), (Announcement(), Announcement())
    outer.handed_out(lambda: False)
    inner.handed_out(lambda: True)
    assert state.passes == [outer, inner]
    assert [one.end_of_dataloader for one in state.passes] == [False, True]
    outer.handed_out(lambda: True)
    assert state.passes == [inner, outer]
    inner.over()
    outer.over()
    assert state.passes == []


def test_nothing_is_told_to_what_is_not_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_asks() -> bool:
        raise AssertionError

    state = in_use(monkeypatch, False)
    Announcement().handed_out(nobody_asks)
    assert state.passes == []
    monkeypatch.delitem(sys.modules, "accelerate.state")
    Announcement().handed_out(nobody_asks)
    assert "accelerate.state" not in sys.modules
