"""Distillation: a diffusion model that needs a step or two, taught by one that needs more.

The teacher makes samples; the student learns the straight way from each one's noise to it (Liu, Gong and Liu, "Flow
straight and fast", ICLR 2023), half of the time from the noise itself, so that one step is enough. What guidance the
teacher was loaded with is in its samples, and so becomes the student's.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from onthefly.data.batches import as_device
from onthefly.data.hermetic import hermetic
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.generators.course import Course
from onthefly.generators.diffusion import DIFFUSION, DiffusionConfig, DiffusionTrainer, velocity_errors
from onthefly.generators.family import Parts, target_of
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.identity import identity
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.noise import normal
from onthefly.generators.sampler import signed
from onthefly.generators.shown import Batch
from onthefly.mixing.keys import Purpose, sample_key

_STEPS = 1000
_PAIRS = 4096
_HELD_OUT = 0.05  # of the pairs
_AT_ONCE = 128  # samples that the teacher makes


class Answers:
    """What a teacher makes, to learn from: pairs of noise and sample.

    Args:
        teacher: a diffusion model, as it makes samples.
        pairs: how many; they are made once, and shown again and again.
        seed: of their keys, and of the order.
        device: where.
        progress: show how far it is with them.
    """

    def __init__(self, teacher: LatentGenerator, pairs: int, seed: int, device: torch.device, progress: bool) -> None:
        self.device = device
        made = torch.from_numpy(teacher.makes).nonzero()[:, 0].to(device)
        keys = torch.arange(pairs, device=device) + (int(sample_key(seed, Purpose.TRAINING, 0)) >> 1)
        labels = made[torch.arange(pairs, device=device) % len(made)]
        rows = tqdm(range(0, pairs, _AT_ONCE), desc="asking the teacher", unit="batch", disable=not progress)
        samples = torch.cat([teacher.encoded(labels[row : row + _AT_ONCE], keys[row : row + _AT_ONCE]) for row in rows])
        conditions = teacher.conditions_of(keys).get("conditions")
        self._all = Batch(samples, labels, conditions, normal(keys, samples.shape[1:]))
        self._apart = max(1, round(_HELD_OUT * pairs))

    def batches(self, size: int) -> Iterator[Batch]:
        """Batches without end; torch's global generator draws them, which is seeded for every step."""
        shown = len(self._all.labels) - self._apart
        while True:
            yield self._some(torch.randint(shown, (size,), device=self.device) + self._apart)

    def held_out(self) -> Batch:
        """The pairs that aren't shown."""
        return self._some(torch.arange(self._apart, device=self.device))

    def _some(self, rows: Tensor) -> Batch:
        return Batch(*(None if one is None else one[rows] for one in self._all))  # type: ignore[arg-type]


class StudentTrainer(DiffusionTrainer):
    """Trains a student on pairs: the sources of its samples are their noise."""

    def _errors(
        self, flow: nn.Module, samples: Tensor, labels: Tensor, conditions: Tensor | None, sources: Tensor | None
    ) -> Tensor:
        if sources is None:
            raise ValueError("distill: expected pairs of noise and sample, found samples alone; call distill()")
        drawn = torch.rand(2, len(labels), device=labels.device)
        time = torch.where(drawn[0] < 0.5, 1.0, drawn[1])
        return velocity_errors(flow, signed(samples, self.bounded), sources, time, labels, conditions)

    def step(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the mean square error of the velocity."""
        return self._learn(self._errors(self.flow, samples, labels, conditions, sources).mean())


def distill(
    teacher: str | Path | FrozenGenerator,
    *,
    steps: int = _STEPS,
    batch_size: int = 64,
    pairs: int = _PAIRS,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
) -> NetworkGenerator:
    """Train a diffusion model to make in one step or two what another one makes in many; no data are needed.

    Args:
        teacher: a checkpoint, or a generator from ``train`` or ``load``, whose steps, solver, guidance and attributes
            are what the student learns.
        steps: batches to train on.
        batch_size: samples in a batch.
        pairs: samples that the teacher makes.
        about: what the card shall say beside.
        seed: equal seeds give equal students on one machine.
        device: by default the current CUDA device if there is one.
        resume: a file for the state of the training, as for ``train``.
        progress: show progress bars.

    Returns:
        The student, with a card that says whose; it makes samples in 2 steps unless ``load`` is told ``steps=1``.

    Raises:
        ValueError: for a teacher that is no diffusion model, or makes samples from real ones.

    >>> from onthefly.generators import train
    >>> digits = torch.utils.data.TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)
    >>> teacher = train("diffusion", digits, steps=1, config={"width": 4}, progress=False)
    >>> distill(teacher, steps=1, pairs=8, progress=False).card["distilled_from"]["steps"]
    8
    """
    for name, value in (("steps", steps), ("batch_size", batch_size), ("pairs", pairs)):
        if type(value) is not int or value < 1 or (name == "pairs" and value < 2):
            raise ValueError(f"distill: expected more {name}, found {value!r}; leave it out")
    device = as_device(device)
    knows = _checked(load(teacher) if isinstance(teacher, (str, Path)) else teacher, device)
    card, spec = dict(knows.card or {}), knows.spec
    config: DiffusionConfig = replace(DIFFUSION.configure(card["config"]), student=True)
    target = target_of(spec, knows.coding, card.get("augmented", 0))  # type: ignore[arg-type]
    how = {"steps": steps, "batch_size": batch_size, "pairs": pairs, "seed": seed}
    told = _told(knows, teacher)
    card = {**card, **(about or {}), "config": asdict(config), "distilled_from": told}
    answers = Answers(knows, pairs, seed, device, progress)
    with hermetic(seed, device):
        trainer = StudentTrainer(target, config, device, steps, copy.deepcopy(knows.network).requires_grad_(True))
    course = Course(
        trainer,
        answers,
        steps=steps,
        seed=seed,
        augment=False,
        settings={"card": card, **how},
        resume=None if resume is None else Path(resume),
    )
    with tqdm(total=steps, desc="training a student", unit="step", disable=not progress) as bar:
        course.run(lambda _: answers.batches(batch_size), bar, lambda: None)
    learnt = {**how, "steps": course.done, "score": min(course.scores, default=None)}
    card["training"] = {**card["training"], "student": learnt}
    parts = Parts(course.network(), target, config, spec, knows.coding, card)  # type: ignore[arg-type]
    course.finish()
    return DIFFUSION.frozen(parts, knows.attributes, DIFFUSION.sample_by({}))


def _checked(teacher: FrozenGenerator, device: torch.device) -> LatentGenerator:
    family = (teacher.card or {}).get("family", type(teacher).__name__)
    if family != DIFFUSION.name or not isinstance(teacher, LatentGenerator):
        raise ValueError(f"distill: expected a diffusion model to learn from, found a {family}; train one first")
    if teacher.wants_source:
        raise ValueError(
            "distill: expected a teacher that makes samples from noise, found one that makes them from real ones; load "
            "it without strength=, and train it without paired"
        )
    return copy.deepcopy(teacher).to(device)


def _told(teacher: LatentGenerator, given: str | Path | FrozenGenerator) -> dict[str, Any]:
    """What the card says of the teacher: which one, and how it made samples."""
    path = Path(given) if isinstance(given, (str, Path)) else given.path
    how = teacher.sampling.filled(DIFFUSION.configure((teacher.card or {})["config"]).student)
    plain = {name: value for name, value in asdict(how).items() if isinstance(value, (str, int, float))}
    file = {} if path is None else {"file": path.name, "file_sha256": teacher.sha256}
    return {**file, "identity": identity(teacher)["sha256"], **plain}
