"""The families: any image size and channel count, training that learns, generators that keep to their class."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.data.spec import Spec
from onthefly.generators import load, save, train
from onthefly.generators.diff_augment import diff_augment
from onthefly.generators.families import FAMILIES
from onthefly.generators.networks import decoder, encoder
from onthefly.generators.target import Target

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 28), (4, 9, 21), (2, 5, 4), (1, 1, 1), (3, 64, 48)]
SIGNALS = [(1, 1000), (2, 77), (1, 4), (3, 1), (1, 64)]
VECTORS = [(6,), (1,), (300,)]
OTHERS = [*SIGNALS, *VECTORS]
PIXELS = [name for name, family in FAMILIES.items() if "unit" in family.codings]


def small(family: str, size: int = 4) -> dict[str, int]:
    """Sizes that train in no time, of those that a family has."""
    known = {field.name for field in fields(FAMILIES[family].config)}
    return {name: much for name, much in {"width": size, "latent": size, "depth": 1}.items() if name in known}


@pytest.mark.parametrize("shape", [*SHAPES, *OTHERS])
@pytest.mark.parametrize("conditions", [0, 3])
@pytest.mark.parametrize("bounded", [True, False])
def test_backbones_take_any_shape(shape: tuple[int, ...], conditions: int, bounded: bool) -> None:
    target = Target(shape, 3, bounded, conditions)
    asked = torch.randn(2, conditions) if conditions else None
    made = decoder(target, latent=4, width=4)(torch.randn(2, 4), torch.tensor([0, 2]), asked)
    assert made.shape == (2, *shape)
    assert not bounded or (made.min() >= 0 and made.max() <= 1)
    assert encoder(target, features=5, width=4)(made).shape == (2, 5)


@pytest.mark.parametrize(
    ("family", "size"),
    [
        (name, field.name)
        for name, family in FAMILIES.items()
        for field in fields(family.config)
        if type(field.default) is int and field.name != "vocabulary"  # of which nothing is built
    ],
)
def test_sizes_that_a_card_may_lie_about_are_bounded(family: str, size: str, refused: Any) -> None:
    """What is built of them costs time, and of some memory, before it is compared with the weights."""
    refused(lambda: FAMILIES[family].configure({size: 65537}), f"{size}: expected", "or less, found 65537", "leave it")


@pytest.mark.parametrize("family", PIXELS)
@pytest.mark.parametrize("shape", OTHERS)
def test_families_train_on_signals_and_rows(family: str, shape: tuple[int, ...]) -> None:
    data = TensorDataset(2 * torch.rand(6, *shape) - 1, torch.tensor([0, 1, 2, 0, 1, 2]))
    made = train(family, data, steps=2, batch_size=4, config=small(family), progress=False)
    keys, labels = torch.arange(33), torch.arange(33) % 3
    together = made.sample(labels, keys)
    assert together.shape == (33, *shape)
    assert torch.allclose(made.sample(labels[5:6], keys[5:6])[0], together[5], atol=1e-5)
    again = load(save(made, "one.safetensors"))
    assert torch.allclose(again.sample(labels, keys), together, atol=1e-6)  # in memory it may lie differently


@pytest.mark.parametrize("family", PIXELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_families_train_on_any_size_and_channels(family: str, shape: tuple[int, int, int]) -> None:
    data = TensorDataset(torch.rand(6, *shape), torch.tensor([0, 1, 2, 0, 1, 2]))
    made = train(family, data, steps=2, batch_size=4, config=small(family), progress=False)
    assert made.spec == Spec.image(shape, 3)
    assert made.sample(torch.tensor([1, 2]), torch.tensor([7, 8])).shape == (2, *shape)


@pytest.mark.parametrize("family", PIXELS)
def test_families_learn_what_each_class_looks_like(family: str) -> None:
    """Three classes of bright squares in three places: synthetic ones are bright where their class is."""
    labels = torch.arange(120) % 3
    images = 0.1 * torch.rand(120, 1, 8, 8)
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 3, 2 * label : 2 * label + 3] += 0.8
    made = train(family, TensorDataset(images, labels), steps=400, config=small(family, 8), progress=False)
    fakes = made.sample(torch.arange(90) % 3, torch.arange(90))
    means = torch.stack([images[labels == label].mean(dim=0) for label in range(3)])
    nearest = (fakes[:, None] - means[None]).square().flatten(2).mean(dim=2).argmin(dim=1)
    assert (nearest == torch.arange(90) % 3).float().mean() > 0.95
    assert fakes[0].sub(fakes[3]).abs().max() > 0.005  # not one picture for all


@pytest.mark.parametrize("family", PIXELS)
def test_batches_do_not_change_a_sample(family: str) -> None:
    data = TensorDataset(torch.rand(12, 1, 8, 8), torch.arange(12) % 3)
    made = train(family, data, steps=2, config={"width": 8}, progress=False)
    keys, labels = torch.arange(33), torch.arange(33) % 3
    together = made.sample(labels, keys)
    for row in (0, 5, 32):
        assert torch.allclose(made.sample(labels[row : row + 1], keys[row : row + 1])[0], together[row], atol=1e-5)


def test_diff_augment_changes_every_image_by_itself_and_passes_gradients() -> None:
    images = torch.rand(64, 3, 16, 16, requires_grad=True)
    changed = diff_augment(images)
    assert changed.shape == images.shape
    assert (changed != images).flatten(1).any(dim=1).all()
    (gradient,) = torch.autograd.grad(changed[:32].sum(), images)
    assert (gradient[:32].flatten(1).abs().sum(dim=1) > 0).all()
    assert gradient[32:].abs().sum() == 0


@pytest.mark.gpu
@pytest.mark.parametrize("family", PIXELS)
def test_the_gpu_makes_the_same_samples(family: str) -> None:
    data = TensorDataset(torch.rand(12, 3, 16, 16), torch.arange(12) % 3)
    made: Any = train(family, data, steps=5, config={"width": 8}, progress=False, device="cpu")
    keys, labels = torch.arange(64), torch.arange(64) % 3
    expected = made.sample(labels, keys)
    found = made.to("cuda").sample(labels.cuda(), keys.cuda())
    assert torch.allclose(found.cpu(), expected, atol=1e-4)
    alone = made.sample(labels[:1].cuda(), keys[:1].cuda())
    assert torch.allclose(alone[0], found[0], atol=1e-5)
