"""Diffusion: a class-conditional model that takes noise away step by step: slow beside a GAN, and the best there is.

It is trained by flow matching: along the straight way from a sample to noise it learns which way is back (Lipman et
al., ICLR 2023; Liu, Gong and Liu, ICLR 2023), more often in the middle of it than at its ends (Esser et al., ICML
2024). What the network is asked for has the same scale at every level of noise (Karras et al., NeurIPS 2022). Now and
then it isn't told the class, so that samples can be pushed towards theirs (Ho and Salimans, 2022).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from onthefly.generators.denoisers import GridDenoiser, VectorDenoiser
from onthefly.generators.family import Family, Parts
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.noise import normal
from onthefly.generators.solvers import SOLVERS, solve, times
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Trainer

_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-2
_BETAS = (0.9, 0.99)
_AVERAGE = 0.998
_UNTOLD = 0.1  # the share of samples whose class isn't told
_SCALE = 0.5  # standard deviation of what is made, about: images between -1 and 1
_FIRST_STREAM = 1000  # of the noise that is added while samples are made
_CLIP = 1.0


@dataclass(frozen=True)
class DiffusionConfig:
    """The size of a diffusion model.

    Attributes:
        width: channels at full size; of vectors, a quarter of the hidden layers'.
        depth: blocks a level.
        paired: whether samples are made from a real one of the same shape, which the network sees beside the noise;
            the dataset then yields ``(source, sample, label)``.
    """

    width: int = 32
    depth: int = 2
    paired: bool = False


@dataclass(frozen=True)
class DiffusionSampling:
    """How samples are made.

    Attributes:
        steps: from noise to a sample.
        solver: "euler" looks at the network once a step, "heun" and "midpoint" twice and are of 2nd order, "adams" is
            of 2nd order and looks once.
        guidance: how far samples are pushed towards their class: 1 not at all, 2 twice as far as the network would go.
        churn: the share of a sample's noise that is other noise after every step, 0 to 1.
        strength: for samples made from real ones: how much of those becomes noise, above 0 and up to 1 (SDEdit: Meng et
            al., ICLR 2022); 0 for samples made from noise alone.
    """

    steps: int = 8
    solver: str = "heun"
    guidance: float = 1.5
    churn: float = 0.0
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, found {self.solver!r}; write 'heun'")
        if not self.guidance >= 0:
            raise ValueError(f"guidance: expected a number from 0 on, found {self.guidance!r}; 1 is none")
        if not 0 <= self.churn <= 1:
            raise ValueError(f"churn: expected a share from 0 to 1, found {self.churn!r}; leave it out for 0")
        if not 0 <= self.strength <= 1:
            raise ValueError(
                f"strength: expected a share above 0, up to 1, found {self.strength!r}; 0.3 keeps most of the source, "
                "0.8 little"
            )


class Flow(nn.Module):
    """The velocity of noisy samples.

    What its network says is scaled, and added to what would be right if samples were normal noise: so it has the same
    scale at every time.
    """

    def __init__(self, target: Target, config: DiffusionConfig) -> None:
        super().__init__()
        kind = GridDenoiser if target.sides else VectorDenoiser
        self.nothing = target.classes
        self.inner = kind(target, target.shape[0] if config.paired else 0, config.width, config.depth)
        self.scale = _SCALE if target.bounded else 1.0

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, *target.shape]`` at times ``float32[N]``, of classes ``int64[N]``, the number of classes for
        none, to ``float32[N, *target.shape]``."""
        when, variance = time.view(-1, *[1] * (noisy.ndim - 1)), self.scale**2
        spread = (1 - when).square() * variance + when.square()
        told: Tensor = self.inner(noisy * spread.rsqrt(), time, label, conditions, beside)
        return noisy * (when - (1 - when) * variance) / spread + told * self.scale * spread.rsqrt()


