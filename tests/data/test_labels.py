"""The class of every sample, of any dataset."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from torchvision.datasets import CIFAR10, SVHN, FakeData, ImageFolder

from onthefly.data.labels import labels_of

CLASSES = torch.tensor([0, 2, 1, 1])


class Saying(Dataset[Any]):
    """A dataset that says what it is told to."""

    def __init__(self, size: int = 4, **said: Any) -> None:
        self.size = size
        self.__dict__.update(said)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int) -> Any:
        return torch.rand(2), int(CLASSES[row])


@pytest.mark.parametrize(
    "said",
    [
        {"targets": [0, 2, 1, 1]},
        {"targets": CLASSES},
        {"targets": np.array([0, 2, 1, 1], np.uint8)},
        {"labels": np.array([0.0, 2.0, 1.0, 1.0])},
        {"_labels": (0, 2, 1, 1)},
        {"samples": [("a.png", 0), ("b.png", 2), ("c.png", 1), ("d.png", 1)]},
    ],
)
def test_whatever_says_its_labels(said: dict[str, Any]) -> None:
    found = labels_of(Saying(**said))
    assert found.values.tolist() == [0, 2, 1, 1]
    assert found.values.dtype == np.int64
    assert found.classes.count == 3


def test_tensors_and_parts_of_parts() -> None:
    data = TensorDataset(torch.rand(4, 2), CLASSES)
    parts = ConcatDataset([Subset(data, [3, 1]), Subset(Subset(data, [2, 0]), [1])])
    assert labels_of(data).values.tolist() == [0, 2, 1, 1]
    assert labels_of(parts).values.tolist() == [1, 2, 0]
    split = [label for part in random_split(data, [3, 1]) for label in labels_of(part).values.tolist()]
    assert sorted(split) == [0, 1, 1, 2]


def test_names_are_kept_through_parts_and_must_agree(refused: Any) -> None:
    pets = Saying(targets=[0, 1, 1, 0], classes=["cat", "dog"])
    cars = Saying(targets=[0, 1, 1, 0], classes=["car", "bus"])
    assert labels_of(ConcatDataset([Subset(pets, [0]), pets])).classes.names == ("cat", "dog")
    refused(lambda: labels_of(ConcatDataset([pets, cars])), "call their classes differently", "labels=")


def test_classes_without_a_sample_count() -> None:
    assert labels_of(Saying(targets=[0, 0, 1, 1], classes=["a", "b", "c"])).classes.count == 3


def test_image_folder(tmp_path: Path) -> None:
    for kind, count in (("cat", 2), ("dog", 1)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4)).save(tmp_path / kind / f"{number}.png")
    found = labels_of(ImageFolder(str(tmp_path)))
    assert found.values.tolist() == [0, 0, 1]
    assert found.classes.names == ("cat", "dog")


@pytest.mark.parametrize(("kind", "attribute"), [(CIFAR10, "targets"), (SVHN, "labels")])
def test_torchvision(kind: Any, attribute: str) -> None:
    data = kind.__new__(kind)
    data.data, data.transform = np.zeros((4, 32, 32, 3), np.uint8), None
    setattr(data, attribute, [0, 2, 1, 1])
    assert labels_of(data).values.tolist() == [0, 2, 1, 1]


def test_hugging_face() -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    data = datasets.Dataset.from_dict({"text": list("abcd"), "label": [0, 1, 1, 0]}, features=features)
    for form in (data, data.with_format("torch"), data.with_transform(lambda rows: rows), data.select([0, 1, 2, 3])):
        found = labels_of(form)
        assert found.values.tolist() == [0, 1, 1, 0]
        assert found.classes.names == ("ham", "spam")
    numbers = datasets.Dataset.from_dict({"x": [1.0, 2.0], "labels": [3, 0]})
    assert labels_of(numbers).values.tolist() == [3, 0]


def test_given_labels_win_and_bring_their_names() -> None:
    data = Saying(targets=[0, 0, 0, 0], classes=["a"])
    assert labels_of(data, [3, 0, 1, 1]).values.tolist() == [3, 0, 1, 1]
    assert labels_of(data, [3, 0, 1, 1]).classes.names is None
    assert labels_of(data, ["dog", "cat", "cat", "dog"]).classes.names == ("cat", "dog")
    assert labels_of(data, 0).values.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (lambda row: (torch.rand(2), int(CLASSES[row])), [0, 2, 1, 1]),
        (lambda row: (torch.rand(2), CLASSES[row]), [0, 2, 1, 1]),
        (lambda row: {"x": 1, "label": int(CLASSES[row])}, [0, 2, 1, 1]),
        (lambda row: {"x": 1, "labels": "abcd"[row]}, [0, 1, 2, 3]),
    ],
)
def test_scanning_reads_every_sample_and_draws_nothing(sample: Any, expected: list[int], monkeypatch: Any) -> None:
    monkeypatch.setattr(Saying, "__getitem__", lambda self, row: sample(row))
    state = torch.random.get_rng_state()
    assert labels_of(Saying(), "scan").values.tolist() == expected
    assert torch.equal(state, torch.random.get_rng_state())


def test_scanning_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    labels_of(FakeData(size=3), "scan")
    assert "reading labels: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (Saying(), None, ("Saying doesn't say", "labels=[...]", "labels='scan'")),
        (Saying(size=0), None, ("at least one sample", "empty Saying")),
        (Saying(targets=[0, 1]), None, ("4 samples", "(2,)")),
        (Saying(), [0, 1, 2], ("4 samples", "(3,)")),
        (Saying(targets=np.eye(4)), None, ("one class", "(4, 4)", "multi-label")),
        (Saying(targets=[0.5, 1, 2, 3]), None, ("whole numbers", "float64", "labels=0")),
        (Saying(), [0, 1, -1, 2], ("from 0", "-1 at row 2", "Subset")),
    ],
)
def test_labels_that_cannot_be(data: Any, given: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(
        lambda: labels_of(data, given), "expected" if data.size and (given or hasattr(data, "targets")) else "", *words
    )


def test_a_scan_without_labels_says_what_it_found(monkeypatch: Any, refused: Any) -> None:
    monkeypatch.setattr(Saying, "__getitem__", lambda self, row: torch.rand(2))
    refused(lambda: labels_of(Saying(), "scan"), "sample 0 is a Tensor without a label", "labels=[...]")


def test_what_a_tensor_dataset_says_itself_goes_before_its_last_tensor() -> None:
    class Named(TensorDataset):
        classes, targets = ("a", "b"), torch.tensor([1, 0, 1])

    data = Named(torch.rand(3, 2), torch.tensor([1, 0, 1]), torch.rand(3))
    for labels in (None, [1, 0, 1]):
        found = labels_of(data, labels)
        assert (found.values.tolist(), found.classes.names) == ([1, 0, 1], ("a", "b"))
    assert labels_of(data, [0, 0, 1]).classes.names is None
