"""Splits: by class, by seed; small classes stay whole. And whether there is enough of each class."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from onthefly.data.labels import labels_of
from onthefly.reading import check_classes, read, split

COUNTS = (40, 13, 5, 4, 1)


@pytest.fixture
def data() -> TensorDataset:
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor(COUNTS)).flip(0)
    return TensorDataset(torch.arange(len(labels)), labels)


@pytest.mark.parametrize(
    ("share", "held"), [(0.1, (4, 1, 0, 0, 0)), (0.5, (20, 6, 2, 0, 0)), (0.99, (39, 12, 4, 0, 0))]
)
def test_the_share_of_each_class_is_held_out(data: TensorDataset, share: float, held: Any) -> None:
    training, held_out = split(data, share)
    assert np.bincount(held_out.targets, minlength=5).tolist() == list(held)
    assert (np.bincount(training.targets) + np.bincount(held_out.targets, minlength=5)).tolist() == list(COUNTS)
    assert sorted(training.indices + held_out.indices) == list(range(len(data)))
    assert training.indices == sorted(training.indices)
    for part in (training, held_out):
        assert [int(label) for _, label in (part[i] for i in range(len(part)))] == part.targets.tolist()
        assert labels_of(part).values.tolist() == part.targets.tolist()
        assert part.classes is None


def test_the_seed_decides(data: TensorDataset) -> None:
    parts = [split(data, 0.3, seed)[1].indices for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert split(data, 0.1)[1].indices == [12, 24, 30, 36, 37]


def test_every_sample_is_held_out_as_often(data: TensorDataset) -> None:
    held = np.bincount(np.concatenate([split(data, 0.25, seed)[1].indices for seed in range(400)]), minlength=63)
    largest = held[23:]
    assert 70 < largest.min() <= largest.max() < 135
    assert largest.sum() == 400 * 10


def test_what_is_known_of_the_samples_is_kept() -> None:
    rows = "".join(f"{number},s{number % 3},{'ab'[number % 2]}\n" for number in range(20))
    Path("table.csv").write_text(f"size,speaker,kind\n{rows}")
    found = read("table.csv", attributes=["speaker"])
    for part in split(found, 0.2):
        assert part.classes == ("a", "b")
        assert part.columns == found.columns
        assert part.attributes["speaker"] == [f"s{row % 3}" for row in part.indices]
        assert [int(values) for values, _ in (part[i] for i in range(len(part)))] == part.indices
    batches = list(DataLoader(split(found, 0.5)[0], batch_size=5, num_workers=1))
    assert torch.cat([labels for _, labels in batches]).bincount().tolist() == [5, 5]


def test_labels_that_the_dataset_does_not_say_are_those_of_the_parts(data: TensorDataset) -> None:
    training, held_out = split(Subset(data, range(20)), 0.5, labels=["odd", "even"] * 10)
    assert len(training) == len(held_out) == 10
    assert labels_of(held_out).values.tolist() == [1 - row % 2 for row in held_out.indices]
    assert held_out.classes == ("even", "odd")


def test_small_classes_leave_nothing_to_hold_out() -> None:
    training, held_out = split(TensorDataset(torch.rand(8, 1), torch.arange(8) % 2), 0.5)
    assert (len(training), len(held_out)) == (8, 0)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_other_shares_are_refused(data: TensorDataset, share: float, refused: Callable[..., Any]) -> None:
    refused(lambda: split(data, share), "split: expected a share above 0 and below 1", f"found {share}", "0.1")


def test_classes_of_too_few_samples_are_named(data: TensorDataset, refused: Callable[..., Any]) -> None:
    refused(lambda: check_classes(data), "expected 2 samples or more of each class", "fewer of 4 (1)", "leave")
    assert check_classes(Subset(data, range(1, len(data)))).classes.count == 4
    Path("table.csv").write_text("size,kind\n1,cat\n2,cat\n3,emu\n4,dog\n5,dog\n")
    refused(lambda: check_classes(read("table.csv")), "fewer of emu (1)")


def test_one_class_is_not_enough(refused: Callable[..., Any]) -> None:
    Path("table.csv").write_text("size,kind\n1,cat\n2,cat\n")
    one = read("table.csv")
    assert len(one) == 2
    refused(lambda: check_classes(one), "expected two or more", "found one, 'cat', of all 2 samples", "label=")
