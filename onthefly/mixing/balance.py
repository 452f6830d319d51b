"""Balance: the share of each class in the delivered stream."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.classes import Classes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Balance(ABC):
    """How often each class is delivered, given how many real samples it has."""

    @abstractmethod
    def weights(self, real: Ints) -> Floats:
        """Numbers proportional to the share of each class.

        Args:
            real: ``int64[C]``, real samples of each class.

        Returns:
            ``float64[C]``, non-negative, not all zero; only their proportions count.
        """


@dataclass(frozen=True)
class Power(Balance):
    """Shares proportional to ``count ** exponent``: 1 is the natural balance, 0 the uniform one, between them a
    compromise.

    The square root (0.5) is what Mikolov et al. (2013) and Mahajan et al. (2018) sample by.

    Args:
        exponent: from 0 to 1.

    >>> Power(0.5).weights(np.array([100, 4]))
    array([10.,  2.])
    """

    exponent: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "exponent", float(self.exponent))
        if not 0 <= self.exponent <= 1:
            raise ValueError(f"Power: expected an exponent from 0 (uniform) to 1 (natural), found {self.exponent}")

    def weights(self, real: Ints) -> Floats:
        return np.asarray(real.astype(np.float64) ** self.exponent)

    def __str__(self) -> str:
        return {0.0: "the uniform balance", 1.0: "the natural balance"}.get(self.exponent, repr(self))


@dataclass(frozen=True)
class EffectiveNumber(Balance):
    """Shares that weigh every class as the class-balanced loss does (Cui et al., CVPR 2019).

    That loss divides each sample's weight by the effective number of its class, ``(1 - beta ** n) / (1 - beta)``, so a
    class weighs ``n`` over that. ``beta`` of 0 is the natural balance; towards 1 it becomes the uniform one.

    Args:
        beta: from 0 up to, but not including, 1; the paper uses 0.9 to 0.9999.

    >>> EffectiveNumber(0.9).weights(np.array([100, 1])).round(2)
    array([10.,  1.])
    """

    beta: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", float(self.beta))
        if not 0 <= self.beta < 1:
            raise ValueError(
                f"EffectiveNumber: expected 0 <= beta < 1, found {self.beta}; the paper uses 0.9 to 0.9999"
            )

    def weights(self, real: Ints) -> Floats:
        effective = (1 - self.beta ** real.astype(np.float64)) / (1 - self.beta)
        return np.divide(real, effective, out=np.zeros(len(real)), where=real > 0)


@dataclass(frozen=True)
class Shares(Balance):
    """Shares given class by class; they sum to 1."""

    shares: tuple[float, ...]

    def weights(self, real: Ints) -> Floats:
        return np.array(self.shares)


NAMED = {"natural": Power(1.0), "uniform": Power(0.0)}


def as_balance(balance: Any, classes: Classes) -> Balance:
    """The balance that a user means by ``"natural"``, ``"uniform"``, ``{class: share}`` or a ``Balance``.

    Raises:
        ValueError: for unknown names, and for shares that are negative or don't sum to 1.

    >>> as_balance({"cat": 0.25, "dog": 0.75}, Classes.of(("cat", "dog", "eel")))
    Shares(shares=(0.25, 0.75, 0.0))
    """
    if isinstance(balance, Balance):
        return balance
    if isinstance(balance, str) and balance in NAMED:
        return NAMED[balance]
    if isinstance(balance, Mapping):
        return _shares(balance, classes)
    raise ValueError(
        "balance: expected 'natural', 'uniform', {class: share}, Power(a) or EffectiveNumber(beta), found "
        f"{balance!r}"
    )


def _shares(balance: Mapping[Any, float], classes: Classes) -> Shares:
    shares = np.zeros(classes.count)
    given = {classes.number(key, "balance"): key for key in balance}
    if len(given) < len(balance):
        raise ValueError(f"balance: expected each class once, found {list(balance)} by number and by name; use one")
    for number, key in given.items():
        if not (isinstance(balance[key], Real) and balance[key] >= 0):
            raise ValueError(f"balance: expected shares of 0 or more, found {balance[key]!r} for class {key!r}")
        shares[number] = balance[key]
    if not abs(shares.sum() - 1) <= 1e-6:
        left_out = classes.listed(sorted(set(range(classes.count)) - given.keys()))
        hint = f"give {left_out} a share too" if left_out else "divide each by it"
        raise ValueError(f"balance: expected shares that sum to 1, found a sum of {shares.sum():g}; {hint}")
    return Shares(tuple((shares / shares.sum()).tolist()))
