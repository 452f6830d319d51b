"""A contender: something that delivers batches, and can be opened as often as it is to be measured."""

import copy
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch.utils.data import DataLoader

from onthefly.data.batches import size_of
from onthefly.loader import MixLoader

Open = Callable[[], Generator[Any]]


def _none() -> int:
    return 0


@dataclass
class Tally:
    """Synthetic samples, counted as they are delivered.

    >>> tally = Tally()
    >>> tally.add(3), tally.add(1.5), tally()
    (None, None, 4.5)
    """

    count: float = 0.0

    def add(self, count: float) -> None:
        """So many more."""
        self.count += count

    def __call__(self) -> float:
        return self.count


@dataclass(frozen=True)
class Contender:
    """Something that delivers batches.

    Attributes:
        name: short; what a user types to choose it.
        about: what it is, in a line.
        open: its batches without end, opened anew; closed, it leaves no worker behind.
        workers: processes that make batches, each one by itself: they come so many at once.
        ahead: batches that they make ahead, which are no measure of how fast they are.
        size: samples of a batch.
        synthetic: how many synthetic samples it has delivered, ever.
        made: how many its generator has made for that, ever.
    """

    name: str
    about: str
    open: Open
    workers: int = 0
    ahead: int = 0
    size: Callable[[Any], int] = size_of
    synthetic: Callable[[], float] = _none
    made: Callable[[], float] = _none


def endless(loader: Any, then: Callable[[Any], Any] | None = None) -> Open:
    """The batches of one pass after the other over a loader, each after ``then(batch)``.

    Every opening has workers of its own, which it takes with it when it is closed.
    """

    def batches() -> Generator[Any]:
        opened = copy.copy(loader) if isinstance(loader, DataLoader) else loader  # workers belong to the copy
        for _ in count():
            _stay_in_training(opened)
            nothing = True
            for batch in opened if isinstance(opened, Iterable) else opened():
                nothing = False
                yield batch if then is None else then(batch)
            if nothing:
                raise no_batch(loader)

    return batches


def no_batch(loader: Any) -> ValueError:
    """What to raise where a pass has nothing in it."""
    return ValueError(
        f"bench: expected at least one batch in a pass, found none in a {type(loader).__name__}; give it more samples "
        "than a batch has, or leave drop_last out"
    )


def of_loader(name: str, about: str, loader: Any, then: Callable[[Any], Any] | None = None, **more: Any) -> Contender:
    """The contender that goes through a loader, and does something to each batch."""
    workers = getattr(loader, "num_workers", 0)
    ahead = workers * (getattr(loader, "prefetch_factor", None) or 0)
    return Contender(name, about, endless(loader, then), workers, ahead, **more)


def _stay_in_training(loader: Any) -> None:
    """Beyond the last epoch there is no plan: that one is delivered again."""
    plan = None if not isinstance(loader, MixLoader) else loader.plan or loader.stream_plan
    if isinstance(loader, MixLoader) and plan is not None and plan.epochs is not None and loader.epoch >= plan.epochs:
        loader.set_epoch(plan.epochs - 1)
