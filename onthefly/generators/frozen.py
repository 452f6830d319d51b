"""Generators that are a network and a card, so that a checkpoint can hold them."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from onthefly.data.spec import Spec
from onthefly.generators.attributes import Attributes
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.running import device_of


class NetworkGenerator(FrozenGenerator):
    """A network, frozen where it stands.

    Args:
        network: put into eval mode, its parameters without gradient.
        spec: what it makes.
        card: what is known about it.

    Attributes:
        attributes: the conditions that samples are made under.
        sampling: how samples are made, where there is a choice: what ``load`` was told.
        allows_bfloat16: whether the network may be run in bfloat16.
    """

    allows_bfloat16: bool = True
    sampling: Any = None

    def __init__(self, network: nn.Module, spec: Spec, *, card: Mapping[str, Any] | None = None) -> None:
        self.network = network.eval().requires_grad_(False)
        self.spec, self.card = spec, card
        self.attributes = Attributes(spec.conditions)

    @property
    def makes(self) -> NDArray[np.bool_]:
        """The classes that it was shown, as its card says."""
        shown = (self.card or {}).get("training", {}).get("samples_of_each_class")
        return super().makes if shown is None else np.asarray(shown) > 0

    @property
    def where(self) -> torch.device:
        return device_of(self.network)

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        return super().to(device)
