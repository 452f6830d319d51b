"""The parts of a mix, each by itself: fetching, generation, augmentation; what the bound is made of."""

from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from onthefly.data.batches import size_of
from onthefly.evidence.bound import NOTHING, Bound, Part
from onthefly.evidence.contender import Contender, of_loader
from onthefly.evidence.subject import Subject
from onthefly.evidence.timing import Round
from onthefly.mixing.table import in_words
from onthefly.wrapping import arguments_of

_MOST = 2048  # samples in one forward


def fetching(subject: Subject, name: str, ratio: float | None) -> Contender:
    """The host half of a mix with its workers, whose batches keep their synthetic slots empty."""
    about = f"{name}: its real samples, loaded and collated"
    mixed = subject.mixed(ratio)
    if mixed.plan is None:
        return of_loader(f"fetch, {name}", about, subject.plain())
    given = arguments_of(mixed) | {"shuffle": None, "sampler": mixed.sampler, "collate_fn": mixed.collate_fn}
    host = DataLoader(**given | {"dataset": mixed.dataset})
    return of_loader(f"fetch, {name}", about, host, size=lambda batch: len(batch.slots.label))


def generation(subject: Subject, count: int, seconds: float) -> Contender:
    """The generator alone, in batches of the size that it is best at, from the ``count`` that a batch needs upwards."""
    rng = np.random.default_rng(0)
    best = _best(lambda size: _take(subject, lambda: subject.generate(size, rng)), count, seconds)

    def batches() -> Generator[Any]:
        while True:
            yield subject.generate(best, rng)

    return Contender(
        "generation", f"the generator alone, {in_words(best, 'sample')} at once", batches, size=lambda _: best
    )


def augmentation(subject: Subject, share: float) -> Contender:
    """The augmentation alone, of one batch again and again."""
    change = subject.change(subject.augment)
    batch, size = subject.first, size_of(subject.first)
    is_synthetic = None
    if subject.generator is not None:
        is_synthetic = torch.arange(size) < round(size * share)

    def batches() -> Generator[Any]:
        while True:
            with torch.no_grad():
                yield change(batch, is_synthetic)

    return Contender(
        "augmentation", f"the augmentation alone, of {in_words(size, 'sample')}", batches, size=lambda _: size
    )


def bound_of(
    mix: Round, fetch: Round, generate: Round | None, augment: Round | None, *, cores: int | None, beside: bool = True
) -> Bound:
    """The bound of a batch of a mix, from rounds of its parts; ``cores`` and ``beside`` as ``Bound`` has them.

    >>> mix = Round(batches=10, samples=640, made=160, seconds=1.0, waiting=1.0, cpu=2.0, memory=0)
    >>> half = Round(batches=20, samples=1280, made=0, seconds=1.0, waiting=1.0, cpu=1.5, memory=0)
    >>> bound = bound_of(mix, half, half, None, cores=2)
    >>> bound.fetch.seconds, bound.generate.seconds, bound.generate.cpu
    (0.05, 0.0125, 0.01875)
    """
    rows, made = mix.samples / mix.batches, mix.made / mix.batches
    return Bound(_part(fetch, rows), _part(generate, made), _part(augment, rows), cores, beside)


def _part(taken: Round | None, samples: float) -> Part:
    if taken is None:
        return NOTHING
    return Part(taken.seconds / taken.samples * samples, taken.cpu / taken.samples * samples)


def _best(take: Callable[[int], float], count: int, seconds: float) -> int:
    """The size with the most samples a second: doubled as long as one call stays in the time given."""
    best, rate, size = count, 0.0, count
    slow = take(count) > seconds  # the first call of all may have to get ready, but not for long
    while size <= _MOST and not slow:
        taken = take(size)
        if size / taken > rate:
            best, rate = size, size / taken
        if taken * 2 > seconds:
            break
        size *= 2
    return best


def _take(subject: Subject, call: Callable[[], Any]) -> float:
    def wait() -> None:
        if subject.device.type == "cuda":
            torch.cuda.synchronize(subject.device)

    wait()
    begin = perf_counter()
    call()
    wait()
    return perf_counter() - begin
