"""Keyed noise against torch.randn, which knows no keys: the least that noise could cost."""

from typing import Any

import pytest
import torch

from benchmarks.conftest import Versus
from onthefly.generators.noise import normal

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPES = [(256, 3 * 32 * 32), (4096, 64), (64, 64)]
THREADS = [1, 2] if DEVICE.type == "cpu" else [torch.get_num_threads()]
NUMBERS = 2_000_000  # in a round, so that a round is long enough to be timed


@pytest.fixture(params=THREADS)
def threads(request: Any) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def repeated(call: Any, shape: tuple[int, int]) -> Any:
    """As many calls as a round has, over when they return."""

    def run() -> None:
        for _ in range(max(1, min(200, NUMBERS // (shape[0] * shape[1])))):
            call()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal(versus: Versus, shape: tuple[int, int], threads: int) -> None:
    keys = torch.arange(shape[0], device=DEVICE) * 2**40
    versus(
        repeated(lambda: normal(keys, shape[1:]), shape),
        repeated(lambda: torch.randn(shape, device=DEVICE), shape),
        rounds=15,
        group=f"{shape[0]} keys x {shape[1]} numbers, {threads} threads",
        name="keyed noise",
        against="torch.randn",
    )
