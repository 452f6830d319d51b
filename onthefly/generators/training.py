"""Training: from a dataset to a frozen generator, with progress."""

import copy
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from tqdm.auto import tqdm

from onthefly.data.batches import as_device
from onthefly.data.hermetic import hermetic
from onthefly.data.labels import labels_of
from onthefly.generators.adapting import adapted, merged
from onthefly.generators.attributes import Attributes
from onthefly.generators.augmented import NUMBERS
from onthefly.generators.card import Card, checked_about, new_card
from onthefly.generators.checkpoint import read_parts
from onthefly.generators.cost import cost_of
from onthefly.generators.course import Course
from onthefly.generators.families import family_of
from onthefly.generators.family import Family, Parts, target_of
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.integrity import sha256_of
from onthefly.generators.looks import enough, look
from onthefly.generators.privacy import Privacy, PrivateTrainer, check_asked, check_shown
from onthefly.generators.shown import Batch, Shown, check_dataset
from onthefly.generators.sources import FromExamples
from onthefly.generators.trainer import Separable
from onthefly.version import __version__

_HELD_OUT = 0.1  # of each class
_QUICKER = 4  # times, goes a training that goes on from another


def train(
    family: str,
    dataset: Any,
    *,
    config: Mapping[str, Any] | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    balance: Any = None,
    labels: Any = None,
    normalized: Any = None,
    conditions: Mapping[str, Sequence[Any]] | None = None,
    coding: str | None = None,
    held_out: float | None = None,
    augment: bool = False,
    init: str | Path | None = None,
    privacy: Privacy | None = None,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    preview: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
) -> NetworkGenerator:
    """Train a class-conditional generator on a dataset.

    Some samples are held out, and looked at now and then: the generator returned is the one that did best on them, and
    training ends where it does better no more. Interrupt it (Ctrl-C) and it returns what it has learnt so far. The
    global random generators are left as they were.

    Args:
        family: "diffusion" (the best, slow to sample), "gan" (quick to sample, slow to learn), "vae" (softer, quicker,
            best for the smallest sets), "flow" (best for rows) or "language" for texts.
        dataset: map-style; yields a sample with a label, or alone with ``labels=``. Samples are images ``float32[C, H,
            W]`` in [0, 1], signals ``float32[C, T]`` in [-1, 1], rows of a table ``float32[D]`` or texts.
        config: the family's sizes, such as ``{"latent": 64, "width": 32}``.
        steps: batches to train on; by default what suits a small data set.
        batch_size: samples in a batch.
        balance: how often each class is shown, as for ``wrap``; by default "uniform", with privacy "natural".
        labels: as for ``wrap``.
        normalized: ``(mean, std)`` if images arrive normalised; found by itself in the dataset's own transform.
        conditions: what samples have beside their class, a value for each of them: ``{"speaker": [...]}``, names or
            whole numbers for one of several, floating-point numbers for anything between the least and the largest.
        coding: what samples become for the network, by name; by default what is usual for them.
        held_out: the share of each class that is held out, where it has 5 samples or more; by default 0.1, with privacy
            nothing.
        augment: turn, scale, move and mirror images at random, and tell the network by how much, so that it makes none
            that are. For few images; a GAN's critic has augmentation of its own, always.
        init: a checkpoint of the same family to go on from, for other classes, of which 5 to 50 samples of each are
            enough: what it learnt is kept, and only the classes and a low-rank update of its weights are learnt.
        privacy: how much the generator may tell of any one sample, by differential privacy; the card says how that was
            kept, and what it doesn't cover. Needs thousands of samples, and batches of hundreds. Its noise is secret,
            so equal seeds no longer give equal generators.
        about: what the card shall say beside: ``{"licence": "CC BY 4.0", "data": "..."}``.
        seed: equal seeds give equal generators on one machine.
        device: by default the current CUDA device if there is one.
        num_workers: processes that load samples.
        preview: a PNG file to draw to while it trains, of texts a ``.txt`` file: real samples beside synthetic ones,
            with privacy none.
        resume: a file for the state of the training, written now and then and removed when it is over; if it is there,
            the training goes on from it.
        progress: show a progress bar with the losses.

    Returns:
        The generator, with a card; ``save`` writes it to a file.

    Raises:
        ValueError: for samples that are none of those, as ``labels_of`` and ``MixPlan`` do, and for the state of
            another training.

    >>> digits = torch.utils.data.TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)
    >>> generator = train("vae", digits, steps=2, progress=False)
    >>> generator.sample(torch.tensor([3]), torch.tensor([1])).shape
    torch.Size([1, 1, 8, 8])
    """
    kind, about = family_of(family), checked_about(about or {})
    check_dataset(dataset)
    if privacy is not None:
        check_asked(privacy, kind.name, kind.trainer, balance, held_out)
    balance = ("uniform" if privacy is None else "natural") if balance is None else balance
    held_out = (_HELD_OUT if privacy is None else 0.0) if held_out is None else held_out
    device = as_device(device)
    like = None if init is None else _gone_on_from(Path(init), kind, config, coding, augment)
    made, augment = (kind.configure(config or {}), augment) if like is None else (like.config, like.is_augmented)
    steps = (kind.steps if like is None else kind.steps // _QUICKER) if steps is None else steps
    if type(steps) is not int or steps < 1:
        raise ValueError(f"train: expected steps of 1 or more, found {steps!r}; leave it out for {kind.steps}")
    shown = Shown(
        dataset,
        labels_of(dataset, labels),
        normalized=normalized,
        conditions=conditions,
        coding=coding,
        like=like,
        held_out=held_out,
        seed=seed,
        device=device,
        sizes=asdict(made),
        paired=getattr(made, "paired", False),
        jitter=kind.jitter,
    )
    _check_coding(kind, shown, augment)
    if privacy is not None:
        check_shown(privacy, shown, known=like is not None, drawn=bool(preview))
    batch_size = min(batch_size, sum(shown.count))
    numbers = NUMBERS if augment else 0
    target = target_of(shown.spec, shown.coding, numbers)
    with hermetic(seed, device):
        begun = None if like is None else adapted(kind, like, target, shown.spec.classes.names)
        trainer = kind.trainer(target, made, device, steps, begun)
    if privacy is not None:
        trainer = PrivateTrainer(
            cast(Separable, trainer), privacy, samples=sum(shown.count), batch_size=batch_size, steps=steps
        )
    known = {**about, "augmented": numbers or None, "init": None if init is None else _named(Path(init))}
    card = new_card(kind.name, asdict(made), shown.spec, shown.coding, {}, **known)
    how = {"steps": steps, "batch_size": batch_size, "balance": str(balance), "held_out": held_out, "seed": seed}
    course = Course(
        trainer,
        shown,
        steps=steps,
        seed=seed if privacy is None else secrets.randbits(63),  # what a sample meets by chance mustn't tell its place
        augment=augment,
        settings={"card": card, "data": _hash_of(shown), "privacy": privacy and asdict(privacy), **how},
        resume=None if resume is None else Path(resume),
    )
    examples = shown.examples(enough(shown.coding)) if preview and privacy is None else []
    sources = shown.sources(enough(shown.coding)) if preview and shown.paired else None

    def frozen(card: Card | None = None) -> NetworkGenerator:
        """As it is now; training goes on without it."""
        learnt = trainer.network() if card is None else course.network()
        network = copy.deepcopy(learnt) if like is None else merged(learnt, kind, target, made)
        parts = Parts(network, target, made, shown.spec, shown.coding, card)
        return kind.frozen(parts, Attributes(shown.spec.conditions), kind.sample_by({}))

    def draw() -> None:
        if preview:
            now = frozen() if sources is None else FromExamples(frozen(), sources)
            look(now, preview, real=examples, device=device)

    def batches(step: int) -> Iterator[Batch]:
        if isinstance(trainer, PrivateTrainer):
            return shown.drawn(trainer.rows, num_workers, step)
        return shown.batches(batch_size, balance, num_workers, step)

    with tqdm(total=steps, desc=f"training {family}", unit="step", disable=not progress) as bar:
        course.run(batches, bar, draw)
    told = {**card, **_told(course, shown, how)}
    made = frozen({**told, "cost": cost_of(frozen(told))})
    course.finish()
    return made


def _told(course: Course, shown: Shown, how: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of a training; with privacy, nothing that was counted or looked at."""
    versions = {"onthefly": __version__, "torch": torch.__version__}
    told = {**how, "steps": course.done, "versions": versions}
    if isinstance(course.trainer, PrivateTrainer):
        return {"training": told, "privacy": course.trainer.told()}
    score = {"score": min(course.scores), "best_step": course.best} if course.scores else {}
    return {"training": {**told, "samples_of_each_class": shown.count, **score}}


def _gone_on_from(path: Path, kind: Family, config: Any, coding: str | None, augment: bool) -> Parts:
    """The parts of the checkpoint to go on from, which decides what else could be chosen."""
    family, parts = read_parts(path)
    if family.name != kind.name:
        raise ValueError(
            f"train: expected a checkpoint of a {kind.name} to go on from, found a {family.name} in {path}"
        )
    if config is not None or coding is not None or augment:
        raise ValueError(
            f"train: expected config, coding and augment to be left to {path}, from which it goes on, found config="
            f"{config!r}, coding={coding!r}, augment={augment}; leave them out"
        )
    if getattr(parts.config, "student", False):
        raise ValueError(
            f"train: expected a checkpoint that was trained on samples to go on from, found a student in {path}; go on "
            "from its teacher, and distill again"
        )
    return parts


def _named(path: Path) -> dict[str, str]:
    """A file, for a card."""
    return {"file": path.name, "sha256": sha256_of(path)}


def _check_coding(kind: Family, shown: Shown, augment: bool) -> None:
    if augment and len(shown.spec.field.shape) != 3:
        raise ValueError(f"train: expected images to augment, found {shown.spec.field}; leave augment out")
    if shown.coding.kind not in kind.codings:
        raise ValueError(
            f"train: expected samples that a {kind.name} can make ({', '.join(kind.codings)}), found "
            f"{shown.spec.field} coded as {shown.coding.kind}; choose another family"
        )


def _hash_of(shown: Shown) -> str:
    return shown.digest()
