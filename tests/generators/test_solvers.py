"""Solvers: their order, and what churn does, on flows that are known exactly."""

import math

import pytest
import torch
from torch import Tensor

from onthefly.generators.solvers import SOLVERS, solve, times


def growing(sample: Tensor, time: float) -> Tensor:
    """Of exp(sin(3 t))."""
    return sample * 3 * math.cos(3 * time)


def none(step: int) -> Tensor:
    raise AssertionError("no noise was asked for")


def error(solver: str, steps: int) -> float:
    first = torch.tensor([math.exp(math.sin(3.0))], dtype=torch.float64)
    return abs(float(solve(growing, first, times(steps), solver, noise=none)) - 1)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2), ("adams", 2)])
def test_orders(solver: str, order: int) -> None:
    assert error(solver, 512) / error(solver, 1024) == pytest.approx(2**order, rel=0.15)


def test_times_end_at_nothing() -> None:
    assert times(1) == [1.0, 0.0]
    assert times(2, 0.5) == [0.5, 0.25, 0.0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_stays_as_much_under_churn(solver: str) -> None:
    """Of samples that are one point, all that is left of noise, old and new, is that point."""
    point = 0.7

    def velocity(sample: Tensor, time: float) -> Tensor:
        return (sample - point) / max(time, 1e-3)

    draw = torch.Generator().manual_seed(0)
    asked: list[int] = []

    def noise(step: int) -> Tensor:
        asked.append(step)
        return torch.randn(1000, generator=draw, dtype=torch.float64)

    first = torch.randn(1000, generator=draw, dtype=torch.float64)
    made = solve(velocity, first, times(4), solver, churn=0.6, noise=noise)
    assert asked == [0, 1, 2]
    if solver == "euler":  # exact along straight ways
        assert torch.allclose(made, torch.full_like(made, point), atol=1e-6)
    assert abs(made.mean() - point) < 0.1