class DiffusionTrainer(Trainer):
    """Trains a flow; the learning rate rises and falls over the steps."""

    def __init__(
        self,
        target: Target,
        config: DiffusionConfig,
        device: torch.device,
        steps: int,
        network: nn.Module | None = None,
    ) -> None:
        self.flow = (Flow(target, config) if network is None else cast(Flow, network)).to(device)
        if len(target.sides) == 2:
            self.flow.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.flow).requires_grad_(False)
        self.bounded, self.done = target.bounded, 0
        learnt = [one for one in self.flow.parameters() if one.requires_grad]
        self._step = torch.optim.AdamW(learnt, _LEARNING_RATE, betas=_BETAS, weight_decay=_WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._step, _LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
        )

    def step(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> Losses:
        """Returns the mean square error of the velocity."""
        untold = torch.rand(len(labels), device=labels.device) < _UNTOLD
        loss = self._error(self.flow, samples, labels.masked_fill(untold, self.flow.nothing), conditions, sources)
        self._step.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.flow.parameters(), _CLIP)
        self._step.step()
        self._schedule.step()
        self.done += 1
        keep = min(_AVERAGE, self.done / (self.done + 10))
        for mean, new in zip(self.average.parameters(), self.flow.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)
        return {"error": loss.detach()}

    @torch.no_grad()
    def score(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> Tensor:
        """The mean square error of the velocity."""
        return self._error(self.average, samples, labels, conditions, sources)

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.average

    def _error(
        self, flow: nn.Module, samples: Tensor, labels: Tensor, conditions: Tensor | None, sources: Tensor | None
    ) -> Tensor:
        clean, noise = _signed(samples, self.bounded), torch.randn_like(samples)
        time = torch.randn(len(labels), device=labels.device).sigmoid()
        when = time.view(-1, *[1] * (clean.ndim - 1))
        beside = None if sources is None else _signed(sources, self.bounded)
        found = flow(torch.lerp(clean, noise, when), time, labels, conditions, beside)
        error: Tensor = (found - (noise - clean)).square().mean()
        return error


class Sampler:
    """Makes samples with a flow: the call of a ``LatentGenerator``."""

    def __init__(self, target: Target, config: DiffusionConfig, sampling: DiffusionSampling) -> None:
        self.target, self.paired, self.sampling = target, config.paired, sampling

    def __call__(
        self,
        flow: nn.Module,
        noise: Tensor,
        labels: Tensor,
        keys: Tensor | None = None,
        conditions: Tensor | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Noise ``float32[N, *target.shape]`` to encoded samples of the same shape."""
        how, bounded = self.sampling, self.target.bounded
        given = None if source is None else _signed(source, bounded)
        beside = given if self.paired else None
        begin = how.strength or 1.0
        first = noise if begin == 1.0 or given is None else torch.lerp(given, noise, begin)

        def velocity(sample: Tensor, time: float) -> Tensor:
            return self._velocity(flow, sample, time, labels, conditions, beside)

        def fresh(step: int) -> Tensor:
            return normal(cast(Tensor, keys), self.target.shape, _FIRST_STREAM + step)

        made = solve(velocity, first, times(how.steps, begin), how.solver, churn=how.churn, noise=fresh)
        return (made.clamp(-1, 1) + 1) / 2 if bounded else made

    def _velocity(
        self,
        flow: nn.Module,
        sample: Tensor,
        time: float,
        labels: Tensor,
        conditions: Tensor | None,
        beside: Tensor | None,
    ) -> Tensor:
        when, guidance = sample.new_full((len(sample),), time), self.sampling.guidance
        if guidance == 1.0:
            told: Tensor = flow(sample, when, labels, conditions, beside)
            return told
        untold = torch.full_like(labels, self.target.classes)
        both = flow(
            torch.cat([sample, sample]),
            torch.cat([when, when]),
            torch.cat([labels, untold]),
            _twice(conditions),
            _twice(beside),
        )
        told, free = both.chunk(2)
        return free + guidance * (told - free)


def diffusion_generator(parts: Parts, sampling: DiffusionSampling) -> NetworkGenerator:
    """A flow, and how samples are made with it."""
    call = Sampler(parts.target, parts.config, sampling)
    wants_source = parts.config.paired or sampling.strength > 0
    return parts.latent(parts.target.shape, call, wants_source=wants_source, keyed=sampling.churn > 0)


def _signed(samples: Tensor, bounded: bool) -> Tensor:
    """Values in [0, 1] as values in [-1, 1]; others as they are."""
    return 2 * samples - 1 if bounded else samples


def _twice(given: Tensor | None) -> Tensor | None:
    return None if given is None else torch.cat([given, given])


DIFFUSION = Family(
    "diffusion",
    DiffusionConfig,
    Flow,
    DiffusionTrainer,
    steps=4000,
    sampling=DiffusionSampling,
    generator=diffusion_generator,
    bfloat16=False,
)
