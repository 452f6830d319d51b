"""Spelled: balances and ratios as words, for a command line."""

from typing import Any

from onthefly.mixing.balance import NAMED, Balance, EffectiveNumber, Power
from onthefly.mixing.schedule import Constant, Cosine, Fill, Linear, Schedule

_BALANCES: dict[str, Any] = {"power": Power, "effective": EffectiveNumber}
_RATIOS: dict[str, Any] = {"fill": Fill, "linear": Linear, "cosine": Cosine}


def spelled_balance(text: str) -> Balance:
    """The balance that a word means, and a number after it.

    >>> spelled_balance("uniform"), spelled_balance("effective:0.99")
    (Power(exponent=0.0), EffectiveNumber(beta=0.99))
    """
    if text in NAMED:
        return NAMED[text]
    found: Balance | None = _made(text, _BALANCES)
    if found is None:
        raise ValueError(f"balance: expected natural, uniform, power:0.5 or effective:0.999, found {text!r}")
    return found


def spelled_ratio(text: str) -> Schedule:
    """The ratio that a number means, or a word and the numbers after it.

    >>> spelled_ratio("0.3"), spelled_ratio("fill"), spelled_ratio("cosine:1:0:0.8")
    (Constant(ratio=0.3), Fill(cap=0.5), Cosine(start=1.0, end=0.0, until=0.8))
    """
    found: Schedule | None = _made(f"constant:{text}", {"constant": Constant}) or _made(text, _RATIOS)
    if found is None:
        raise ValueError(
            "ratio: expected a number from 0 to 1, fill or fill:CAP, linear:START:END, or cosine:START:END or "
            f"cosine:START:END:UNTIL, found {text!r}"
        )
    return found


def _made(text: str, known: dict[str, Any]) -> Any:
    """What a word and its numbers make; None if it is none of them, or they aren't numbers or not as many."""
    word, *numbers = text.split(":")
    try:
        given = [float(number) for number in numbers]
    except ValueError:
        return None
    try:
        return known[word](*given)
    except (KeyError, TypeError):
        return None
