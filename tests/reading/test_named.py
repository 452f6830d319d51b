"""Names: torchvision's data sets, of copies that are there, or with the line that gets them."""

import gzip
import hashlib
import inspect
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets

from onthefly.reading import check_classes, read
from onthefly.reading.named import NAMED


def idx(path: str, values: Any, kind: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack(f">{1 + values.ndim}i", kind, *values.shape) + values.astype(np.uint8).tobytes()
    Path(path).write_bytes(gzip.compress(data) if path.endswith(".gz") else data)


def digits(stem: str, count: int, ending: str = "") -> Any:
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28))
    idx(f"{stem}-images-idx3-ubyte{ending}", images, 2051)
    idx(f"{stem}-labels-idx1-ubyte{ending}", np.arange(count) % 10, 2049)
    return images


def test_the_digits_of_the_real_data(real_data: Path) -> None:
    with pytest.warns(UserWarning, match="no train-images-idx3-ubyte.*the last 2000"):
        training = read("MNIST", data=real_data)
    test = read("MNIST", data=real_data, which="test")
    assert (len(training), len(test)) == (8000, 2000)
    image, label = training[0]
    assert image.shape == (1, 28, 28)
    assert image.dtype == torch.float32
    assert image.min() == 0 < image.max() <= 1
    assert training.classes[label] == "7 - seven"
    check_classes(training)


def test_images_for_training_come_first() -> None:
    images = digits("MNIST/raw/train", 30)
    digits("MNIST/raw/t10k", 20, ".gz")
    found = read("MNIST", data=".")
    assert len(found) == 30
    assert torch.equal(found[3][0][0], torch.from_numpy(images[3]).float() / 255)
    assert len(read("MNIST", data=".", which="test")) == 20
    assert read("MNIST", data=".", size=16)[0][0].shape == (1, 16, 16)


def test_names_do_not_take_the_files_of_others(refused: Callable[..., Any]) -> None:
    digits("FashionMNIST/raw/train", 30)
    assert read("FashionMNIST", data=".").classes[9] == "Ankle boot"
    refused(lambda: read("MNIST", data="."), "MNIST: expected MNIST/raw in .", error=FileNotFoundError)
    refused(lambda: read("FashionMNIST", data=".", which="test"), "expected t10k", error=FileNotFoundError)


def test_broken_files_are_named(refused: Callable[..., Any]) -> None:
    digits("mnist/train", 30)
    labels = Path("mnist/train-labels-idx1-ubyte")
    for data in (b"", labels.read_bytes()[:-1], b"\0" * 38):
        labels.write_bytes(data)
        refused(lambda: read("MNIST", data="."), "expected an IDX file", "train-labels-idx1-ubyte", "get it anew")
    idx(str(labels), np.arange(29), 2049)
    refused(lambda: read("MNIST", data="."), "a label for each of 30 images", "found 29")
    labels.unlink()
    refused(lambda: read("MNIST", data="."), "expected train-labels", "found none", error=FileNotFoundError)
    Path(f"{labels}.gz").write_bytes(b"no gzip")
    refused(lambda: read("MNIST", data="."), "expected an IDX file", "train-labels-idx1-ubyte.gz", "get it anew")


def test_cifar10_comes_through_torchvision(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., Any]) -> None:
    folder, kind = Path("cifar-10-batches-py"), torchvision.datasets.CIFAR10
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 3072), np.uint8)
    batch = pickle.dumps({"data": images, "labels": [0, 1, 2, 0, 1, 2]})
    names = pickle.dumps({"label_names": ["cat", "dog", "emu"]})
    for name, data in (("one", batch), ("batches.meta", names)):
        folder.joinpath(name).write_bytes(data)
    sums = {name: hashlib.md5(data).hexdigest() for name, data in (("one", batch), ("meta", names))}
    monkeypatch.setattr(kind, "train_list", [["one", sums["one"]]])
    monkeypatch.setattr(kind, "test_list", [])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["meta"]})
    found = read("CIFAR10", data=".")
    assert (found.classes, found.targets.tolist()) == (("cat", "dog", "emu"), [0, 1, 2, 0, 1, 2])
    assert torch.equal(found[4][0], torch.from_numpy(images[4].reshape(3, 32, 32)).float() / 255)
    assert read("CIFAR10", data=".", size=8, grey=True)[0][0].shape == (1, 8, 8)
    assert len(pickle.loads(pickle.dumps(found))) == 6
    folder.joinpath("one").write_bytes(b"broken")
    refused(
        lambda: read("CIFAR10", data="."),
        "CIFAR10: expected a whole copy",
        "torchvision.datasets.CIFAR10('.', train=True, download=True)",
    )


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("which", ["train", "test"])
def test_what_is_missing_and_how_to_get_it(name: str, which: str, refused: Callable[..., Any]) -> None:
    message = refused(lambda: read(name, data=".", which=which), f"{name}: expected ", error=FileNotFoundError)
    part = NAMED[name][which]
    line = f"torchvision.datasets.{name}('.', {part.option}={part.value!r}, download=True)"
    assert part.there in message
    assert line in message
    kind = getattr(torchvision.datasets, name)
    inspect.signature(kind).bind(".", **{part.option: part.value}, download=True)


def test_an_archive_of_pictures_is_to_be_unpacked(real_data: Path, refused: Callable[..., Any]) -> None:
    archive = real_data / "cifar10" / "cifar10.tar.xz"
    words = (f"unpack it first: tar -xf {archive}", "read the folder of pictures that comes out")
    refused(lambda: read("CIFAR10", data=real_data), *words, error=FileNotFoundError)


def test_where_to_look_is_said(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., Any]) -> None:
    monkeypatch.delenv("ONTHEFLY_DATA", raising=False)
    refused(lambda: read("MNIST"), "MNIST: expected a folder", "--data DIR", "ONTHEFLY_DATA", error=FileNotFoundError)
    refused(lambda: read("MNIST", data="nowhere"), "found nowhere", "data='DIR'", error=FileNotFoundError)
    digits("here/mnist/train", 10)
    monkeypatch.setenv("ONTHEFLY_DATA", "here")
    assert len(read("MNIST")) == 10
    refused(lambda: read("MNIST", which="validation"), "which: expected 'train' or 'test'", "found 'validation'")
