"""Detection: images with any number of boxes, in lists that a collate function of your own makes.

python examples/detection.py
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import onthefly
from onthefly.generators import from_module


class Scenes(Dataset):
    """90 scenes with one or two cars, 10 with a bus. What is balanced is the rarest object of a scene."""

    groups = [0] * 90 + [1] * 10

    def __len__(self) -> int:
        return 100

    def __getitem__(self, row: int) -> tuple[Tensor, dict]:
        count = 1 + row % 2
        boxes = torch.tensor([[4.0, 4.0, 12.0, 12.0]]).repeat(count, 1)
        return torch.rand(3, 32, 32), {"boxes": boxes, "labels": torch.full((count,), self.groups[row])}


def in_lists(samples: list[tuple[Tensor, dict]]) -> tuple[list[Tensor], list[dict]]:
    """As torchvision's detectors take them."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


class Renderer(nn.Module):
    """Stands for a network that paints an object, and says where: an image, and a last row with the box's corner."""

    def forward(self, noise: Tensor, groups: Tensor) -> Tensor:
        return torch.sigmoid(noise + groups[:, None, None, None])


def as_scene(painted: Tensor, group: Tensor) -> tuple[Tensor, dict]:
    """What `Scenes` yields, of what the network makes."""
    corner = painted[0, -1, :2] * 16
    return painted[:, :32], {"boxes": torch.cat([corner, corner + 12])[None], "labels": group[None]}


generator = from_module(Renderer(), latent=(3, 33, 32), classes=2).map(as_scene)
loader = DataLoader(Scenes(), batch_size=10, shuffle=True, collate_fn=in_lists)
loader = onthefly.wrap(loader, generator, labels=Scenes.groups, balance="uniform", ratio=0.5)
for images, targets in loader:
    print(len(images), "images,", [target["labels"].tolist() for target in targets])
print(loader.stats())
