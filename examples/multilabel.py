"""Several labels a sample: groups are balanced, and `map` makes the targets.

python examples/multilabel.py
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.generators import from_module

TAGS = ("sun", "sea", "snow")
# What stands together is a group: one row of targets each, and what is balanced.
GROUPS = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1]])

group = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
photos = TensorDataset(torch.rand(100, 3, 16, 16), GROUPS[group])


class Painter(nn.Module):
    """Stands for a network that makes images of each group."""

    def forward(self, noise: Tensor, groups: Tensor) -> Tensor:
        return torch.sigmoid(noise + groups[:, None, None, None])


generator = from_module(Painter(), latent=(3, 16, 16), classes=len(GROUPS))
generator = generator.map(lambda image, number: (image, GROUPS.to(image.device)[number]))
loader = DataLoader(photos, batch_size=20, shuffle=True)
loader = onthefly.wrap(loader, generator, labels=group, balance="uniform", ratio=0.5)
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, len(TAGS))).to(loader.device)
for images, targets in loader:
    loss = nn.functional.binary_cross_entropy_with_logits(network(images), targets)
    print(dict(zip(TAGS, targets.sum(dim=0).int().tolist(), strict=True)), f"loss {loss.item():.3f}")
print(loader.stats())
