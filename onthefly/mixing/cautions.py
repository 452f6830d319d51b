"""Cautions: what in a mix looks unintended, in words."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.classes import Classes
from onthefly.mixing.schedule import Census, Schedule
from onthefly.mixing.table import in_bytes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOMENTS = 101  # of training at which a ratio is looked at


def peak(schedule: Schedule, census: Census) -> Floats:
    """The highest ratio that a schedule asks for each class at any time, whatever scores say: ``float64[C]``."""
    each = np.arange(census.classes.count)
    moments = np.linspace(0, 1, _MOMENTS if schedule.changes else 1)
    asked = [schedule(np.full(len(each), progress), each, census) for progress in moments]
    return np.asarray(np.max(asked, axis=0))


def cautions(classes: Classes, real: Ints, synthetic: Ints, asked: Floats, makes: Bools, lasts: str) -> Iterator[str]:
    """What looks unintended in a training, a line each.

    Args:
        classes: the classes.
        real: ``int64[C]``, real samples delivered.
        synthetic: ``int64[C]``, synthetic samples delivered.
        asked: ``float64[C]``, the highest ratio that was asked for.
        makes: ``bool[C]``, which classes the generator can make.
        lasts: how long it is, in words.
    """
    seen, wanted = real + synthetic > 0, asked > 0
    # of an odd number of slots, half is one more synthetic than real
    most = synthetic - real > 1
    if most.any():
        highest = (synthetic[most] / (real + synthetic)[most]).max()
        yield (
            f"more synthetic than real: {_listed(classes, most)} (up to {highest:.0%}); make the ratio smaller, or "
            "give less to classes of few real samples with balance="
        )
    unmade = seen & wanted & ~makes
    if unmade.any():
        yield (
            f"the generator can't make {_listed(classes, unmade)}, for which a ratio of {_up_to(asked, unmade)} is "
            "asked: real samples only there; generator.relabel({...}) may help"
        )
    none = seen & wanted & makes & (synthetic == 0)
    if none.any():
        yield (
            f"no synthetic sample of {_listed(classes, none)} in {lasts}: a ratio of {_up_to(asked, none)} comes to "
            "less than one; make it larger, or train for longer"
        )
    for unseen, so in ((~seen & wanted, "; the ratio that is asked for them has no effect"), (~seen & ~wanted, "")):
        if unseen.any():
            yield (
                f"never delivered in {lasts}: {_listed(classes, unseen)}, to which the balance gives no slot{so}; give "
                "them more with balance="
            )


def none_wanted(wished: Schedule, asked: Floats) -> Iterator[str]:
    """Whether a ratio that asks for something comes to nothing."""
    if not wished.is_zero and not asked.any():
        yield "no synthetic sample at all: real samples are enough for every class; ask for some with ratio=0.3, say"


def no_room(remembered: int | None, cache_bytes: int) -> Iterator[str]:
    """Whether samples that are to be used again find no room until then."""
    if remembered is not None and remembered > cache_bytes:
        yield (
            f"reuse: the samples that are to be used again take {in_bytes(remembered)}, more than cache_bytes of "
            f"{in_bytes(cache_bytes)}: what finds no room is made again; pass "
            f"generator.reused(times, cache_bytes={remembered}), or make batches smaller"
        )


def _listed(classes: Classes, which: Bools) -> str:
    return classes.listed(np.flatnonzero(which))


def _up_to(asked: Floats, which: Bools) -> str:
    few, many = asked[which].min(), asked[which].max()
    return f"{many:.3g}" if few == many else f"up to {many:.3g}"
