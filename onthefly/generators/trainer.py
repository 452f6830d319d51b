"""What trains a family, a batch at a time, and can be stopped and gone on with at any step."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.generators.target import Target

Losses = dict[str, Tensor]


class Trainer(ABC):
    """What trains a network.

    All that it learns is among its attributes: modules, optimisers and their schedules, tensors and whole numbers; so
    that its state can be saved without its help.

    Args:
        target: what to make.
        config: how large.
        device: where.
        steps: how many there will be.
        network: to go on from, instead of a new one.
    """

    @abstractmethod
    def __init__(
        self, target: Target, config: Any, device: torch.device, steps: int, network: nn.Module | None = None
    ) -> None: ...

    @abstractmethod
    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Losses:
        """Learn from a batch; returns the losses by name, for people to see.

        Args:
            samples: ``[N, *target.shape]``, encoded.
            labels: ``int64[N]``.
            conditions: ``float32[N, target.conditions]``; None where there are none.
        """

    @abstractmethod
    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """How badly the network does on samples that it wasn't shown: less is better. It draws from torch's global
        generators, which are seeded alike each time."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The network as it is now, averaged over steps where that is better: the part that a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: nested dicts and lists of tensors and plain values."""
        return {name: _state_of(value) for name, value in vars(self).items() if _is_state(value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, value in state.items():
            own = getattr(self, name)
            if hasattr(own, "load_state_dict"):
                own.load_state_dict(value)
            elif isinstance(own, Tensor):
                own.copy_(value)
            else:
                setattr(self, name, value)


class Separable(Trainer):
    """A trainer whose loss is a sum over samples, so that each one's part in it can be limited.

    Attributes:
        optimizer: of what is learnt.
    """

    optimizer: torch.optim.Optimizer

    @abstractmethod
    def learns(self) -> nn.Module:
        """All that learns, as one module."""

    @abstractmethod
    def each(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The loss of each sample, ``float32[N]``, which no other one is part of."""

    @abstractmethod
    def follow(self) -> None:
        """What comes after the optimiser's step, and looks at no sample: its schedule, moving averages."""


def _is_state(value: Any) -> bool:
    return hasattr(value, "state_dict") or isinstance(value, (Tensor, bool, int, float))


def _state_of(value: Any) -> Any:
    return value.state_dict() if hasattr(value, "state_dict") else value
