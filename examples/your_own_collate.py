"""A collate function of your own: sequences of any length are padded with synthetic ones among them.

python examples/your_own_collate.py
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

import onthefly
from onthefly.generators import from_module


class Clips(Dataset):
    """Clips of 20 to 39 values; 90 of one class, 10 of another."""

    targets = [0] * 90 + [1] * 10

    def __len__(self) -> int:
        return 100

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return torch.rand(20 + row % 20), self.targets[row]


def pad(samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Clips in the rows of one tensor, filled with zeros; their lengths; their labels."""
    clips, labels = zip(*samples, strict=True)
    return pad_sequence(clips, batch_first=True), torch.tensor([len(clip) for clip in clips]), torch.tensor(labels)


class Singer(nn.Module):
    """Stands for a network that makes clips of 40 values."""

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.sigmoid(noise + labels[:, None])


generator = from_module(Singer(), latent=40, classes=2).map(lambda clip, label: (clip[: 25 + 5 * int(label)], label))
loader = DataLoader(Clips(), batch_size=10, shuffle=True, collate_fn=pad)
loader = onthefly.wrap(loader, generator, balance="uniform", ratio=0.5)
for clips, lengths, labels in loader:
    print(tuple(clips.shape), lengths.tolist(), labels.tolist())
print(loader.stats())
