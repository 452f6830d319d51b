"""Augmentation: a fused pipeline against Kornia's own, and against the least that one could do."""

from collections.abc import Callable
from typing import Any

import kornia.augmentation as K
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.conftest import Versus
from onthefly.augment import fused

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPES = [(128, 3, 32, 32), (32, 3, 224, 224)]
THREADS = [1, 2] if DEVICE.type == "cpu" else [torch.get_num_threads()]


def pipeline(size: int) -> Any:
    return K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(10.0, (0.1, 0.1), (0.9, 1.1), 5.0, p=1.0),
        K.RandomResizedCrop((size, size), scale=(0.5, 1.0)),
        K.ColorJitter(0.2, 0.2, 0.2, 0.1, p=1.0),
        K.RandomGaussianNoise(std=0.05, p=1.0),
    )


def settled(call: Callable[[], Any]) -> Callable[[], None]:
    """A call that is over when it returns."""

    def run() -> None:
        with torch.no_grad():
            call()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


def on_device(params: list[Any]) -> list[Any]:
    """Noise lies where the images are for both, as neither side is to be timed with copying it."""
    for item in params:
        if "gaussian_noise" in item.data:
            item.data["gaussian_noise"] = item.data["gaussian_noise"].to(DEVICE)
    return params


@pytest.fixture(params=THREADS)
def threads(request: Any) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("drawn", ["parameters given", "parameters drawn"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fused(versus: Versus, shape: tuple[int, ...], drawn: str, threads: int) -> None:
    kornia, images = pipeline(shape[-1]), torch.rand(shape, device=DEVICE)
    ours = fused(kornia, compile=DEVICE.type == "cuda")
    params = on_device(kornia.forward_parameters(images.shape)) if drawn == "parameters given" else None
    versus(
        settled(lambda: ours(images, params=params)),
        settled(lambda: kornia(images, params=params)),
        rounds=11,
        group=f"{'x'.join(map(str, shape))}, {threads} threads, {drawn}",
        name="fused",
        against="Kornia",
    )


def least(images: Tensor) -> Callable[[], Tensor]:
    """One warp by matrices that are there already, and one pass over the pixels."""
    maps = torch.eye(2, 3, device=DEVICE).expand(len(images), 2, 3).contiguous() * 0.9
    scale = torch.rand(len(images), 1, 1, 1, device=DEVICE)

    def run() -> Tensor:
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        return torch.addcmul(scale, F.grid_sample(images, grid, align_corners=False), scale)

    return run


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fused_against_the_least_there_is(versus: Versus, shape: tuple[int, ...], threads: int) -> None:
    kornia, images = pipeline(shape[-1]), torch.rand(shape, device=DEVICE)
    ours = fused(kornia, compile=DEVICE.type == "cuda")
    params = on_device(kornia.forward_parameters(images.shape))
    versus(
        settled(lambda: ours(images, params=params)),
        settled(least(images)),
        rounds=11,
        group=f"{'x'.join(map(str, shape))}, {threads} threads",
        name="fused",
        against="one warp, one pass",
    )
