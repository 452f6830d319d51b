"""VAE: a class-conditional variational autoencoder: quick to train, stable on the smallest data sets, a little soft.

The bound is the usual one (Kingma and Welling, ICLR 2014); how closely pixels must agree is learnt with it, which
spares the weight that others tune (Rybkin, Daniilidis and Levine, ICML 2021). The codes of real images never quite fill
the prior, and samples from its empty parts look like nothing; so codes are drawn, for each class, from the normal
distribution that its images were really given (ex-post density estimation: Ghosh et al., ICLR 2020), shrunk to the
prior where images are few.

Samples can also be made from real ones: their code is then between that of a real sample of the class and one drawn, on
the arc that keeps the distribution of the class's codes, which a straight line would draw towards their mean.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from onthefly.generators.family import WIDEST, Family, Parts, check_sizes
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.networks import decoder, encoder
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Separable

_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-4
_MEMORY = 0.995  # of the codes' moments, a step
_LOG_VARIANCE = 8.0  # at most, either way
_NEARER = 10.0  # times as near to the prior are codes that are drawn from it
_FINEST = 0.1  # standard deviation of a pixel: what is finer isn't worth a code


@dataclass(frozen=True)
class VAEConfig:
    """The size of a VAE.

    Attributes:
        latent: numbers in a code.
        width: channels at full image size.
        encoder: whether a checkpoint holds the encoder, which samples made from real ones need.
    """

    latent: int = 16
    width: int = 32
    encoder: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, latent=WIDEST, width=WIDEST)


@dataclass(frozen=True)
class VAESampling:
    """How a VAE makes samples.

    Attributes:
        interpolate: how far from a real sample of the class to one drawn: 0 the real one as the decoder sees it, 1 one
            made from noise alone. None for samples from noise, without a real one.

    Raises:
        ValueError: for anything else.
    """

    interpolate: float | None = None

    def __post_init__(self) -> None:
        given = self.interpolate
        if given is not None and not (type(given) in (int, float) and 0 <= given <= 1):
            raise ValueError(f"vae: load: interpolate: expected a number from 0 to 1, found {given!r}; write 0.5")


class ClassDecoder(nn.Module):
    """A decoder whose noise is first given the mean and covariance of its class's codes; and, where it is kept, the
    encoder."""

    def __init__(self, target: Target, config: VAEConfig) -> None:
        super().__init__()
        classes, latent = target.classes, config.latent
        self.decoder = decoder(target, latent, config.width)
        self.mean = nn.Buffer(torch.zeros(classes, latent))
        self.factor = nn.Buffer(torch.eye(latent).repeat(classes, 1, 1))  # Cholesky's, of the covariance
        self.encoder = ClassEncoder(target, config) if config.encoder else None

    def forward(self, noise: Tensor, label: Tensor, conditions: Tensor | None = None) -> Tensor:
        """``float32[N, latent]``, ``int64[N]`` and ``float32[N, conditions]`` to ``float32[N, *target.shape]``."""
        samples: Tensor = self.decoder(self.mean[label] + self._beside(noise, label), label, conditions)
        return samples

    def between(
        self, noise: Tensor, label: Tensor, *, source: Tensor, share: float, conditions: Tensor | None = None
    ) -> Tensor:
        """The same, but ``share`` of the way to that from a real sample, ``float32[N, *target.shape]``."""
        mean, angle = self.mean[label], share * math.pi / 2
        code, _ = cast(ClassEncoder, self.encoder)(source, label, conditions)
        beside = math.cos(angle) * (code - mean) + math.sin(angle) * self._beside(noise, label)
        samples: Tensor = self.decoder(mean + beside, label, conditions)
        return samples

    def _beside(self, noise: Tensor, label: Tensor) -> Tensor:
        """How far from its class's mean a code is."""
        return (self.factor[label] @ noise[:, :, None])[:, :, 0]


