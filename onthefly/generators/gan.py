"""GAN: a class-conditional generative adversarial network that stays stable on little data.

The loss is R3GAN's: a relativistic pairing of real and fake images with gradient penalties on both, which converges
where others cycle or collapse (Huang, Gokaslan, Kuleshov and Tompkin, "The GAN is dead; long live the GAN!", NeurIPS
2024). The critic sees all images through DiffAugment, without which it would learn a small data set by heart (Zhao et
al., NeurIPS 2020), and judges them by class with a projection (Miyato and Koyama, ICLR 2018). What is kept is the
moving average of the generator's weights.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.generators.diff_augment import diff_augment
from onthefly.generators.distance import distance_by_class
from onthefly.generators.family import WIDEST, Family, check_sizes
from onthefly.generators.networks import decoder, encoder
from onthefly.generators.target import Target
from onthefly.generators.trainer import Losses, Trainer

_LEARNING_RATE = 5e-4
_BETAS = (0.0, 0.99)
_PENALTY = 0.5  # R3GAN's gamma
_PENALTY_EVERY = (
    8  # steps; the penalty costs as much as the rest, and StyleGAN2 found that it needn't be paid every time
)
_AVERAGE = 0.998
_FEATURES = 128


@dataclass(frozen=True)
class GANConfig:
    """The size of a GAN.

    Attributes:
        latent: numbers of noise.
        width: channels at full image size.
    """

    latent: int = 64
    width: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, latent=WIDEST, width=WIDEST)


def build_gan(target: Target, config: GANConfig) -> nn.Module:
    """The network that makes samples: the part that a checkpoint holds."""
    return decoder(target, config.latent, config.width)


class GANTrainer(Trainer):
    """Trains a GAN."""

    def __init__(
        self, target: Target, config: GANConfig, device: torch.device, steps: int, network: nn.Module | None = None
    ) -> None:
        self.generator = (build_gan(target, config) if network is None else network).to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.critic = _Critic(target, config.width).to(device)
        self.latent, self.done = config.latent, 0
        learnt = [one for one in self.generator.parameters() if one.requires_grad]
        self._generator_step = torch.optim.Adam(learnt, _LEARNING_RATE, betas=_BETAS)
        self._critic_step = torch.optim.Adam(self.critic.parameters(), _LEARNING_RATE, betas=_BETAS)

    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Losses:
        losses = {
            "critic": self._train_critic(samples, labels, conditions),
            "generator": self._train_generator(samples, labels, conditions),
        }
        self.done += 1
        keep = min(_AVERAGE, self.done / (self.done + 10))
        for mean, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)
        return losses

    @torch.no_grad()
    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """How far samples of the same classes are from these, class by class: the sliced Wasserstein distance."""
        noise = torch.randn(len(labels), self.latent, device=labels.device)
        return distance_by_class(samples, self.average(noise, labels, conditions), labels)

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.average

    def _train_critic(self, samples: Tensor, labels: Tensor, conditions: Tensor | None) -> Tensor:
        with torch.no_grad():
            fakes = self._make(labels, conditions)
        shown = diff_augment(torch.cat([samples, fakes])).requires_grad_()
        scores = self.critic(shown, labels.repeat(2), _twice(conditions))
        real, fake = scores.chunk(2)
        loss = F.softplus(fake - real).mean()
        penalty = torch.zeros_like(loss)
        if self.done % _PENALTY_EVERY == 0:
            (slope,) = torch.autograd.grad(scores.sum(), shown, create_graph=True)
            penalty = _PENALTY * slope.square().flatten(1).sum(dim=1).mean() * _PENALTY_EVERY
        self._critic_step.zero_grad()
        (loss + penalty).backward()
        self._critic_step.step()
        return loss.detach()

    def _train_generator(self, samples: Tensor, labels: Tensor, conditions: Tensor | None) -> Tensor:
        self.critic.requires_grad_(False)
        shown = diff_augment(torch.cat([samples, self._make(labels, conditions)]))
        real, fake = self.critic(shown, labels.repeat(2), _twice(conditions)).chunk(2)
        loss = F.softplus(real - fake).mean()
        self._generator_step.zero_grad()
        loss.backward()
        self._generator_step.step()
        self.critic.requires_grad_(True)
        return loss.detach()

    def _make(self, labels: Tensor, conditions: Tensor | None) -> Tensor:
        noise = torch.randn(len(labels), self.latent, device=labels.device)
        samples: Tensor = self.generator(noise, labels, conditions)
        return samples


class _Critic(nn.Module):
    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        self.encoder = encoder(target, _FEATURES, width)
        self.verdict, self.kind = nn.Linear(_FEATURES, 1), nn.Embedding(target.classes, _FEATURES)
        self.conditions = nn.Linear(target.conditions, _FEATURES, bias=False) if target.conditions else None

    def forward(self, samples: Tensor, labels: Tensor, conditions: Tensor | None) -> Tensor:
        features = F.leaky_relu(self.encoder(samples), 0.2)
        kind = self.kind(labels)
        if self.conditions is not None:
            kind = kind + self.conditions(conditions)
        scores: Tensor = self.verdict(features)[:, 0] + (kind * features).mean(dim=1) * _FEATURES**0.5
        return scores


def _twice(conditions: Tensor | None) -> Tensor | None:
    return None if conditions is None else conditions.repeat(2, 1)


GAN = Family("gan", GANConfig, build_gan, GANTrainer, steps=4000, bfloat16=True)
