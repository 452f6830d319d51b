"""Where a pass begins."""

from typing import Any

import pytest

from onthefly.data.position import Position


def test_a_pass_without_a_batch_does_not_count() -> None:
    position = Position()
    for _ in range(3):
        position.aim(*position.next_pass())
    assert position.next_pass() == (0, 0)


def test_the_next_pass_is_the_next_epoch_however_the_last_one_ended() -> None:
    position = Position()
    position.handed_out(0, 2)
    assert position.next_pass() == (1, 0)
    assert position.reached() == (0, 2)


def test_an_epoch_that_is_asked_for_wins() -> None:
    position = Position()
    position.handed_out(0, 2)
    position.go_to(7)
    assert position.next_pass() == position.reached() == (7, 0)
    position.handed_out(0, 3)  # the old pass goes on for a while
    assert position.next_pass() == (7, 0)
    position.aim(*position.next_pass())
    position.handed_out(7, 1)
    assert position.next_pass() == (8, 0)


def test_asking_for_the_same_epoch_again_begins_it_again() -> None:
    position = Position()
    position.handed_out(4, 2)
    position.go_to(4)
    assert position.next_pass() == (4, 0)


def test_asking_for_the_epoch_just_loaded_keeps_the_step() -> None:
    position = Position()
    position.aim(4, 2)
    position.go_to(4)
    assert position.next_pass() == (4, 2)
    position.go_to(5)
    assert position.next_pass() == (5, 0)


def test_a_loaded_state_is_where_the_next_pass_begins() -> None:
    position = Position()
    position.handed_out(0, 1)
    position.resume(4, 2)
    assert position.loaded
    assert position.next_pass() == position.reached() == (4, 2)
    position.handed_out(4, 3)
    assert not position.loaded


@pytest.mark.parametrize(("epoch", "error"), [(-1, ValueError), ("2", TypeError), (0.5, TypeError)])
def test_an_epoch_is_a_whole_number(epoch: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Position().go_to(epoch)
