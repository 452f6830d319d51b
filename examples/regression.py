"""Regression: a number instead of a class. One group holds all samples, or bins of the number are balanced.

python examples/regression.py
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.generators import from_module

ages = torch.randn(200).abs() * 25  # most are young
faces = TensorDataset(torch.rand(200, 1, 8, 8), ages)
LIMITS = torch.tensor([20.0, 40.0])  # of three bins


class Aging(nn.Module):
    """Stands for a network that makes a face of each bin, and in its last pixel how far in the bin it is."""

    def forward(self, noise: Tensor, bins: Tensor) -> Tensor:
        return torch.sigmoid(noise + bins[:, None, None, None])


def as_sample(face: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """A face and its age."""
    return face, 20 * (number + face[0, -1, -1])


generator = from_module(Aging(), latent=(1, 8, 8), classes=3).map(as_sample)

# One group: the ratio is all there is to say. A generator of several classes takes them by chance.
one_group = generator.relabel({0: (0, 1, 2)})
loader = onthefly.wrap(DataLoader(faces, batch_size=20, shuffle=True), one_group, labels=0, ratio=0.3)
print(f"mean age {torch.cat([batch for _, batch in loader]).mean().item():.1f}")
print(loader.stats())

# Bins: old faces come as often as young ones.
bins = torch.bucketize(ages, LIMITS)
loader = onthefly.wrap(DataLoader(faces, batch_size=20, shuffle=True), generator, labels=bins, balance="uniform")
print(f"mean age {torch.cat([batch for _, batch in loader]).mean().item():.1f}")
print(loader.stats())
