"""Augmentation of what a generator is shown: nothing of it is to be seen in what it makes."""

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.generators import load, save, train
from onthefly.generators.augmented import NUMBERS, augmented, plain
from onthefly.generators.shown import Batch


def batch_of(count: int, conditions: torch.Tensor | None = None) -> Batch:
    images = torch.zeros(count, 1, 16, 16)
    images[:, :, 2:6, 2:6] = 1
    return Batch(images, torch.zeros(count, dtype=torch.int64), conditions)


def test_what_is_told_is_what_was_done() -> None:
    batch = batch_of(500)
    changed = augmented(batch)
    assert changed.conditions is not None
    assert changed.conditions.shape == (500, NUMBERS)
    untouched = (changed.conditions == 0).all(dim=1)
    assert 0 < untouched.sum() < 100
    assert torch.allclose(changed.samples[untouched], batch.samples[untouched], atol=1e-5)
    much = (changed.conditions.abs() > 0.3).any(dim=1)
    assert ((changed.samples[much] - batch.samples[much]).abs().flatten(1).max(dim=1).values > 0.1).all()
    assert changed.samples.min() >= -1e-6
    assert changed.samples.max() <= 1 + 1e-6
    mirrored = (changed.conditions[:, :4] == 0).all(dim=1) & (changed.conditions[:, 4] == 1)
    assert mirrored.any()
    assert torch.allclose(changed.samples[mirrored], batch.samples[mirrored].flip(-1), atol=1e-5)


def test_numbers_stand_behind_the_conditions() -> None:
    conditions = torch.rand(5, 2)
    for change in (augmented, plain):
        found = change(batch_of(5, conditions)).conditions
        assert found is not None
        assert found.shape == (5, 2 + NUMBERS)
        assert torch.equal(found[:, :2], conditions)


def test_it_does_not_leak() -> None:
    """A square that is always in one corner is made there, though it was shown mirrored and moved."""
    data = TensorDataset(batch_of(200).samples, torch.arange(200) % 2)
    made = train("vae", data, steps=200, batch_size=32, config={"width": 8, "latent": 4}, augment=True, progress=False)
    assert made.card is not None
    assert made.card["augmented"] == NUMBERS
    again = load(save(made, "one.safetensors"))
    images = again.sample(torch.arange(20) % 2, torch.arange(20))
    assert float((images - data.tensors[0][:20]).abs().mean()) < 0.05


def test_only_images(refused: object) -> None:
    rows = TensorDataset(torch.rand(20, 3), torch.arange(20) % 2)
    with pytest.raises(ValueError, match="expected images to augment, found float32"):
        train("vae", rows, steps=1, augment=True)