class ClassEncoder(nn.Module):
    """An encoder that is told the class and the conditions."""

    def __init__(self, target: Target, config: VAEConfig) -> None:
        super().__init__()
        size = 2 * config.latent
        self.encoder, self.kind = encoder(target, size, config.width), nn.Embedding(target.classes, size)
        self.told = nn.Linear(target.conditions, size, bias=False) if target.conditions else None

    def forward(self, samples: Tensor, label: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``float32[N, *target.shape]`` to the mean and the logarithm of the variance of ``float32[N, latent]``."""
        known = self.encoder(samples) + self.kind(label)
        mean, log_variance = (known if self.told is None else known + self.told(conditions)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE)


class VAETrainer(Separable):
    """Trains a VAE; the learning rate rises and falls over the steps.

    Sample by sample, how closely pixels must agree is each sample's own, and codes are drawn from the prior, since the
    moments would be the samples'; so they are kept nearer to it (Higgins et al., ICLR 2017).
    """

    def __init__(
        self, target: Target, config: VAEConfig, device: torch.device, steps: int, network: nn.Module | None = None
    ) -> None:
        classes, latent = target.classes, config.latent
        self.model = (ClassDecoder(target, config) if network is None else cast(ClassDecoder, network)).to(device)
        kept = self.model.encoder
        self.encoder = ClassEncoder(target, config).to(device) if kept is None else kept
        self.moments = _Moments(classes, latent, device)
        parameters = [one for one in self.learns().parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, _LEARNING_RATE, total_steps=steps)

    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Losses:
        """Returns the error of a value, and the nats in a code."""
        mean, log_variance = self.encoder(samples, labels, conditions)
        error = self._errors(samples, labels, conditions, mean, log_variance).mean()
        divergence = _divergences(mean, log_variance).mean()
        self.optimizer.zero_grad()
        (_nats(error, samples) + divergence).backward()
        self.optimizer.step()
        self.follow()
        self.moments.add(mean.detach(), log_variance.detach().exp(), labels)
        return {"error": error.detach().sqrt(), "nats": divergence.detach()}

    def learns(self) -> nn.Module:
        """The model, and what reads samples for it."""
        return nn.ModuleList([self.model] if self.model.encoder is self.encoder else [self.model, self.encoder])

    def each(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Nats of each sample, those in its code several times, but for a constant."""
        mean, log_variance = self.encoder(samples, labels, conditions)
        errors = self._errors(samples, labels, conditions, mean, log_variance)
        return _nats(errors, samples) + _NEARER * _divergences(mean, log_variance)

    def follow(self) -> None:
        """The learning rate's."""
        self._schedule.step()

    @torch.no_grad()
    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Nats a sample, but for a constant."""
        mean, log_variance = self.encoder(samples, labels, conditions)
        error = self._errors(samples, labels, conditions, mean, log_variance).mean()
        return _nats(error, samples) + _divergences(mean, log_variance).mean()

    @torch.no_grad()
    def network(self) -> nn.Module:
        """The network as it is now, with the distribution of each class's codes."""
        mean, covariance = self.moments.fit()
        self.model.mean.copy_(mean)
        self.model.factor.copy_(torch.linalg.cholesky(covariance))
        return self.model

    def _errors(
        self, samples: Tensor, labels: Tensor, conditions: Tensor | None, mean: Tensor, log_variance: Tensor
    ) -> Tensor:
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        made: Tensor = self.model.decoder(code, labels, conditions)
        return (made - samples).square().flatten(1).mean(dim=1)


def _divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def _nats(error: Tensor, samples: Tensor) -> Tensor:
    return samples[0].numel() / 2 * (error + _FINEST**2).log()


class _Moments(nn.Module):
    """The first two moments of each class's codes over the last few hundred steps."""

    def __init__(self, classes: int, latent: int, device: torch.device) -> None:
        super().__init__()
        self.count = nn.Buffer(torch.zeros(classes, device=device))
        self.first = nn.Buffer(torch.zeros(classes, latent, device=device))
        self.second = nn.Buffer(torch.zeros(classes, latent, latent, device=device))

    def add(self, mean: Tensor, variance: Tensor, labels: Tensor) -> None:
        for total in (self.count, self.first, self.second):
            total.mul_(_MEMORY)
        self.count.index_add_(0, labels, torch.ones_like(mean[:, 0]))
        self.first.index_add_(0, labels, mean)
        self.second.index_add_(0, labels, mean[:, :, None] * mean[:, None, :] + variance.diag_embed())

    def fit(self) -> tuple[Tensor, Tensor]:
        """Mean ``[C, latent]`` and covariance ``[C, latent, latent]``; what is missing of ``latent`` images, the prior
        counts for."""
        latent = self.first.shape[1]
        weight = (self.count / (self.count + latent))[:, None]
        mean = self.first / self.count.clamp(min=1)[:, None]
        spread = self.second / self.count.clamp(min=1)[:, None, None] - mean[:, :, None] * mean[:, None, :]
        prior = torch.eye(latent, device=mean.device)
        return weight * mean, weight[..., None] * spread + (1 - weight[..., None]) * prior


def _generator(parts: Parts, sampling: VAESampling) -> LatentGenerator:
    if sampling.interpolate is None:
        return parts.latent((parts.config.latent,))
    if not parts.config.encoder:
        raise ValueError(
            "vae: load: expected a checkpoint that holds its encoder, to interpolate from real samples, found one "
            "without; train it again, or leave interpolate out"
        )

    call = partial(ClassDecoder.between, share=sampling.interpolate)
    return parts.latent((parts.config.latent,), call, wants_source=True)


VAE = Family(
    "vae",
    VAEConfig,
    ClassDecoder,
    VAETrainer,
    steps=2000,
    sampling=VAESampling,
    generator=_generator,
    bfloat16=True,
)
