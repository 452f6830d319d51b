"""Diffusion: a class-conditional model that takes noise away step by step: slow beside a GAN, and the best there is.

It is trained by flow matching: along the straight way from a sample to noise it learns which way is back (Lipman et
al., ICLR 2023; Liu, Gong and Liu, ICLR 2023), more often in the middle of it than at its ends (Esser et al., ICML
2024). What the network is asked for has the same scale at every level of noise (Karras et al., NeurIPS 2022). Now and
then it isn't told the class, so that samples can be pushed towards theirs (Ho and Salimans, 2022).
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from onthefly.generators.denoisers import GridDenoiser, VectorDenoiser
from onthefly.generators.family import WIDEST, Family, Parts, check_sizes
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.sampler import DiffusionSampling, Sampler, signed
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Separable
from onthefly.generators.unets import ImageUNet, SignalUNet

_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 1e-2
_RISING, _SLOWEST = 0.1, 0.02  # of a training; of the learning rate
_BETAS = (0.9, 0.99)
_AVERAGE = 0.998
_UNTOLD = 0.1  # the share of samples whose class isn't told
_SCALE = 0.5
_CLIP = 1.0
_DEEPEST = 16  # blocks a level


@dataclass(frozen=True)
class DiffusionConfig:
    """The size of a diffusion model.

    Attributes:
        width: channels at full size; of vectors, a quarter of the hidden layers'.
        depth: blocks a level.
        paired: whether samples are made from a real one of the same shape, which the network sees beside the noise,
            and to which what it makes is added; the dataset then yields ``(source, sample, label)``.
        network: "small", this library's own; "unet2d" for images or "unet1d" for signals, of ``diffusers``, with that
            width and depth.
        student: whether it was taught by another one to need a step or two; see ``distill``.
    """

    width: int = 32
    depth: int = 2
    paired: bool = False
    network: str = "small"
    student: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, width=WIDEST, depth=_DEEPEST)
        if self.network not in _NETWORKS:
            raise ValueError(
                f"network: expected one of {', '.join(_NETWORKS)}, found {self.network!r}; leave it out for 'small'"
            )


def _small(target: Target, beside: int, width: int, depth: int) -> nn.Module:
    return (GridDenoiser if target.sides else VectorDenoiser)(target, beside, width, depth)


_NETWORKS: dict[str, Callable[[Target, int, int, int], nn.Module]] = {
    "small": _small,
    "unet2d": ImageUNet,
    "unet1d": SignalUNet,
}


class Flow(nn.Module):
    """The velocity of noisy samples.

    What its network says is scaled, and added to what would be right if samples were normal noise: so it has the same
    scale at every time.
    """

    def __init__(self, target: Target, config: DiffusionConfig) -> None:
        super().__init__()
        self.nothing, beside = target.classes, target.shape[0] if config.paired else 0
        self.inner = _NETWORKS[config.network](target, beside, config.width, config.depth)
        self.scale = scale_of(target)

    def forward(
        self, noisy: Tensor, time: Tensor, label: Tensor, conditions: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """``float32[N, *target.shape]`` at times ``float32[N]``, of classes ``int64[N]``, the number of classes for
        none, to ``float32[N, *target.shape]``."""
        when, variance = time.view(-1, *[1] * (noisy.ndim - 1)), self.scale**2
        spread = (1 - when).square() * variance + when.square()
        told: Tensor = self.inner(noisy * spread.rsqrt(), time, label, conditions, beside)
        return noisy * (when - (1 - when) * variance) / spread + told * self.scale * spread.rsqrt()


class DiffusionTrainer(Separable):
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
        if len(target.sides) == 2:  # the optimiser's state is laid out so when it is read again
            self.flow.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.flow).requires_grad_(False)
        self.bounded, self.done = target.bounded, 0
        learnt = [one for one in self.flow.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(learnt, _LEARNING_RATE, betas=_BETAS, weight_decay=_WEIGHT_DECAY, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: pace(step / steps))

    def step(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> Losses:
        """Returns the mean square error of the velocity."""
        return self._learn(self.each(samples, labels, conditions, sources).mean())

    def learns(self) -> nn.Module:
        """The flow."""
        return self.flow

    def each(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> Tensor:
        """The mean square error of each sample's velocity, of some without their class."""
        untold = torch.rand(len(labels), device=labels.device) < _UNTOLD
        return self._errors(self.flow, samples, labels.masked_fill(untold, self.flow.nothing), conditions, sources)

    def follow(self) -> None:
        """The learning rate's, and the moving average."""
        self._schedule.step()
        self.done += 1
        keep = min(_AVERAGE, self.done / (self.done + 10))
        for mean, new in zip(self.average.parameters(), self.flow.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)

    @torch.no_grad()
    def score(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, sources: Tensor | None = None
    ) -> Tensor:
        """The mean square error of the velocity."""
        return self._errors(self.average, samples, labels, conditions, sources).mean()

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.average

    def _learn(self, loss: Tensor) -> Losses:
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.flow.parameters(), _CLIP)
        self.optimizer.step()
        self.follow()
        return {"error": loss.detach()}

    def _errors(
        self, flow: nn.Module, samples: Tensor, labels: Tensor, conditions: Tensor | None, sources: Tensor | None
    ) -> Tensor:
        clean, noise = signed(samples, self.bounded), torch.randn_like(samples)
        time = torch.randn(len(labels), device=labels.device).sigmoid()
        if sources is None:
            return velocity_errors(flow, clean, noise, time, labels, conditions)
        beside = signed(sources, self.bounded)
        return velocity_errors(flow, clean - beside, noise, time, labels, conditions, beside)


def pace(progress: float) -> float:
    """The learning rate at a share of a training, as a share of the highest: it rises over a tenth, and falls.

    >>> [round(pace(one), 2) for one in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.02, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < _RISING:
        return max(progress / _RISING, _SLOWEST)
    return (1 + math.cos(math.pi * min(1.0, (progress - _RISING) / (1 - _RISING)))) / 2


def velocity_errors(
    flow: nn.Module,
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    labels: Tensor,
    conditions: Tensor | None,
    beside: Tensor | None = None,
) -> Tensor:
    """The mean square error ``[N]`` of a flow's velocity between samples and noise ``[N, ...]``, at times ``[N]``."""
    when = time.view(-1, *[1] * (clean.ndim - 1))
    found = flow(torch.lerp(clean, noise, when), time, labels, conditions, beside)
    errors: Tensor = (found - (noise - clean)).square().flatten(1).mean(dim=1)
    return errors


def diffusion_generator(parts: Parts, sampling: DiffusionSampling) -> NetworkGenerator:
    """A flow, and how samples are made with it."""
    config, how = parts.config, sampling.filled(parts.config.student)
    call = Sampler(parts.target, how, paired=config.paired, scale=scale_of(parts.target))
    wants_source = config.paired or how.strength is not None
    return parts.latent(parts.target.shape, call, wants_source=wants_source, keyed=how.churn > 0)


def scale_of(target: Target) -> float:
    """The standard deviation of what is made, about: images are taken to be between -1 and 1."""
    return _SCALE if target.bounded else 1.0


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
