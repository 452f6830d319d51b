"""The VAE: samples made from real ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly.generators import load, save, train

OLD = Path(__file__).parent / "old" / "vae-1.safetensors"


def squares() -> TensorDataset:
    """Bright squares on a dark ground, wherever; the classes are two brightnesses."""
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.zeros(200, 1, 8, 8), torch.arange(200) % 2
    for image, label, (row, column) in zip(images, labels, torch.randint(0, 5, (200, 2), generator=draw), strict=True):
        image[:, row : row + 4, column : column + 4] = 0.5 + 0.4 * label
    return TensorDataset(images, labels)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = train("vae", squares(), steps=250, config={"width": 8, "latent": 8}, progress=False)
    return save(made, tmp_path_factory.mktemp("vae") / "squares.safetensors")


def far(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean())


def test_a_sample_is_as_near_to_its_source_as_asked(path: Path) -> None:
    images, labels = squares().tensors
    keys = torch.arange(200)
    made = [load(path, interpolate=share).sample(labels, keys, images) for share in (0.0, 0.3, 0.6)]
    apart = [far(one, images) for one in made]
    assert apart[0] < apart[1] < apart[2]
    assert 4 * apart[0] < far(load(path).sample(labels, keys), images)


def test_at_the_other_end_the_source_does_not_count(path: Path) -> None:
    images, labels = squares().tensors
    made = load(path, interpolate=1).sample(labels, torch.arange(200), images)
    assert torch.allclose(made, load(path).sample(labels, torch.arange(200)), atol=1e-5)


def test_a_sample_is_its_key_and_source(path: Path) -> None:
    generator, (images, labels) = load(path, interpolate=0.5), squares().tensors
    keys = torch.arange(33)
    together = generator.sample(labels[:33], keys, images[:33])
    for row in (0, 32):
        alone = generator.sample(labels[row : row + 1], keys[row : row + 1], images[row : row + 1])
        assert torch.allclose(alone[0], together[row], atol=1e-5)
    assert far(generator.sample(labels[:33], keys + 1, images[:33]), together) > 1e-4


def test_a_loader_gives_sources_of_the_class_and_replays(path: Path) -> None:
    data = squares()
    generator = load(path, interpolate=0.4)
    assert generator.wants_source
    loader = onthefly.wrap(
        DataLoader(data, batch_size=20, shuffle=True), generator, ratio=0.5, balance="uniform", seed=3, tag=True
    )
    images, labels, info = next(iter(loader))
    assert (data.tensors[1][info.source[info.synthetic]] == labels[info.synthetic]).all()
    rows = info.source[info.synthetic]
    assert torch.allclose(
        images[info.synthetic],
        generator.sample(labels[info.synthetic], info.key[info.synthetic], data.tensors[0][rows]),
        atol=1e-5,
    )


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), "half"])
def test_other_shares_are_refused(path: Path, share: Any, refused: Any) -> None:
    refused(
        lambda: load(path, interpolate=share), "vae: load: interpolate", "expected a number from 0 to 1", str(share)
    )


def test_a_checkpoint_without_its_encoder_cannot_interpolate_but_is_read(refused: Any) -> None:
    assert load(OLD).sample(torch.tensor([0]), torch.tensor([1])).isfinite().all()
    refused(
        lambda: load(OLD, interpolate=0.5), "vae: load", "expected a checkpoint that holds its encoder", "interpolate"
    )
    config = {"width": 4, "latent": 4, "encoder": False}
    small = train("vae", squares(), steps=1, config=config, progress=False)
    assert not [name for name in small.network.state_dict() if name.startswith("encoder")]
    refused(
        lambda: load(save(small, "small.safetensors"), interpolate=0.5), "expected a checkpoint that holds its encoder"
    )
