"""The course of a training: step by step, with a look at held-out samples now and then, and a state to go on from."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from tqdm.auto import tqdm

from onthefly.data.hermetic import hermetic
from onthefly.generators.augmented import augmented, plain
from onthefly.generators.saved import read_state, write_state
from onthefly.generators.shown import Batch
from onthefly.generators.trainer import Trainer
from onthefly.generators.whole import whole
from onthefly.mixing.keys import Purpose, sample_key

_LOOKS = 20  # at held-out samples, and for people, over a training
_LEAST = 50  # steps between two of them
_PATIENCE = 6  # looks without a better score, after which training ends
_SECONDS = 60.0  # between two states
_SHOWN_EVERY = 10  # steps between losses that people see: a look at them waits for the device


class Lessons(Protocol):
    """What a training needs to know of what is learnt from."""

    @property
    def device(self) -> torch.device:
        """Where batches go."""

    def held_out(self) -> Batch | None:
        """Samples that aren't shown; None if there are none."""


class Course:
    """Trains until it is done, or held-out samples are better no more.

    What a step draws is a function of the seed and the step's number, so one that goes on from a state does as one that
    never stopped (to the bit on a CPU, if the dataset itself draws nothing in worker processes).

    Args:
        trainer: what learns.
        shown: what it is shown.
        steps: how many.
        seed: of what is drawn.
        augment: whether the images of a batch are changed at random.
        settings: plain values that a state must agree with.
        resume: the file for the state; None for no state.

    Attributes:
        done: steps so far.
        scores: of held-out samples, one for each look.
        best: the step of the best of them.
    """

    def __init__(
        self,
        trainer: Trainer,
        shown: Lessons,
        *,
        steps: int,
        seed: int,
        augment: bool,
        settings: dict[str, Any],
        resume: Path | None,
    ) -> None:
        self.trainer, self.shown, self.steps, self.seed = trainer, shown, steps, seed
        self.augment, self.settings, self.resume = augment, settings, resume
        self.done, self.best = 0, 0
        self._is_inside = self._is_whole = False
        self.scores: list[float] = []
        self._kept: dict[str, Any] | None = None
        apart = shown.held_out()
        self._apart = plain(apart) if apart is not None and augment else apart
        self._every = max(_LEAST, steps // _LOOKS)
        if resume is not None and resume.exists():
            self._go_on(read_state(resume))

    def run(self, batches: Callable[[int], Any], bar: "tqdm[Any]", look: Callable[[], None]) -> None:
        """Go through with it; an interrupt ends it early.

        Args:
            batches: those from a step on.
            bar: shows how far it is.
            look: called now and then.
        """
        bar.update(self.done)
        coming, written = batches(self.done), time.monotonic()
        try:
            while self.done < self.steps and not self._is_over():
                self._step(coming, bar)
                if self.done % self._every == 0 or self.done == self.steps:
                    self._score()
                    look()
                if self.resume is not None and time.monotonic() - written > _SECONDS:
                    self._write()
                    written = time.monotonic()
        except KeyboardInterrupt:
            bar.write(f"interrupted after {self.done} steps; keeping what was learnt")
            if not self._is_inside:  # what half a step has left can't be gone on from
                self._write()
            look()
        else:
            self._is_whole = True
            self._write()  # until there is a generator

    def finish(self) -> None:
        """The generator is there: the state of a training that is over is needed no more."""
        if self._is_whole and self.resume is not None:
            self.resume.unlink(missing_ok=True)

    def network(self) -> nn.Module:
        """The best network so far; the last one where there are no scores."""
        network = self.trainer.network()
        if self._kept is not None:
            network.load_state_dict(self._kept)
        return network

    def _step(self, coming: Any, bar: "tqdm[Any]") -> None:
        with hermetic(_key(self.seed, self.done), self.shown.device):
            batch: Batch = next(coming)
            with whole():
                self._is_inside = True
                losses = self.trainer.step(*_given(augmented(batch) if self.augment else batch))
                self.done, self._is_inside = self.done + 1, False
        bar.update()
        if self.done % _SHOWN_EVERY == 0 or self.done == self.steps:
            bar.set_postfix({name: f"{float(loss):.3g}" for name, loss in losses.items()}, refresh=False)

    def _score(self) -> None:
        if self._apart is None:
            return
        with hermetic(self.seed, self.shown.device):
            score = float(self.trainer.score(*_given(self._apart)))
        if not self.scores or score < min(self.scores):
            network = self.trainer.network().state_dict()
            self.best, self._kept = self.done, {name: one.detach().clone() for name, one in network.items()}
        self.scores.append(score)

    def _is_over(self) -> bool:
        return bool(self.scores) and self.done - self.best >= _PATIENCE * self._every

    def _write(self) -> None:
        if self.resume is not None:
            state = {"settings": self.settings, "seed": self.seed, "done": self.done, "best": self.best}
            learnt = {"scores": self.scores, "kept": self._kept, "trainer": self.trainer.state_dict()}
            write_state({**state, **learnt}, self.resume)

    def _go_on(self, state: dict[str, Any]) -> None:
        lines = [
            f"{name}: expected {self.settings.get(name)!r}, found {state['settings'].get(name)!r}"
            for name in sorted(self.settings.keys() | state["settings"].keys())
            if self.settings.get(name) != state["settings"].get(name)
        ]
        if lines:
            raise ValueError(
                f"resume: {self.resume} is the state of another training; remove it, or train as then:\n  "
                + "\n  ".join(lines)
            )
        self.seed, self.done, self.best, self.scores = (state[name] for name in ("seed", "done", "best", "scores"))
        device = self.shown.device
        self._kept = state["kept"] and {name: one.to(device) for name, one in state["kept"].items()}
        self.trainer.load_state_dict(state["trainer"])


def _given(batch: Batch) -> tuple[Any, ...]:
    """What a trainer is given: sources only where it asked for them."""
    return batch[:3] if batch.sources is None else tuple(batch)


def _key(seed: int, step: int) -> int:
    return int(sample_key(seed, Purpose.TRAINING, step))
