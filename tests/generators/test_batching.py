"""The batch size that makes samples fastest: what is tried, and what is remembered."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from onthefly.data.spec import Spec
from onthefly.generators import FrozenGenerator, batching
from onthefly.generators.batching import best_batch_size
from onthefly.generators.combined import CombinedGenerator
from onthefly.testing import CountingGenerator
from tests.laws import _random_states

CPU = torch.device("cpu")


class Measured(CountingGenerator):
    """Counts, and lets itself be measured."""

    batch_size = None


def measured() -> Measured:
    return Measured((1, 4, 4), 2)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], float]], list[int]]:
    """Lets a forward of n samples take as many seconds as a function says, and notes n."""

    def cost(seconds: Callable[[int], float]) -> list[int]:
        asked: list[int] = []

        def forward(generator: FrozenGenerator, size: int, device: torch.device) -> float:
            asked.append(size)
            return seconds(size)

        monkeypatch.setattr(batching, "_forward", forward)
        return asked

    return cost


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (lambda size: 1e-3 + 1e-6 * size, 1024),  # the more the better
        (lambda size: 1e-6 * max(size, 100), 128),  # full at 100
        (lambda size: 1e-4 * size, 8),  # no gain
        (lambda size: 0.06 + 0.004 * size, 64),  # a quarter of a second is long enough
        (lambda size: 1.0, 8),
        (lambda size: 10.0, 8),
    ],
)
def test_it_doubles_while_that_pays(seconds: Callable[[int], float], expected: int, costs: Any) -> None:
    costs(seconds)
    assert best_batch_size(measured(), CPU) == expected


@pytest.mark.parametrize(("seconds", "forwards"), [(1.0, 2), (10.0, 1)])
def test_a_slow_generator_is_asked_once_or_twice(seconds: float, forwards: int, costs: Any) -> None:
    asked = costs(lambda size: seconds)
    assert best_batch_size(measured(), CPU) == 8
    assert len(asked) == forwards


def test_a_slow_beginning_is_not_a_slow_generator(costs: Any) -> None:
    first = iter([1.0])
    costs(lambda size: next(first, 1e-3 + 1e-6 * size))
    assert best_batch_size(measured(), CPU) == 1024


@pytest.mark.parametrize(("room", "expected"), [(1024, 1024), (100, 64), (8, 8), (3, 2), (1, 1)])
def test_memory_that_runs_out_halves(room: int, expected: int, costs: Any) -> None:
    def seconds(size: int) -> float:
        if size > room:
            raise torch.OutOfMemoryError
        return 1e-3

    costs(seconds)
    assert best_batch_size(measured(), CPU) == expected


def test_a_fault_is_not_told_here(costs: Any) -> None:
    def seconds(size: int) -> float:
        if size > 16:
            raise RuntimeError("on purpose")
        return 1e-3

    costs(seconds)
    assert best_batch_size(measured(), CPU) == 16


def test_it_is_measured_once_for_all_copies_and_all_around_it() -> None:
    made = measured()
    again = made.reused(3).map(lambda image, label: image).relabel({0: 1, 1: 0})
    size = best_batch_size(again, CPU)
    calls = made.reused(1), made.calls
    assert size is not None
    assert size >= 8
    assert size == best_batch_size(made, CPU) == best_batch_size(made.to("cpu").map(lambda x, y: x).reused(2), CPU)
    assert calls[0].measured is made.measured == {CPU: size}
    assert made.calls == calls[1]


def test_one_that_counts_says_its_size_itself() -> None:
    made = CountingGenerator((1, 4, 4), 2)
    assert best_batch_size(made.map(lambda image, label: image), CPU) == 256
    assert made.calls == 0


def test_of_several_generators_the_smallest() -> None:
    few, many = (CountingGenerator((1, 4, 4), 1) for _ in range(2))
    few.batch_size = 16
    assert best_batch_size(CombinedGenerator({0: few, 1: many}, 2), CPU) == 16


def test_one_that_wants_sources_cannot_be_measured() -> None:
    made = measured()
    made.wants_source = True
    assert best_batch_size(made, CPU) is None
    assert best_batch_size(CombinedGenerator({0: made, 1: CountingGenerator((1, 4, 4), 1)}, 2), CPU) == 256
    assert made.calls == 0


def test_only_classes_that_can_be_made_and_no_random_state_and_no_gradient() -> None:
    class Drawing(FrozenGenerator):
        spec = Spec.image((1, 4, 4), 3)
        makes = torch.tensor([False, True, False]).numpy()

        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            assert set(labels.tolist()) == {1}
            assert not torch.is_grad_enabled()
            return torch.rand(len(keys), 1, 4, 4)

    before = _random_states()
    assert best_batch_size(Drawing(), CPU)
    assert before == _random_states()


def test_it_takes_about_a_second_at_most() -> None:
    made = measured()
    best_batch_size(made, CPU)
    assert made.samples < 6 * 1024 * 4
