"""Sampling of a flow: from noise, or from a real sample with some of it, towards the class that is asked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from onthefly.generators.flow_schedulers import SCHEDULERS, scheduled
from onthefly.generators.noise import normal
from onthefly.generators.solvers import SOLVERS, Velocity, solve, times
from onthefly.generators.target import Target

FIRST_STREAM = 1000  # of the noise that is added while samples are made

Guide = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class DiffusionSampling:
    """How a diffusion model makes samples.

    Attributes:
        steps: from noise to a sample; by default 8, of a student 2.
        solver: "euler" looks at the network once a step; "heun" and "midpoint" twice, and are of 2nd order; "adams" is
            of 2nd order and looks once; or a scheduler of ``diffusers`` for flows, such as
            "diffusers:UniPCMultistepScheduler". By default "adams", of a student "euler".
        guidance: how far samples are pushed towards their class (Ho and Salimans, 2022): 1 not at all, 2 twice as far
            as the network would go. By default 1.5, of a student, which has learnt it, 1.
        churn: the share of a sample's noise that is other noise after every step, from 0 to 1.
        strength: to make samples from real ones, how much of those becomes noise, above 0 and up to 1: 0.5 keeps most
            of them, 0.9 little (SDEdit: Meng et al., ICLR 2022). By default samples are made from noise alone.
        guide: ``guide(samples, labels, time)``, the logarithm of the probability ``float32[N]`` of what samples shall
            be, differentiable, each by itself: a classifier's, or any score. It sees what is made of the noisy samples
            at that time, from 1 to 0, as the network makes it: ``float32[N, *shape]``, images and waveforms in [0, 1].
        guide_scale: how far it pushes.

    Raises:
        ValueError: for values outside of these.

    >>> DiffusionSampling(steps=4, guidance=2.0).filled(student=False).solver
    'adams'
    """

    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    churn: float = 0.0
    strength: float | None = None
    guide: Guide | None = None
    guide_scale: float = 1.0

    def __post_init__(self) -> None:
        known = (*SOLVERS, *(f"diffusers:{name}" for name in SCHEDULERS))
        if self.steps is not None:
            _expect(type(self.steps) is int and self.steps > 0, "steps", "a whole number above 0", self.steps, "8")
        if self.solver is not None:
            _expect(self.solver in known, "solver", f"one of {', '.join(known)}", self.solver, "'heun'")
        if self.guidance is not None:
            _expect(_is_number(self.guidance, 0), "guidance", "a number from 0 on", self.guidance, "1.5")
        _expect(_is_number(self.churn, 0, 1), "churn", "a share from 0 to 1", self.churn, "0.3")
        if self.strength is not None:
            is_share = _is_number(self.strength, 0, 1) and self.strength > 0
            _expect(is_share, "strength", "a share above 0, up to 1", self.strength, "0.7")
        _expect(self.guide is None or callable(self.guide), "guide", "a function", self.guide, "your classifier's")
        _expect(_is_number(self.guide_scale, 0), "guide_scale", "a number from 0 on", self.guide_scale, "1.0")
        if (self.solver or "").startswith("diffusers:") and (self.churn or self.strength is not None):
            raise ValueError(
                f"solver: expected one of {', '.join(SOLVERS)} with churn or strength, found {self.solver!r}; write "
                "solver='heun'"
            )

    def filled(self, student: bool) -> Self:
        """The same, with what wasn't said."""
        steps, solver, guidance = (2, "euler", 1.0) if student else (8, "adams", 1.5)
        return replace(
            self,
            steps=steps if self.steps is None else self.steps,
            solver=self.solver or solver,
            guidance=guidance if self.guidance is None else float(self.guidance),
        )


