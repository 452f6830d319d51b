"""Attributes: which conditions a sample is made under, drawn from its key."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from onthefly.data.conditions import Category, Condition, Interval
from onthefly.generators.noise import philox

_WORDS = 1 << 32
_CONDITIONS = 1 << 31  # streams from here on; what else is drawn from a key has lower ones


class Attributes:
    """A distribution for each condition; every sample's are a function of its key.

    Args:
        conditions: what may be asked for.
        asked: by name: of an interval ``(low, high)`` inside it, or a number; of a category a value, a list of values,
            or ``{value: weight}``. What isn't asked for is anything there is, equally often.

    Raises:
        ValueError: for a condition that there isn't, or values outside of it.

    >>> conditions = {"speaker": Category(("anna", "ben")), "rotation": Interval(-30, 30)}
    >>> Attributes(conditions, {"speaker": "ben", "rotation": (0, 15)}).draw(torch.tensor([1, 2, 3]))
    tensor([[0.0000, 1.0000, 0.3032],
            [0.0000, 1.0000, 0.2729],
            [0.0000, 1.0000, 0.2452]])
    """

    def __init__(self, conditions: Mapping[str, Condition], asked: Mapping[str, Any] | None = None) -> None:
        asked = {} if asked is None else asked
        if not isinstance(asked, Mapping):
            raise ValueError(
                f"attributes: expected what samples are to be, by name, found {asked!r}; write "
                'attributes={"speaker": "anna"}'
            )
        unknown = sorted(asked.keys() - conditions.keys())
        if unknown:
            raise ValueError(
                f"attributes: expected {', '.join(conditions) or 'none: the generator has no conditions'}, found "
                f"{', '.join(unknown)}; leave it out"
            )
        self.conditions, self.asked = dict(conditions), dict(asked)
        self._draws = {name: _drawn(name, one, asked.get(name)) for name, one in conditions.items()}

    @property
    def size(self) -> int:
        """How many numbers they are."""
        return sum(one.size for one in self.conditions.values())

    def draw(self, keys: Tensor) -> Tensor:
        """What the samples of keys ``int64[N]`` are made under: ``float32[N, size]``, as networks take it."""
        drawn = [draw(philox(keys, 1, stream=_stream(name))[:, 0].contiguous()) for name, draw in self._draws.items()]
        return torch.cat(drawn, dim=1)


class _Among:
    """Rows of a table, each as often as its weight says."""

    def __init__(self, rows: Tensor, weights: Sequence[float]) -> None:
        shares = torch.tensor(weights, dtype=torch.float64)
        self.rows, self.ends = rows, (shares.cumsum(0) / shares.sum() * _WORDS).round().long()

    def __call__(self, words: Tensor) -> Tensor:
        chosen = torch.searchsorted(self.ends.to(words.device), words, right=True)
        return self.rows.to(words.device)[chosen.clamp(max=len(self.rows) - 1)]


class _Between:
    """Numbers between two, all alike."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, words: Tensor) -> Tensor:
        return (self.low + (self.high - self.low) / _WORDS * words.double()).float()[:, None]


def _stream(name: str) -> int:
    """One for each condition, so that generators which have it in common draw alike."""
    return zlib.crc32(name.encode()) | _CONDITIONS


def _drawn(name: str, condition: Condition, asked: Any) -> _Among | _Between:
    if isinstance(condition, Category):
        return _among(name, condition, asked)
    return _between(name, condition, asked)


def _among(name: str, condition: Category, asked: Any) -> _Among:
    if isinstance(asked, tuple):  # as of an interval, which one may take it for
        raise ValueError(
            f"attributes: expected {name} to be {condition}, or a list of several, found {asked!r}; write a list of "
            f"all that it may be: {list(asked)!r}"
        )
    weights = _weights(condition, asked)
    if not _are_weights(weights):
        raise ValueError(
            f"attributes: expected {name} to be a value, a list or {{value: weight}} with weights from 0 on, found "
            f"{asked!r}"
        )
    return _Among(condition.encode([value for value, _ in weights], f"attributes: {name}"), [one for _, one in weights])


def _weights(condition: Category, asked: Any) -> list[tuple[Any, Any]]:
    if isinstance(asked, Mapping):
        return list(asked.items())
    if isinstance(asked, list):
        return [(value, 1.0) for place, value in enumerate(asked) if value not in asked[:place]]
    return [(value, 1.0) for value in (condition.values if asked is None else [asked])]


def _are_weights(weights: Sequence[tuple[Any, Any]]) -> bool:
    numbers = [weight for _, weight in weights]
    return all(isinstance(one, (int, float)) and one >= 0 for one in numbers) and 0 < sum(numbers) < math.inf


def _between(name: str, condition: Interval, asked: Any) -> _Between:
    pair = (condition.low, condition.high) if asked is None else asked
    low, high = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (pair, pair)
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or low > high:
        raise ValueError(f"attributes: expected {name} to be (low, high) in {condition}, or a number, found {asked!r}")
    return _Between(*condition.encode([low, high], f"attributes: {name}")[:, 0].tolist())
