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

from onthefly.data.spec import Spec
from onthefly.generators.networks import ImageDecoder, ImageEncoder, Shape

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


def build_gan(spec: Spec, config: GANConfig) -> ImageDecoder:
    """The network that makes images: the part that a checkpoint holds."""
    return ImageDecoder(_shape(spec), spec.classes.count, config.latent, config.width)


class GANTrainer:
    """Trains a GAN, a batch at a time.

    Args:
        spec: what to make.
        config: how large.
        device: where.
        steps: how many there will be.
    """

    def __init__(self, spec: Spec, config: GANConfig, device: torch.device, steps: int) -> None:
        self.generator = build_gan(spec, config).to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.critic = _Critic(_shape(spec), spec.classes.count, config.width).to(device)
        self.latent, self.done = config.latent, 0
        self._generator_step = torch.optim.Adam(self.generator.parameters(), _LEARNING_RATE, betas=_BETAS)
        self._critic_step = torch.optim.Adam(self.critic.parameters(), _LEARNING_RATE, betas=_BETAS)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One step on real images ``float32[N, C, H, W]`` of classes ``int64[N]``; returns the losses."""
        losses = {"critic": self._train_critic(images, labels), "generator": self._train_generator(images, labels)}
        self.done += 1
        keep = min(_AVERAGE, self.done / (self.done + 10))
        for mean, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - keep)
        return losses

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.average

    def _train_critic(self, images: Tensor, labels: Tensor) -> float:
        with torch.no_grad():
            fakes = self._make(labels)
        shown = diff_augment(torch.cat([images, fakes])).requires_grad_()
        scores = self.critic(shown, labels.repeat(2))
        real, fake = scores.chunk(2)
        loss = F.softplus(fake - real).mean()
        penalty = torch.zeros_like(loss)
        if self.done % _PENALTY_EVERY == 0:
            (slope,) = torch.autograd.grad(scores.sum(), shown, create_graph=True)
            penalty = _PENALTY * slope.square().sum(dim=(1, 2, 3)).mean() * _PENALTY_EVERY
        self._critic_step.zero_grad()
        (loss + penalty).backward()
        self._critic_step.step()
        return float(loss.detach())

    def _train_generator(self, images: Tensor, labels: Tensor) -> float:
        self.critic.requires_grad_(False)
        shown = diff_augment(torch.cat([images, self._make(labels)]))
        real, fake = self.critic(shown, labels.repeat(2)).chunk(2)
        loss = F.softplus(real - fake).mean()
        self._generator_step.zero_grad()
        loss.backward()
        self._generator_step.step()
        self.critic.requires_grad_(True)
        return float(loss.detach())

    def _make(self, labels: Tensor) -> Tensor:
        images: Tensor = self.generator(torch.randn(len(labels), self.latent, device=labels.device), labels)
        return images


def diff_augment(images: Tensor) -> Tensor:
    """DiffAugment's colour, translation and cutout, each image by itself, differentiably: ``float32[N, C, H, W]`` to
    the same."""
    return _cutout(_translate(_colour(images)))


class _Critic(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: int) -> None:
        super().__init__()
        self.encoder = ImageEncoder(shape, _FEATURES, width)
        self.verdict, self.kind = nn.Linear(_FEATURES, 1), nn.Embedding(classes, _FEATURES)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = F.leaky_relu(self.encoder(images), 0.2)
        scores: Tensor = self.verdict(features)[:, 0] + (self.kind(labels) * features).mean(dim=1) * _FEATURES**0.5
        return scores


def _shape(spec: Spec) -> Shape:
    return spec.fields["image"].shape


def _rand(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def _colour(images: Tensor) -> Tensor:
    images = images + (_rand(images) - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * _rand(images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + _rand(images))


def _translate(images: Tensor) -> Tensor:
    """By up to an eighth of the side, filled with zeros."""
    height, width = images.shape[2:]
    up, left = round(height / 8), round(width / 8)
    padded = F.pad(images, (left, left, up, up)).movedim(1, -1)
    rows = torch.arange(height, device=images.device) + torch.randint(
        2 * up + 1, (len(images), 1), device=images.device
    )
    columns = torch.arange(width, device=images.device) + torch.randint(
        2 * left + 1, (len(images), 1), device=images.device
    )
    which = torch.arange(len(images), device=images.device)
    return padded[which[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _cutout(images: Tensor) -> Tensor:
    """A square of half the side, centred anywhere, becomes zero."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for dim in (2, 3):
        side = images.shape[dim]
        centre = torch.randint(side, (len(images), 1), device=images.device)
        near = (torch.arange(side, device=images.device) - centre).abs() * 4 < side
        inside = inside & near.unflatten(1, (-1, 1) if dim == 2 else (1, -1))[:, None]
    return images * ~inside
