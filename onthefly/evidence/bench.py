"""bench: how fast a loader is, beside what else its user could do, measured in one run."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm.auto import tqdm

from onthefly.data.hermetic import hermetic
from onthefly.evidence.contender import Contender, of_loader
from onthefly.evidence.contenders import RATIOS, at, contenders_of
from onthefly.evidence.machine import machine_of
from onthefly.evidence.parts import augmentation, fetching, generation
from onthefly.evidence.result import Bench, Row
from onthefly.evidence.subject import Subject
from onthefly.evidence.timing import Round, Step, StepError, timed
from onthefly.evidence.usage import memory_in_words
from onthefly.extras import require
from onthefly.mixing.given import at_least_one

Making = Callable[[], Contender | str]


def bench(
    loader: Any,
    *,
    step: Step | None = None,
    seconds: float = 1.0,
    rounds: int = 3,
    share: float = 0.25,
    contenders: Iterable[str] | None = None,
    beside: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Bench:
    """Measure a loader beside the alternatives to it: samples a second, ms a batch, waiting, memory, and how near it is
    to what the machine can do.

    Contenders take turns in short rounds, so that a machine that slows down slows all, and ratios are those of rounds
    beside each other. They are copies: the loader itself, its place in training, its counts and all random states stay
    as they are. Of batches that no ``DataLoader`` makes there is no copy: passes over them are begun and left.

    Args:
        loader: what ``wrap`` returned; or a ``DataLoader`` or a stream that nobody has wrapped, beside which it is
            wrapped with nothing to mix.
        step: ``step(batch)``, your training step, run on every batch; with it, waiting is told: the share of the time
            that goes by in ``next()``. It trains what it trains.
        seconds: of one round of one contender. What takes longer for a batch is measured once, and the table says so.
        rounds: how many.
        share: of synthetic samples in the alternatives, and in the mix that they are compared with; in (0, 1).
        contenders: the names of those to measure; by default all.
        beside: ``{name: loader}``, others of yours to measure with them; they are gone through as they are.
        out: a folder to write ``bench.json`` and ``bench.png`` to.
        progress: show a progress bar.

    Returns:
        A ``Bench``: printed, a table; ``ratio(one, other)``, ``efficiency(mix)``, ``utilisation(mix)``,
        ``to_json(path)``, ``plot(path)``.

    Raises:
        TypeError: for what can be gone through only once.
        ValueError: for contenders that there are none of, naming those that there are, or if all are left out.
        RuntimeError: if ``step`` raises, naming the contender whose batch it was given. What a mix, the plain loader or
            one of ``beside`` raises is raised; another contender that fails is left out, with what it says.
        OSError: if ``out`` can't be a folder, before anything is measured.
        ImportError: if psutil, or with ``out`` matplotlib, is missing, naming the extra that brings it.

    >>> import onthefly, torch
    >>> from onthefly.testing import CountingGenerator
    >>> data = torch.utils.data.TensorDataset(torch.rand(100, 1, 8, 8), torch.arange(100) % 2)
    >>> plain = torch.utils.data.DataLoader(data, batch_size=20, shuffle=True)
    >>> mixed = onthefly.wrap(plain, CountingGenerator((1, 8, 8), classes=2), ratio=0.5, device="cpu")
    >>> found = bench(mixed, seconds=0.02, rounds=2, contenders=["plain", "mix"], progress=False)
    >>> [row.name for row in found.rows], found["mix"].share, found.ratio("mix", against="plain").median > 0
    (['plain', 'mix'], 0.5, True)
    """
    _check(seconds, rounds, share)
    for package in ("psutil", *(["matplotlib"] if out is not None else [])):
        require(package, extra="report")
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
    subject = Subject(loader)
    subject.check()
    with TemporaryDirectory(prefix="onthefly-bench-") as folder, hermetic(0, subject.device):
        every = _with(beside or {}, dict(contenders_of(subject, share, Path(folder), seconds)))
        chosen = list(every) if contenders is None else _chosen(contenders, list(every))
        with tqdm(unit="round", disable=not progress) as bar:
            needed = {name for name in every if name == "plain" or name.startswith("mix")} | set(beside or {})
            whole, left_out = _prepared({name: every[name] for name in chosen}, needed, bar)
            making = {} if step else dict(_parts(subject, whole, share, seconds))
            parts, without = _prepared(making, needed, bar)
            bar.reset(rounds * len(whole + parts))
            every_one = _in_turn(whole, parts)
            run = partial(timed, seconds=seconds, device=subject.device, step=step)
            rows, failed = _measured(every_one, rounds, run, needed, bar)
            left_out |= without | failed
    settings = {
        "seconds": seconds,
        "rounds": rounds,
        "share": share,
        "step": step is not None,
        "memory": memory_in_words(subject.device),
        **subject.settings(),
    }
    of_whole, of_parts = (tuple(rows[one.name] for one in some if one.name in rows) for some in (whole, parts))
    if not of_whole:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"contenders: expected one that can be measured, found none ({why}); choose others")
    found = Bench(of_whole, of_parts, left_out, settings, machine_of(subject.device))
    if out is not None:
        found.to_json(Path(out) / "bench.json")
        found.plot(Path(out) / "bench.png")
    return found


def _prepared(
    making: Mapping[str, Making], needed: AbstractSet[str], bar: Any
) -> tuple[list[Contender], dict[str, str]]:
    """Those that there are; and why there are none of the others."""
    made: dict[str, Contender | str] = {}
    for name, make in making.items():
        bar.set_description(f"preparing {name}")
        try:
            made[name] = make()
        except Exception as error:  # noqa: BLE001 - what is needed is raised
            made[name] = _reason(name, error, needed)
    whole = [one for one in made.values() if isinstance(one, Contender)]
    return whole, {name: why for name, why in made.items() if isinstance(why, str)}


def _measured(
    contenders: Sequence[Contender], rounds: int, time: Callable[[Contender], Round], needed: AbstractSet[str], bar: Any
) -> tuple[dict[str, Row], dict[str, str]]:
    """All of them in turn, round by round; but for those of which a batch is too slow for a second one, and those that
    fail, which come second."""
    taken: dict[str, list[Round]] = {one.name: [] for one in contenders}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for one in contenders:
            bar.set_description(f"measuring {one.name}")
            if one.name not in failed and not any(before.cut for before in taken[one.name]):
                try:
                    taken[one.name].append(time(one))
                except Exception as error:  # noqa: BLE001 - as above
                    failed[one.name] = _reason(one.name, error, needed)
            bar.update()
    whole = (one for one in contenders if one.name not in failed)
    return {one.name: Row(one.name, one.about, tuple(taken[one.name])) for one in whole}, failed


def _reason(name: str, error: Exception, needed: AbstractSet[str]) -> str:
    """Why a contender is left out that failed, in a line; without one that is needed, or by the step, all of it has."""
    if isinstance(error, StepError):
        raise error
    if name in needed:
        error.add_note(f"bench: this happened to the contender {name!r}; choose others with contenders=[...]")
        raise error
    said = str(error).strip().splitlines()[-1:]  # of a worker's, what comes before is a traceback
    return f"it raised {type(error).__name__}{': ' if said else ''}{''.join(said)}"


def _in_turn(contenders: Sequence[Contender], parts: Sequence[Contender]) -> list[Contender]:
    """What is compared runs close together: the fetching of a mix beside it, the other parts beside the first mix."""
    mixes = [f"fetch, {one.name}" for one in contenders]
    shared = [part for part in parts if part.name not in mixes]
    order: list[Contender] = []
    for one in contenders:
        own = [part for part in parts if part.name == f"fetch, {one.name}"]
        order += [one, *own, *(shared if own else ())]
        shared = [] if own else shared
    return order


def _parts(
    subject: Subject, contenders: Sequence[Contender], share: float, seconds: float
) -> Iterator[tuple[str, Callable[[], Contender]]]:
    """What the bounds of the mixes among the contenders are made of."""
    wanted: dict[str, float | None] = {"mix": None} | {at(ratio): ratio for ratio in (*RATIOS, share)}
    mixes = {one.name: wanted[one.name] for one in contenders if one.name in wanted}
    generator, size = subject.generator, subject.batch_size
    if subject.mix is None or subject.is_stream or not mixes or (generator is not None and generator.wants_source):
        return
    for name, ratio in mixes.items():
        yield f"fetch, {name}", partial(fetching, subject, name, ratio)
    if generator is not None:
        yield "generation", lambda: generation(subject, max(1, round(size * share)), seconds)
    if subject.augment is not None:
        yield "augmentation", lambda: augmentation(subject, share)


def _with(loaders: Mapping[str, Any], every: dict[str, Making]) -> dict[str, Making]:
    taken = [name for name in loaders if name in every]
    if taken:
        raise ValueError(
            f"beside: expected names of your own, found {taken[0]!r}, which is another contender's; change it"
        )
    return every | {name: partial(of_loader, name, "a loader of yours", loader) for name, loader in loaders.items()}


def _chosen(wanted: Iterable[str], every: list[str]) -> list[str]:
    names = list(dict.fromkeys([wanted] if isinstance(wanted, str) else wanted))
    unknown = [name for name in names if name not in every]
    if unknown or not names:
        raise ValueError(
            f"contenders: expected some of {', '.join(every)}, found {unknown or names}; or leave it out for all"
        )
    return names


def _check(seconds: float, rounds: int, share: float) -> None:
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds: expected how long a round lasts, above 0, found {seconds}; write seconds=1.0")
    at_least_one(rounds, "rounds")
    if not 0 < share < 1:
        raise ValueError(f"share: expected the synthetic share of the alternatives, between 0 and 1, found {share}")
