"""Flow: a conditional normalising flow: exact likelihoods, and so the best account of rows of numbers.

It is made of coupling layers whose splines the other half of the numbers bends (Durkan, Bekasov, Murray and
Papamakarios, "Neural spline flows", NeurIPS 2019). They are inverted as quickly as they are computed; an autoregressive
flow would need a pass for every number. Rows are modelled directly. Images and signals have too many numbers for that,
of which most say little: there the flow models the codes of an autoencoder, and both learn one bound together, that of
a VAE whose prior is the flow (Chen et al., "Variational lossy autoencoder", ICLR 2017).

A flow can tell every row that it has seen from all others, and of a rare class it has seen few rows often. So rows are
blurred while it learns (Rothfuss et al., "Noise regularization for conditional density estimation", 2019).
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from onthefly.extras import require
from onthefly.generators.family import DEEPEST, WIDEST, Family, Parts, Plain, check_sizes
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.networks import decoder, encoder
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Trainer

_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-4
_STEEPEST = 5.0  # norm of a gradient: a sample far from the others would undo hundreds of steps
_KIND = 16  # numbers that tell the class
_WIDER = 2  # times the width are hidden layers
_BLUR = 0.1  # standard deviation of what is added to rows
_FLATTEST = 1e-3  # slope of a spline
_LOG_VARIANCE = 8.0  # of a code, at most, either way
_FINEST = 0.1  # standard deviation of a pixel: what is finer isn't worth a code


@dataclass(frozen=True)
class FlowConfig:
    """The size of a flow.

    Attributes:
        latent: numbers in a code, of images and signals; rows are their own code.
        width: half of the hidden layers'; of images, channels at full size.
        couplings: how many.
        bins: pieces of a spline.
    """

    latent: int = 16
    width: int = 32
    couplings: int = 6
    bins: int = 8

    def __post_init__(self) -> None:
        check_sizes(self, latent=WIDEST, width=WIDEST, couplings=DEEPEST, bins=WIDEST)


class FlowNetwork(nn.Module):
    """A flow from noise to codes; and, for images and signals, a decoder of these.

    Args:
        target: what to make.
        config: how large.

    Raises:
        ImportError: without zuko, naming the extra that brings it.
        ValueError: for rows of more than 65,536 numbers.
    """

    def __init__(self, target: Target, config: FlowConfig) -> None:
        super().__init__()
        size = size_of(target, config)
        if size > WIDEST:
            raise ValueError(f"flow: expected rows of {WIDEST} numbers or fewer, found {size}; take another family")
        self.kind = nn.Embedding(target.classes, _KIND)
        self.flow = _Couplings(size, _KIND + target.conditions, config)
        self.decoder = decoder(target, config.latent, config.width) if target.sides else None

    def forward(self, noise: Tensor, label: Tensor, conditions: Tensor | None = None) -> Tensor:
        """``float32[N, size]``, ``int64[N]`` and ``float32[N, conditions]`` to ``float32[N, *target.shape]``.

        The flow is inverted in float64: where a spline is flat its inverse is steep, and would make what single numbers
        lose by rounding, which depends on the batch, more than 1e-5.
        """
        double = {name: one.double() for name, one in self.flow.named_parameters()}
        told = self._told(label, conditions).double()
        code = functional_call(self.flow, double, (noise.double(), told)).float()
        samples: Tensor = code if self.decoder is None else self.decoder(code, label, conditions)
        return samples

    def nats(self, codes: Tensor, label: Tensor, conditions: Tensor | None) -> Tensor:
        """The negative logarithm of the density of ``float32[N, size]``, for each."""
        return self.flow.nats(codes, self._told(label, conditions))

    def _told(self, label: Tensor, conditions: Tensor | None) -> Tensor:
        kind: Tensor = self.kind(label)
        return kind if conditions is None else torch.cat([kind, conditions], dim=1)


class _Couplings(nn.Module):
    """A flow between codes and noise of the same size, under what it is told of a sample."""

    def __init__(self, size: int, told: int, config: FlowConfig) -> None:
        super().__init__()
        lazy, distributions = (require(f"zuko.{name}", extra="flow") for name in ("lazy", "distributions"))
        zeros, ones = torch.zeros(size), torch.ones(size)
        normal = lazy.UnconditionalDistribution(distributions.DiagNormal, loc=zeros, scale=ones, buffer=True)
        couplings = [_Coupling(_half(size, number), told, config) for number in range(config.couplings)]
        self.layers = lazy.Flow(couplings, normal)

    def forward(self, noise: Tensor, told: Tensor) -> Tensor:
        """Codes."""
        codes: Tensor = self.layers(told).transform.inv(noise)
        return codes

    def nats(self, codes: Tensor, told: Tensor) -> Tensor:
        nats: Tensor = -self.layers(told).log_prob(codes)
        return nats


class _Coupling(nn.Module):
    """Some numbers stay, and bend with what is told the splines through which the others go. (zuko's own module
    can't be built without memory, as a checkpoint's is until its tensors are read.)"""

    def __init__(self, stays: Tensor, told: int, config: FlowConfig) -> None:
        super().__init__()
        self.stays, staying = nn.Buffer(stays.to(torch.uint8)), int(stays.sum())
        self.sizes = (config.bins, config.bins, config.bins - 1)  # of a spline: widths, heights and slopes
        hidden = (_WIDER * config.width,) * 2
        self.bends: nn.Module = require("zuko.nn", extra="flow").MLP(
            staying + told, (len(stays) - staying) * sum(self.sizes), hidden, activation=nn.SiLU
        )

    def forward(self, told: Tensor) -> Any:
        """The transform of codes to noise."""
        transforms = require("zuko.transforms", extra="flow")

        def splines(staying: Tensor) -> Any:
            bent = self.bends(torch.cat([staying, told], dim=1)).unflatten(1, (-1, sum(self.sizes)))
            spline = transforms.MonotonicRQSTransform(*bent.split(self.sizes, dim=-1), slope=_FLATTEST)
            return transforms.DependentTransform(spline, 1)

        return transforms.CouplingTransform(splines, self.stays.bool())


def _half(size: int, number: int) -> Tensor:
    """Which numbers stay as they are in a coupling: half of them, others in each. On the CPU: they are counted."""
    order = torch.randperm(size, generator=torch.Generator("cpu").manual_seed(number), device="cpu")
    return order % 2 == number % 2 if size > 1 else order > 0


class FlowTrainer(Trainer):
    """Trains a flow, and for images and signals the autoencoder around it; the learning rate rises and falls over the
    steps."""

    def __init__(
        self, target: Target, config: FlowConfig, device: torch.device, steps: int, network: nn.Module | None = None
    ) -> None:
        self.model = (FlowNetwork(target, config) if network is None else cast(FlowNetwork, network)).to(device)
        self.encoder = encoder(target, 2 * config.latent, config.width).to(device) if target.sides else nn.Identity()
        self._learnt = [one for part in (self.model, self.encoder) for one in part.parameters() if one.requires_grad]
        self._step = torch.optim.AdamW(self._learnt, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._step, _LEARNING_RATE, total_steps=steps)

    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Losses:
        """Returns the nats of a row; of images and signals the error of a value, and the nats of a code."""
        blurred = samples + _BLUR * torch.randn_like(samples) if self.model.decoder is None else samples
        nats, losses = self._bound(blurred, labels, conditions)
        self._step.zero_grad()
        nats.mean().backward()
        nn.utils.clip_grad_norm_(self._learnt, _STEEPEST)
        self._step.step()
        self._schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Nats a sample, the mean over classes, so that a rare one counts as others: exactly of rows, of images and
        signals their bound but for a constant."""
        nats, _ = self._bound(samples, labels, conditions)
        return torch.stack([nats[labels == label].mean() for label in labels.unique()]).mean()

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.model

    def _bound(self, samples: Tensor, labels: Tensor, conditions: Tensor | None) -> tuple[Tensor, Losses]:
        """Nats ``[N]``, and what people see of them."""
        if self.model.decoder is None:
            nats = self.model.nats(samples, labels, conditions)
            return nats, {"nats": nats.mean()}
        mean, log_variance = self.encoder(samples).chunk(2, dim=1)
        log_variance, noise = log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE), torch.randn_like(mean)
        codes = mean + noise * (log_variance / 2).exp()
        given = (log_variance + noise.square() + math.log(2 * math.pi)).sum(dim=1) / 2
        nats = self.model.nats(codes, labels, conditions) - given
        error = (self.model.decoder(codes, labels, conditions) - samples).square().flatten(1).mean(dim=1)
        shown = {"error": error.mean().sqrt(), "nats": nats.mean()}
        return nats + samples[0].numel() / 2 * (error + _FINEST**2).log(), shown


def size_of(target: Target, config: FlowConfig) -> int:
    """How many numbers the flow makes: those of a code, or of a row."""
    return config.latent if target.sides else target.shape[0]


def _generator(parts: Parts, sampling: Plain) -> LatentGenerator:  # noqa: ARG001 - as every family's
    return parts.latent((size_of(parts.target, parts.config),))


FLOW = Family("flow", FlowConfig, FlowNetwork, FlowTrainer, steps=2000, generator=_generator, jitter=True)
