"""Expected: about what a stream will deliver, if what comes is what its counts say."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.explain import Explanation, cautioned, lasting
from onthefly.mixing.reuse import Reuse
from onthefly.mixing.schedule import Schedule
from onthefly.mixing.table import in_words

if TYPE_CHECKING:
    from onthefly.mixing.stream import StreamPlan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOMENTS = 100  # of an epoch at which the ratio is looked at
_HALVINGS = 60


def expected(plan: "StreamPlan", wished: Schedule | None = None, makes: Bools | None = None) -> Explanation:
    """About what a stream will deliver, were its batches all alike.

    Args:
        plan: of the stream; of one epoch if it doesn't know how long training is.
        wished: the ratio as it was asked for, if the plan's is without the classes that the generator can't make.
        makes: ``bool[C]``, which these are not; None if it can make all.

    Raises:
        ValueError: if the plan has no counts.
    """
    if plan.counts is None:
        raise ValueError(
            "explain: expected a stream whose counts are known, found counts=None: what it delivers shows only as its "
            "batches come; pass counts={class: real samples of a pass} to wrap, or look at loader.stats() after one"
        )
    epochs, counts = plan.epochs or 1, plan.counts
    wanted = counts if plan.natural or plan.top_up else plan.shares * counts.sum()
    made = np.array([wanted * _rate(plan, counts, epoch) for epoch in range(epochs)])
    kept = [counts if plan.top_up else _kept(counts, wanted - some, counts.sum() - some.sum()) for some in made]
    real, synthetic = _rounded(np.array(kept)), _rounded(made)
    size = -(-int(counts.sum()) // plan.length) if plan.length else 1
    window = Reuse.apart(plan.times, np.full(len(counts), size))
    before = np.cumsum(synthetic, axis=0)
    fresh = np.diff([window.distinct(so_far) for so_far in before], axis=0, prepend=0)
    batches = f" in {in_words(plan.length, 'batch', 'batches')}" if plan.length else ""
    about = f"expected: {lasting(plan.epochs)} of a stream of {counts.sum()} real samples{batches}"
    found = Explanation(about, plan.classes, counts, real, synthetic, np.asarray(fresh, np.int64))
    return cautioned(found, plan.schedule if wished is None else wished, plan.census, makes)


def _rate(plan: "StreamPlan", counts: Ints, epoch: int) -> Floats:
    """The synthetic samples that each slot of an epoch earns its class, on average: ``float64[C]``."""
    steps = plan.length if plan.length and plan.schedule.changes else 1
    moments = np.linspace(0, steps - 1, min(steps, _MOMENTS)).astype(int)
    return np.asarray(np.mean([plan.rate(counts, epoch, step) for step in moments.tolist()], axis=0))


def _kept(came: Ints, wanted: Floats, many: float) -> Floats:
    """How many rows of each class stay: those wanted, and where a class has too few, equally many more of the others
    until there are enough."""
    low, high = 0.0, float(came.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(came, wanted + middle).sum() < many else (low, middle)
    return np.minimum(came, wanted + high)


def _rounded(counts: Floats) -> Ints:
    """Whole numbers for every epoch whose sums over epochs are within 1 of the counts'."""
    return np.asarray(np.diff(np.rint(np.cumsum(counts, axis=0)), axis=0, prepend=0), np.int64)
