"""The demo's training script: plain PyTorch, the same whatever the loader delivers."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from onthefly.demo.data import Images

_LEARNING_RATE = 2e-3
_SMALLEST = 4  # sides are halved while more than this is left
_WIDTH = 32


def train_classifier(
    loader: DataLoader[list[Tensor]], like: Images, steps: int, seed: int, device: torch.device
) -> nn.Module:
    """Train a small convolutional network on ``(images, labels)`` for so many steps, however many epochs that is."""
    torch.manual_seed(seed)
    network = small_network(like.shape, len(like.classes)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    for images, labels in _batches(loader, steps):
        loss = F.cross_entropy(network(images), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def recall(network: nn.Module, test: Images, device: torch.device) -> NDArray[np.float64]:
    """The share of each class's test images that is recognised: ``float64[C]``."""
    images, labels = test.tensors
    with torch.no_grad():
        guesses = torch.cat([network(some.to(device)).argmax(dim=1).cpu() for some in images.split(500)])
    return np.array(
        [(guesses[labels == number] == number).double().mean().item() for number in range(len(test.classes))]
    )


def small_network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Convolutions, batch norm and pooling down to 4 pixels, then one linear layer."""
    channels, side, _ = shape
    layers = _block(channels, _WIDTH)
    inner = _WIDTH
    while side > _SMALLEST:
        layers += [nn.MaxPool2d(2), *_block(inner, 2 * _WIDTH)]
        inner, side = 2 * _WIDTH, side // 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * inner, classes))


def _block(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]


def _batches(loader: DataLoader[list[Tensor]], steps: int) -> Iterator[list[Tensor]]:
    """Epoch after epoch, until there were so many batches."""
    while steps > 0:
        for batch in loader:
            yield batch
            steps -= 1
            if steps == 0:
                return
