"""The closed table of families: what a checkpoint may be, so that no file can name code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from onthefly.data.spec import Spec
from onthefly.generators.gan import GANConfig, GANTrainer, build_gan
from onthefly.generators.vae import ClassDecoder, VAEConfig, VAETrainer

Config = GANConfig | VAEConfig


class Trainer(Protocol):
    """What trains a family, a batch at a time."""

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Learn from ``float32[N, C, H, W]`` and ``int64[N]``; returns the losses by name."""

    def network(self) -> nn.Module:
        """The network from noise and class to image, as it is now."""


@dataclass(frozen=True)
class Family:
    """One kind of generator.

    Attributes:
        name: what a card calls it.
        config: how large it is; the part of a card that rebuilds it, beside the spec.
        network: ``network(spec, config)``, untrained.
        trainer: ``trainer(spec, config, device, steps)``.
        steps: of training, where nobody says how many.
        bfloat16: whether samples made in bfloat16 are within 0.02 of what they are in float32.
    """

    name: str
    config: type[Config]
    network: Callable[[Spec, Any], nn.Module]
    trainer: Callable[[Spec, Any, torch.device, int], Trainer]
    steps: int
    bfloat16: bool = False

    def configure(self, values: Mapping[str, Any]) -> Config:
        """The config with these values; an unknown one is refused."""
        known = {field.name for field in fields(self.config)}
        unknown = values.keys() - known
        if unknown or not all(isinstance(value, int) and value > 0 for value in values.values()):
            raise ValueError(
                f"{self.name}: expected whole numbers above 0 for {', '.join(sorted(known))}, found {dict(values)}"
            )
        return self.config(**values)


FAMILIES = {
    family.name: family
    for family in (
        Family("gan", GANConfig, build_gan, GANTrainer, steps=4000, bfloat16=True),
        Family("vae", VAEConfig, ClassDecoder, VAETrainer, steps=2000, bfloat16=True),
    )
}


def family_of(name: str) -> Family:
    """The family of that name.

    >>> family_of("vae").config()
    VAEConfig(latent=16, width=32)
    """
    if name not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, found {name!r}; a newer release may know it")
    return FAMILIES[name]
