"""A generator of your own behind the loader: any nn.Module, and samples of any structure.

python examples/your_own_generator.py
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import onthefly
from onthefly.generators import from_module


class Segments(Dataset):
    """Images with a mask each, as dicts; 50 of one class, 10 of another."""

    targets = [0] * 50 + [1] * 10

    def __len__(self) -> int:
        return 60

    def __getitem__(self, row: int) -> dict:
        image = torch.rand(3, 16, 16)
        return {"image": image, "mask": (image.mean(dim=0) > 0.5).long(), "label": self.targets[row]}


class Painter(nn.Module):
    """Stands for a network that makes an image and its mask as four channels, and ends in tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.body = nn.Embedding(2, 32), nn.Linear(32, 4 * 16 * 16)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.tanh(self.body(noise + self.kind(labels))).reshape(-1, 4, 16, 16)


def as_sample(painted: Tensor, label: Tensor) -> dict:
    """What `Segments` yields, from four channels in [0, 1]."""
    return {"image": painted[:3], "mask": (painted[3] > 0.5).long(), "label": label}


generator = from_module(Painter(), latent=32, classes=2, value_range=(-1, 1)).map(as_sample)
loader = onthefly.wrap(DataLoader(Segments(), batch_size=20, shuffle=True), generator, balance="uniform", tag=True)
for batch in loader:
    print({name: tuple(batch[name].shape) for name in ("image", "mask", "label")}, batch["mix"].synthetic.sum().item())
print(loader.stats())
