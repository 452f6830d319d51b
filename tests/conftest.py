"""What tests share: a few small data sets, and a generator of each family."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from onthefly.generators import FrozenGenerator, load, save, train
from onthefly.generators.families import FAMILIES
from onthefly.testing import CountingGenerator

SHAPE = (1, 8, 8)
COUNTS = (23, 9, 4, 1)
OF_IMAGES = [name for name, family in FAMILIES.items() if "unit" in family.codings]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu") is not None:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def images() -> TensorDataset:
    """37 images of four unequal classes; an image's first pixel is its row, so that a test can tell it again."""
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    pixels = torch.rand(len(labels), *SHAPE, generator=torch.Generator().manual_seed(1))
    pixels[:, 0, 0, 0] = torch.arange(len(labels)) / 1000
    return TensorDataset(pixels, labels)


@pytest.fixture
def plain(images: TensorDataset) -> DataLoader[Any]:
    return DataLoader(images, batch_size=8, shuffle=True)


def small(family: str) -> dict[str, int]:
    """The least that a family can be."""
    sizes = {"width": 4, "latent": 4, "depth": 1}
    return {name: size for name, size in sizes.items() if hasattr(FAMILIES[family].config(), name)}


def _trained(family: str, images: TensorDataset, folder: Path) -> FrozenGenerator:
    made = train(family, images, steps=3, config=small(family), progress=False)
    return load(save(made, folder / f"{family}.safetensors"))


@pytest.fixture(scope="session")
def generators(images: TensorDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FrozenGenerator]:
    """A generator of each family, from its checkpoint, and the fake one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {family: _trained(family, images, folder) for family in OF_IMAGES}
    return {**made, "fake": CountingGenerator(SHAPE, len(COUNTS))}


@pytest.fixture(params=["fake", *OF_IMAGES])
def generator(request: pytest.FixtureRequest, generators: dict[str, FrozenGenerator]) -> FrozenGenerator:
    return generators[request.param]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT is Python's to handle, as in a terminal; the processes that tests are divided among have another way."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets, for tests that need one."""
    folder = os.environ.get("ONTHEFLY_DATA")
    if folder is None:
        pytest.skip("ONTHEFLY_DATA names no folder of real data sets")
    return Path(folder)


@pytest.fixture
def refused() -> Callable[..., Any]:
    """A check that an error names everything that it should: what, expected, found, and what to type."""

    def check(call: Callable[[], Any], *words: str, error: type[Exception] = ValueError) -> str:
        with pytest.raises(error) as caught:
            call()
        message = str(caught.value)
        assert all(word in message for word in words), message
        return message

    return check
