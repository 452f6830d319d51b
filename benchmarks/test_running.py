"""How a network runs, against the same network run plainly: 64 samples of a GAN."""

import copy
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.data.batches import default_device
from onthefly.generators import train
from onthefly.generators.latent import LatentGenerator

SHAPES = {"28 x 28 grey": (1, 28, 28), "32 x 32 colour": (3, 32, 32), "64 x 64 colour": (3, 64, 64)}
DEVICE = default_device()
LABELS, KEYS = torch.arange(64, device=DEVICE) % 10, torch.arange(64, device=DEVICE)


@pytest.fixture(scope="module", params=SHAPES)
def made(request: pytest.FixtureRequest) -> tuple[str, LatentGenerator]:
    data = TensorDataset(torch.rand(20, *SHAPES[request.param]), torch.arange(20) % 10)
    return request.param, train("gan", data, steps=1, progress=False, device=DEVICE)


def test_channels_last(versus: Any, made: tuple[str, LatentGenerator]) -> None:
    size, generator = made
    other = copy.deepcopy(generator)
    other.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    compare(versus, generator, other, f"{size}, weights laid out", "channels last", "as torch does")


@pytest.mark.parametrize(
    "ways", [{"dtype": "bfloat16"}, {"compile": True}, {"compile": True, "dtype": "bfloat16"}], ids=str
)
def test_on_request(versus: Any, made: tuple[str, LatentGenerator], ways: dict[str, Any]) -> None:
    size, generator = made
    compare(versus, generator.running(batch_size=64, **ways), generator, f"{size}, {ways}", str(ways), "plain")


def compare(versus: Any, one: LatentGenerator, other: LatentGenerator, group: str, name: str, against: str) -> None:
    for generator in (one, other):
        generator.sample(LABELS, KEYS)
    versus(lambda: run(one), lambda: run(other), rounds=9, group=group, name=name, against=against)


def run(generator: LatentGenerator) -> None:
    generator.sample(LABELS, KEYS)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
