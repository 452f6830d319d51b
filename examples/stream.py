"""A stream: batches of an iterable dataset, some of whose rows make room for synthetic ones.

python examples/stream.py
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

import onthefly
from onthefly.generators import from_module
from onthefly.schedule import Linear


class Sensor(IterableDataset):
    """Stands for what comes over a network: 9 in 10 windows show class 0. Each epoch has an order of its own."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:  # the loader tells it
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        draw = torch.Generator().manual_seed(self.epoch)
        for _ in range(200):
            label = int(torch.rand((), generator=draw) < 0.1)
            yield torch.rand(16, generator=draw) / 2 + label / 2, label


class Simulator(nn.Module):
    """Stands for a network that makes such windows."""

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.sigmoid(noise) / 2 + labels[:, None] / 2


generator = from_module(Simulator(), latent=16, classes=2)
loader = onthefly.wrap(
    DataLoader(Sensor(), batch_size=20),
    generator,
    balance={0: 0.6, 1: 0.4},  # of each batch, which keeps its size; the default is what comes
    ratio={0: 0.0, 1: Linear(0.8, 0.2)},  # where a batch has too few real windows of a class, others take their place
    epochs=2,
    length=10,  # batches of a pass, since the ratio changes over training
)
for epoch in range(2):
    for _, labels in loader:
        print(epoch, labels.tolist())
print(loader.stats())