class Sampler:
    """Makes samples with a flow: the call of a ``LatentGenerator``.

    Args:
        target: what is made.
        sampling: how, with nothing left out.
        paired: whether the flow sees the real sample beside the noisy one.
        scale: the standard deviation of what is made, about.
    """

    def __init__(self, target: Target, sampling: DiffusionSampling, *, paired: bool, scale: float) -> None:
        self.target, self.sampling, self.paired, self.scale = target, sampling, paired, scale

    def __call__(
        self,
        flow: nn.Module,
        noise: Tensor,
        labels: Tensor,
        keys: Tensor | None = None,
        conditions: Tensor | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Noise ``float32[N, *target.shape]``, ``int64[N]`` classes and keys, and what the target has beside, to
        encoded samples of the same shape."""
        how, given = self.sampling, None if source is None else signed(source, self.target.bounded)
        begin, steps, solver = how.strength or 1.0, how.steps or 1, how.solver or "heun"
        base = None if given is None else torch.zeros_like(given) if self.paired else given
        first = noise if begin == 1.0 or base is None else torch.lerp(base, noise, begin)
        velocity = self._velocity(flow, labels, conditions, given if self.paired else None)
        if solver in SOLVERS:
            made = solve(velocity, first, times(steps, begin), solver, churn=how.churn, noise=self._noise(keys))
        else:
            made = scheduled(velocity, first, steps, solver.removeprefix("diffusers:"))
        made = made + given if self.paired and given is not None else made
        return unsigned(made.clamp(-1, 1)) if self.target.bounded else made

    def _noise(self, keys: Tensor | None) -> Callable[[int], Tensor]:
        def noise(step: int) -> Tensor:
            if keys is None:
                raise ValueError("churn: expected the samples' keys, found none; make samples by sample(labels, keys)")
            return normal(keys, self.target.shape, FIRST_STREAM + step)

        return noise

    def _velocity(self, flow: nn.Module, labels: Tensor, conditions: Tensor | None, beside: Tensor | None) -> Velocity:
        """The flow's velocity for these samples, guided."""

        def plain(sample: Tensor, time: float) -> Tensor:
            when = sample.new_full((len(sample),), time)
            made: Tensor = flow(sample, when, labels, conditions, beside)
            return made

        def towards_class(sample: Tensor, time: float) -> Tensor:
            when, untold = sample.new_full((2 * len(sample),), time), torch.full_like(labels, self.target.classes)
            asked = torch.cat([labels, untold]), _twice(conditions), _twice(beside)
            both: Tensor = flow(torch.cat([sample, sample]), when, *asked)
            told, free = both.chunk(2)
            return free + (self.sampling.guidance or 0.0) * (told - free)

        toward = plain if self.sampling.guidance == 1.0 else towards_class
        return toward if self.sampling.guide is None else self._guided(toward, self.sampling.guide, labels, beside)

    def _guided(self, velocity: Velocity, guide: Guide, labels: Tensor, beside: Tensor | None) -> Velocity:
        """A velocity that leads where the guide finds samples more probable.

        The score of a noisy sample is that of what is made of it, times the derivative of the one by the other, taken
        to be that of normal samples: so nothing goes back through the network (Dhariwal and Nichol, NeurIPS 2021; Song
        et al., "Loss-guided diffusion models", ICML 2023).
        """
        variance = self.scale**2

        def guided(sample: Tensor, time: float) -> Tensor:
            plain = velocity(sample, time)
            weight = time * variance / ((1 - time) ** 2 * variance + time**2) if time else 0.0
            clean = sample - time * plain if beside is None else sample - time * plain + beside
            slope = _slope(guide, clean, labels, time, self.target.bounded)
            return plain - self.sampling.guide_scale * weight * slope

        return guided


def _slope(guide: Guide, clean: Tensor, labels: Tensor, time: float, bounded: bool) -> Tensor:
    """Which way samples are more probable, ``float32[N, ...]``, wherever gradients are switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        probe = clean.clone().requires_grad_()
        found = guide(unsigned(probe) if bounded else probe, labels.clone(), time)
        if not isinstance(found, Tensor) or found.shape != (len(clean),) or not found.requires_grad:
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"guide: expected log-probabilities float32[{len(clean)}] with a gradient, found {shape}; return "
                "classifier(samples).log_softmax(1)[torch.arange(len(labels)), labels]"
            )
        return torch.autograd.grad(found.sum(), probe)[0].detach()


def signed(samples: Tensor, bounded: bool) -> Tensor:
    """Values in [0, 1] as values in [-1, 1]; others as they are."""
    return 2 * samples - 1 if bounded else samples


def unsigned(samples: Tensor) -> Tensor:
    """Values in [-1, 1] as values in [0, 1]."""
    return (samples + 1) / 2


def _twice(given: Tensor | None) -> Tensor | None:
    return None if given is None else torch.cat([given, given])


def _is_number(value: Any, low: float, high: float = math.inf) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high and value < math.inf


def _expect(is_right: bool, name: str, expected: str, found: Any, good: str) -> None:
    if not is_right:
        raise ValueError(f"{name}: expected {expected}, found {found!r}; write {name}={good}, or leave it out")
