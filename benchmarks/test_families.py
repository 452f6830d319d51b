"""How fast each family makes images of 32 pixels at its default size, by batch size, and what one costs."""

from time import perf_counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from torchvision.models import resnet18

from onthefly.data.batches import default_device
from onthefly.generators import train
from onthefly.generators.cost import cost_of
from onthefly.generators.families import FAMILIES

SHAPE = (3, 32, 32)
SIZES = (1, 16, 64, 256)
DEVICE = default_device()
IMAGES = [name for name, family in FAMILIES.items() if "unit" in family.codings]


@pytest.fixture(scope="module")
def trained_on() -> float:
    """Images a second that a ResNet-18 with the stem for CIFAR is trained on, 128 together."""
    network = resnet18(num_classes=10).to(DEVICE)
    network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False).to(DEVICE), torch.nn.Identity()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    images, labels = torch.rand(128, *SHAPE, device=DEVICE), torch.arange(128, device=DEVICE) % 10

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return 128 / seconds(step)


def seconds(call: Any, least: float = 1.0) -> float:
    """The time of a call, the best of as many as fit into a second, two at least."""
    call()
    found: list[float] = []
    begun = perf_counter()
    while len(found) < 2 or perf_counter() - begun < least:
        _wait()
        begin = perf_counter()
        call()
        _wait()
        found.append(perf_counter() - begin)
    return min(found)


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


@pytest.mark.parametrize("family", IMAGES)
def test_samples_a_second(benchmark: Any, family: str, trained_on: float) -> None:
    data = TensorDataset(torch.rand(20, *SHAPE), torch.arange(20) % 10)
    made: Any = train(family, data, steps=1, progress=False, device=DEVICE)
    speed = {}
    for size in SIZES:
        labels, keys = torch.arange(size, device=DEVICE) % 10, torch.arange(size, device=DEVICE)
        speed[size] = round(size / seconds(lambda labels=labels, keys=keys: made.sample(labels, keys)), 1)
    cost = cost_of(made)
    benchmark.group = "samples a second, 32 x 32 colour"
    benchmark.extra_info.update(
        family=family,
        samples_a_second=speed,
        flops=cost["flops"],
        resnet18_images=cost["resnet18_images"],
        resnet18_images_by_the_clock=round(trained_on / max(speed.values()), 4),
    )
    benchmark.pedantic(lambda: made.sample(labels, keys), rounds=1)
