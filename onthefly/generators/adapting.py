"""Few-shot: a network for new classes, from one that was trained on others.

What it learnt is frozen. New are the classes' own tensors, and a low-rank update of every weight (Hu et al., "LoRA",
ICLR 2022), so that from 5 to 50 samples of each class are enough, and little is there to overfit them with.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from onthefly.generators.family import Family, Parts
from onthefly.generators.target import Target

_RANK = 4


def adapted(family: Family, known: Parts, target: Target, names: tuple[str, ...] | None) -> nn.Module:
    """A network for the classes of ``target`` that begins where another one ended.

    Args:
        family: of both.
        known: the trained one.
        target: as that of the other, but for its classes.
        names: of the classes; those that the other one has too, by name or, where there are no names, by number, begin
            as they are there, others as the mean of all.

    Returns:
        The network, of which only the classes' tensors and the low-rank updates can be learnt.
    """
    network = family.network(target, known.config)
    rows = _rows_of(known.spec.classes.names, names, known.target.classes, target.classes)
    mine = _of_classes(family, known)
    state = {
        name: _new_rows(old, rows, known.target.classes) if name in mine else old
        for name, old in known.network.state_dict().items()
    }
    network.load_state_dict(state)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in mine)
    for part, weight in list(_weighted(network)):
        parametrize.register_parametrization(part, "weight", _LowRank(weight))
    return network


def merged(network: nn.Module, family: Family, target: Target, config: Any) -> nn.Module:
    """A network of its own in which the updates are added to the weights for good."""
    state = network.state_dict()
    for place, part in network.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            state[f"{place}.weight"] = cast(Tensor, part.weight)
    with torch.device("meta"):
        plain = family.network(target, config)
    own = {name: state[name].detach().clone() for name in plain.state_dict()}
    plain.load_state_dict(own, assign=True)
    return plain


class _LowRank(nn.Module):
    """Adds a matrix of low rank to a weight, at first nothing."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        rank = min(_RANK, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def _weighted(network: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    """The parts whose weights are updated, and these: linear maps and convolutions, whoever wrote them."""
    found = ((part, getattr(part, "weight", None)) for part in network.modules() if not isinstance(part, nn.Embedding))
    return ((part, weight) for part, weight in found if isinstance(weight, Tensor) and weight.ndim > 1)


def _of_classes(family: Family, known: Parts) -> set[str]:
    """The names of the tensors that have a row for each class: those that would grow with one class more."""
    with torch.device("meta"):
        target = replace(known.target, classes=known.target.classes + 1)
        larger = family.network(target, known.config).state_dict()
    return {name for name, tensor in known.network.state_dict().items() if tensor.shape != larger[name].shape}


def _rows_of(old: tuple[str, ...] | None, new: tuple[str, ...] | None, known: int, count: int) -> list[int | None]:
    """The row in which each of ``count`` new classes is found among the ``known`` old ones, if it is: by name, or by
    number where none of them have names."""
    if old is None and new is None:
        return [row if row < known else None for row in range(count)]
    places = {name: row for row, name in enumerate(old or ())}
    return [None] * count if new is None else [places.get(name) for name in new]


def _new_rows(old: Tensor, rows: list[int | None], classes: int) -> Tensor:
    """A row for each new class; what stands behind the classes' rows stays behind them."""
    mean = old[:classes].mean(dim=0)
    made = [mean if row is None else old[row] for row in rows]
    return torch.cat([torch.stack(made), old[classes:]])
