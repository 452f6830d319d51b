"""Solvers: from noise to samples along the flow that a network describes, in a few steps.

Time is the share of noise in a sample: 1 at first, 0 at the end. At time t a sample is ``(1 - t) x + t e``, and its
velocity ``e - x``. All times are numbers that the host knows, so that nothing waits for the device.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]


def times(steps: int, begin: float = 1.0) -> list[float]:
    """Where each step begins, and 0, where the last one ends; of a whole way shortened to ``begin``, the last steps.

    >>> times(4)
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return [begin * (1 - step / steps) for step in range(steps + 1)]


def solve(
    velocity: Velocity, sample: Tensor, when: Sequence[float], solver: str, *, churn: float = 0.0, noise: Noise
) -> Tensor:
    """A noisy sample without its noise.

    Args:
        velocity: ``velocity(samples, time)``.
        sample: ``float32[N, ...]`` at the first of the times.
        when: times, falling to 0.
        solver: of ``SOLVERS``.
        churn: the share of a sample's noise that is other noise after every step.
        noise: ``noise(step)``, as much as a sample, where there is churn.

    >>> import torch
    >>> falling = lambda sample, time: sample  # as exp(time) does
    >>> solved = [solve(falling, torch.ones(1), times(8), one, noise=lambda _: torch.ones(1)) for one in SOLVERS]
    >>> [round(abs(float(one) - math.exp(-1)), 3) for one in solved]
    [0.024, 0.001, 0.001, 0.001]
    """
    mean_of, before = SOLVERS[solver], None
    for step, (begin, end) in enumerate(pairwise(when)):
        mean, before = mean_of(velocity, sample, begin, end, before)
        if churn and end:
            sample = _churned(sample, mean, begin, end, churn, noise(step))
        else:
            sample = sample + (end - begin) * mean
    return sample


def _churned(sample: Tensor, mean: Tensor, begin: float, end: float, churn: float, fresh: Tensor) -> Tensor:
    """The sample at the end of a step, a share of its noise being other noise."""
    clean, dirt = sample - begin * mean, sample + (1 - begin) * mean
    return (1 - end) * clean + end * (math.sqrt(1 - churn**2) * dirt + churn * fresh)


Step = tuple[Tensor, Tensor | None]  # the mean velocity over a step, and what the next one is to know of it


def _euler(velocity: Velocity, sample: Tensor, begin: float, end: float, before: Tensor | None) -> Step:  # noqa: ARG001
    return velocity(sample, begin), None


def _heun(velocity: Velocity, sample: Tensor, begin: float, end: float, before: Tensor | None) -> Step:  # noqa: ARG001
    first = velocity(sample, begin)
    return (first + velocity(sample + (end - begin) * first, end)) / 2, None


def _midpoint(velocity: Velocity, sample: Tensor, begin: float, end: float, before: Tensor | None) -> Step:  # noqa: ARG001
    middle = (begin + end) / 2
    return velocity(sample + (middle - begin) * velocity(sample, begin), middle), None


def _adams(velocity: Velocity, sample: Tensor, begin: float, end: float, before: Tensor | None) -> Step:  # noqa: ARG001
    """Adams and Bashforth's of two steps: 2nd order for one look at the network, where steps are alike."""
    now = velocity(sample, begin)
    return now if before is None else 1.5 * now - 0.5 * before, now


SOLVERS: dict[str, Callable[[Velocity, Tensor, float, float, Tensor | None], Step]] = {
    "euler": _euler,
    "heun": _heun,
    "midpoint": _midpoint,
    "adams": _adams,
}
