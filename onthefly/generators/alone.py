"""Samples by themselves: the loss of each, and its gradient.

Each is computed by a function that is given one sample and nothing else (``torch.func.vmap``), so no layer can mix
samples unnoticed: one that tries, such as batch normalisation, raises.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from onthefly.generators.trainer import Separable

Piece = tuple[Tensor | None, ...]

_BYTES = {"cpu": 2**26, "cuda": 2**30}  # that the gradients of samples may take at one time


class Alone(nn.Module):
    """The losses of a trainer, sample by sample.

    Args:
        trainer: whose modules learn.

    Attributes:
        most: samples at one time.
    """

    def __init__(self, trainer: Separable) -> None:
        super().__init__()
        self.learns, self._loss = trainer.learns(), trainer.each
        learnt = list(self.learnt().values())
        self.most = max(1, _BYTES.get(learnt[0].device.type, 2**26) // sum(4 * one.numel() for one in learnt))

    def learnt(self) -> dict[str, nn.Parameter]:
        """What is learnt, by name."""
        return {name: one for name, one in self.named_parameters() if one.requires_grad}

    def forward(self, *batch: Tensor | None) -> Tensor:
        """Losses ``float32[N]`` of what a trainer's ``step`` takes."""
        return self._loss(*batch)  # type: ignore[arg-type]

    def pieces(self, batch: Piece) -> Iterator[Piece]:
        """At most ``most`` samples at once; one piece without any where there are none."""
        for begin in range(0, max(1, _length(batch)), self.most):
            yield tuple(None if one is None else one[begin : begin + self.most] for one in batch)

    def gradients(self, piece: Piece) -> tuple[dict[nn.Parameter, Tensor], Tensor]:
        """Of N samples: ``[N, *parameter.shape]`` for everything that is learnt, and losses ``float32[N]``."""
        learnt = self.learnt()
        if not _length(piece):
            nothing = {one: one.new_zeros(0, *one.shape) for one in learnt.values()}
            return nothing, next(iter(learnt.values())).new_zeros(0)
        values = {name: one.detach() for name, one in learnt.items()}
        there = [one is not None for one in piece]
        every = vmap(grad_and_value(self._one), in_dims=(None, None, *[0] * sum(there)), randomness="different")
        with sdpa_kernel(SDPBackend.MATH):  # of the kernels of attention the one that vmap knows
            found, losses = every(values, there, *(one for one in piece if one is not None))
        # one sample whose gradient isn't finite would make the sum so
        return {one: found[name].nan_to_num(0.0, 0.0, 0.0) for name, one in learnt.items()}, losses

    def _one(self, values: dict[str, Tensor], there: list[bool], *sample: Tensor) -> Tensor:
        """The loss of one sample, of which only what is there is given, with these values of what is learnt."""
        given = iter(sample)
        losses: Tensor = functional_call(self, values, tuple(next(given)[None] if one else None for one in there))
        return losses[0]


def _length(batch: Piece) -> int:
    return len(next(one for one in batch if one is not None))
