"""Balance: from class counts to shares."""

from typing import Any

import numpy as np
import pytest

from onthefly.balance import EffectiveNumber, Power
from onthefly.mixing.balance import as_balance
from onthefly.mixing.classes import Classes

REAL = np.array([100, 25, 1, 0])
CLASSES = Classes.of(("a", "b", "c", "d"))


def shares(balance: Any) -> list[float]:
    weights = as_balance(balance, CLASSES).weights(REAL)
    return (weights / weights.sum()).round(6).tolist()


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ("natural", [100 / 126, 25 / 126, 1 / 126, 0]),
        ("uniform", [0.25] * 4),
        (Power(0.5), [10 / 16, 5 / 16, 1 / 16, 0]),
        (Power(1), [100 / 126, 25 / 126, 1 / 126, 0]),
        (EffectiveNumber(0), [100 / 126, 25 / 126, 1 / 126, 0]),
        ({"a": 0.5, 1: 0.5}, [0.5, 0.5, 0, 0]),
    ],
)
def test_shares(balance: Any, expected: list[float]) -> None:
    assert shares(balance) == pytest.approx(expected, abs=1e-6)


def test_effective_numbers_go_from_natural_to_uniform() -> None:
    largest = [shares(EffectiveNumber(beta))[0] for beta in (0.0, 0.9, 0.99, 0.9999)]
    assert largest == sorted(largest, reverse=True)
    assert largest[-1] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("make", [lambda: Power(1.5), lambda: Power(-1), lambda: EffectiveNumber(1.0)])
def test_bad_balances(make: Any, refused: Any) -> None:
    refused(make, "expected", "found")
