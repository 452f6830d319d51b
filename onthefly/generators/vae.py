"""VAE: a class-conditional variational autoencoder: quick to train, stable on the smallest data sets, a little soft.

The bound is the usual one (Kingma and Welling, ICLR 2014); how closely pixels must agree is learnt with it, which
spares the weight that others tune (Rybkin, Daniilidis and Levine, ICML 2021). The codes of real images never quite fill
the prior, and samples from its empty parts look like nothing; so codes are drawn, for each class, from the normal
distribution that its images were really given (ex-post density estimation: Ghosh et al., ICLR 2020), shrunk to the
prior where images are few.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onthefly.data.spec import Spec
from onthefly.generators.networks import ImageDecoder, ImageEncoder

_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-4
_MEMORY = 0.995  # of the codes' moments, a step
_LOG_VARIANCE = 8.0  # at most, either way
_FINEST = 0.1  # standard deviation of a pixel: what is finer isn't worth a code


@dataclass(frozen=True)
class VAEConfig:
    """The size of a VAE.

    Attributes:
        latent: numbers in a code.
        width: channels at full image size.
    """

    latent: int = 16
    width: int = 32


class ClassDecoder(nn.Module):
    """An ``ImageDecoder`` whose noise is first given the mean and covariance of its class's codes."""

    def __init__(self, spec: Spec, config: VAEConfig) -> None:
        super().__init__()
        classes, latent = spec.classes.count, config.latent
        self.decoder = ImageDecoder(spec.fields["image"].shape, classes, latent, config.width)
        self.mean = nn.Buffer(torch.zeros(classes, latent))
        self.factor = nn.Buffer(torch.eye(latent).repeat(classes, 1, 1))  # Cholesky's, of the covariance

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        """``float32[N, latent]`` and ``int64[N]`` to ``float32[N, C, H, W]`` in [0, 1]."""
        code = self.mean[label] + (self.factor[label] @ noise[:, :, None])[:, :, 0]
        images: Tensor = self.decoder(code, label)
        return images


class VAETrainer:
    """Trains a VAE, a batch at a time.

    Args:
        spec: what to make.
        config: how large.
        device: where.
        steps: how many there will be; the learning rate rises and falls over them.
    """

    def __init__(self, spec: Spec, config: VAEConfig, device: torch.device, steps: int) -> None:
        classes, latent = spec.classes.count, config.latent
        self.model = ClassDecoder(spec, config).to(device)
        self.encoder = ImageEncoder(spec.fields["image"].shape, 2 * latent, config.width).to(device)
        self.kind = nn.Embedding(classes, 2 * latent, device=device)
        self.moments = _Moments(classes, latent, device)
        parameters = [p for part in (self.model, self.encoder, self.kind) for p in part.parameters()]
        self._step = torch.optim.AdamW(parameters, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._step, _LEARNING_RATE, total_steps=steps)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One step on real images ``float32[N, C, H, W]`` of classes ``int64[N]``; returns the error of a pixel, and
        the nats in a code."""
        mean, log_variance = (self.encoder(images) + self.kind(labels)).chunk(2, dim=1)
        log_variance = log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        error = (self.model.decoder(code, labels) - images).square().mean()
        reconstruction = images[0].numel() / 2 * (error + _FINEST**2).log()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2 / len(images)
        self._step.zero_grad()
        (reconstruction + divergence).backward()
        self._step.step()
        self._schedule.step()
        self.moments.add(mean.detach(), log_variance.detach().exp(), labels)
        return {"error": float(error.detach().sqrt()), "nats": float(divergence.detach())}

    def network(self) -> nn.Module:
        """The network as it is now, with the distribution of each class's codes."""
        mean, covariance = self.moments.fit()
        self.model.mean.copy_(mean)
        self.model.factor.copy_(torch.linalg.cholesky(covariance))
        return self.model


class _Moments:
    """The first two moments of each class's codes over the last few hundred steps."""

    def __init__(self, classes: int, latent: int, device: torch.device) -> None:
        self.count = torch.zeros(classes, device=device)
        self.first = torch.zeros(classes, latent, device=device)
        self.second = torch.zeros(classes, latent, latent, device=device)

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
