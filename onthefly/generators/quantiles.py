"""Quantiles: numbers of any distribution to standard normal ones, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.special import ndtr, ndtri

_BETWEEN = 0.25  # standard deviations between two quantiles that are kept
_OFTEN = 0.005  # share of the numbers from which one of them is kept exactly
_FEW = 64  # distinct numbers, each there twice or more: all are kept exactly
_FARTHEST = 5.0  # standard deviations, from which on nothing is distinguished
_NEAREST = 1e-12  # two points may be in one place: of millions of numbers the last two are, at the farthest


class Quantiles:
    """The quantile function of some numbers as a line through at most a few hundred points: what is found there often
    is a level stretch of it, and comes back exactly; between others it is straight.

    So heavy tails become normal ones, nothing comes back that is beyond the numbers seen, and a number that is there
    half of the time comes back half of the time.

    Args:
        normal: standard normal quantiles, never decreasing.
        values: the number at each, never decreasing.

    >>> often = Quantiles.fit(np.array([0, 0, 0, 0, 1, 2, 4, 8], np.float32))
    >>> often.decode(torch.tensor([-3.0, -0.1, 1.0, 9.0]))
    tensor([0.0000, 0.0000, 4.6977, 8.0000], dtype=torch.float64)
    >>> often.decode(often.encode(torch.tensor([0.0, 4.0]))).float()
    tensor([0., 4.])
    """

    def __init__(self, normal: Sequence[float], values: Sequence[float]) -> None:
        self.normal = torch.tensor(normal, dtype=torch.float64)
        self.values = torch.tensor(values, dtype=torch.float32).double()  # those that were seen, to the bit

    @classmethod
    def fit(cls, values: NDArray[np.float32]) -> Self:
        """To at least one number, all finite."""
        distinct, counts = np.unique(values, return_counts=True)
        ends, total = counts.cumsum(), len(values)
        often = counts >= max(2, _OFTEN * total)
        if len(distinct) <= _FEW and 2 * len(distinct) <= total:
            often[:] = True
        ordered = np.sort(values)
        points: list[tuple[float, np.float32]] = []
        cuts = np.flatnonzero(np.diff(often, prepend=~often[0]) | often | np.roll(often, 1))
        for cut, after in zip(cuts, [*cuts[1:], len(distinct)], strict=True):
            begin, end = ends[cut] - counts[cut], ends[after - 1]
            ranks = _kept(begin, end, total) if not often[cut] else np.empty(0, np.int64)
            normal = [_normal(begin / total), *_normal((ranks + 0.5) / total), _normal(end / total)]
            points += zip(normal, [distinct[cut], *ordered[ranks], distinct[after - 1]], strict=True)
        return cls([round(float(one), 6) for one, _ in points], [float(one) for _, one in points])

    def encode(self, values: Tensor) -> Tensor:
        """``[N]`` numbers to ``float64[N]``; one that was there often to the middle of its share, and one that is
        beyond those seen to the end."""
        normal, seen = self.normal.to(values.device), self.values.to(values.device)
        values = values.double().clamp(seen[0], seen[-1]).contiguous()
        first, after = (torch.searchsorted(seen, values, right=right) for right in (False, True))
        last = torch.where(after > first, after - 1, first)
        middle = ndtri((ndtr(normal[first]) + ndtr(normal[last])) / 2)
        before = (first - 1).clamp(min=0)
        share = (values - seen[before]) / (seen[first] - seen[before]).clamp(min=1e-300)
        return torch.where(after > first, middle, normal[before].lerp(normal[first], share))

    def decode(self, encoded: Tensor) -> Tensor:
        """``[N]`` standard normal numbers to ``float64[N]`` within those seen."""
        encoded = encoded.double().clamp(-_FARTHEST, _FARTHEST)
        (before, after), (low, high) = self._around(encoded)
        return low.lerp(high, (encoded - before) / (after - before).clamp(min=_NEAREST))

    def jitter(self, encoded: Tensor) -> Tensor:
        """Anything in the share of a number that was there often, drawn from torch's global generator."""
        (before, after), (low, high) = self._around(encoded.double())
        uniform = torch.rand_like(before)
        drawn = ndtri(ndtr(before).lerp(ndtr(after), uniform))
        return torch.where(low == high, drawn, encoded.double())

    def _around(self, encoded: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The points on both sides: where they are, and their numbers."""
        normal, seen = self.normal.to(encoded.device), self.values.to(encoded.device)
        after = torch.searchsorted(normal, encoded.contiguous(), right=True).clamp(1, len(normal) - 1)
        return (normal[after - 1], normal[after]), (seen[after - 1], seen[after])

    def to_json(self) -> dict[str, Any]:
        """As plain lists."""
        return {
            "normal": self.normal.tolist(),
            "values": [float(str(one)) for one in self.values.numpy().astype(np.float32)],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(data["normal"], data["values"])


def _kept(begin: int, end: int, total: int) -> NDArray[np.int64]:
    """Which ranks from ``begin`` on and before ``end`` are kept: the first, the last, and some between, evenly as the
    normal distribution has it."""
    first, last = _normal((np.array([begin, end - 1]) + 0.5) / total)
    normal = torch.linspace(first, last, 2 + int((last - first) / _BETWEEN), dtype=torch.float64)
    ranks = (ndtr(normal).numpy() * total - 0.5).round().astype(np.int64)
    return np.unique(ranks.clip(begin, end - 1))


def _normal(share: Any) -> Any:
    found = ndtri(torch.as_tensor(share, dtype=torch.float64))
    return found.clamp(-_FARTHEST, _FARTHEST).numpy()
