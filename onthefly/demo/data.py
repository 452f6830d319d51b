"""The demo's images: read from what a user has, and dealt to the people of the story."""

import gzip
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision.datasets import CIFAR10

from onthefly.extras import require

Name = Literal["digits", "mnist", "cifar10"]
Bytes = NDArray[np.uint8]

_VARIABLE = "ONTHEFLY_DATA"


class Images(TensorDataset):
    """Images in memory: ``float32[C, H, W]`` in [0, 1] and their class.

    Args:
        images: ``uint8[N, C, H, W]``.
        labels: ``int64[N]``.
        classes: their names.
    """

    def __init__(self, images: Bytes, labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        super().__init__(torch.from_numpy(images).float() / 255, torch.from_numpy(labels))
        self.targets, self.classes = labels, classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return tuple(self.tensors[0].shape[1:])  # type: ignore[return-value]


@dataclass(frozen=True)
class Parts:
    """Who has what.

    Attributes:
        owner: many images that may not leave the house.
        own: few images, long-tailed.
        test: real images that nobody trains on.
    """

    owner: Images
    own: Images
    test: Images


def deal(name: Name, data: Path | None, *, most: int, imbalance: float, owner: int, seed: int = 0) -> Parts:
    """Read a data set and deal it out, no image twice.

    Args:
        name: "digits" (ships with scikit-learn), "mnist" or "cifar10".
        data: the folder to look in for the last two; by default the one that ``ONTHEFLY_DATA`` names.
        most: own images of the largest class.
        imbalance: how many times fewer the smallest has; those between fall off exponentially.
        owner: how many images the owner has.
        seed: of the dealing.

    Raises:
        FileNotFoundError: if the images are not there, naming what was looked for.
    """
    images, labels, classes, test = _READERS[name](_folder(name, data))
    order = np.random.default_rng(seed).permutation(len(labels) - test)
    last = len(classes) - 1
    wanted = [max(1, round(most * imbalance ** (-number / last))) for number in range(len(classes))]
    own = np.concatenate([order[labels[order] == number][:count] for number, count in enumerate(wanted)])
    rest = order[~np.isin(order, own)]
    held_out = np.arange(len(labels) - test, len(labels)) if test else rest[owner:]
    parts = (Images(images[rows], labels[rows], classes) for rows in (rest[:owner], own, held_out))
    return Parts(*parts)


def _folder(name: Name, data: Path | None) -> Path:
    if name == "digits":
        return Path()
    folder = data or (Path(os.environ[_VARIABLE]) if _VARIABLE in os.environ else None)
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(
            f"{name}: expected a folder to read it from, found {folder}; type --data DIR, or set {_VARIABLE}"
        )
    return folder


def _digits(_: Path) -> tuple[Bytes, NDArray[np.int64], tuple[str, ...], int]:
    digits = require("sklearn.datasets", extra="report").load_digits()
    images = np.rint(digits.images / 16 * 255).astype(np.uint8)[:, None]
    return images, digits.target.astype(np.int64), _numerals(), 0


def _mnist(folder: Path) -> tuple[Bytes, NDArray[np.int64], tuple[str, ...], int]:
    """IDX files, gzipped or not: those called train first, and the last 2,000 images to test."""
    files = sorted(
        (path for path in folder.rglob("*-images-idx3-ubyte*") if path.is_file()),
        key=lambda path: path.name,
        reverse=True,
    )
    names = list(dict.fromkeys(path.name.removesuffix(".gz") for path in files))
    if not names:
        raise FileNotFoundError(f"mnist: expected files like t10k-images-idx3-ubyte.gz in {folder}, found none")
    chosen = [next(path for path in files if path.name.removesuffix(".gz") == name) for name in names]
    images = [_idx(path)[16:].reshape(-1, 1, 28, 28) for path in chosen]
    labels = [_idx(path.with_name(path.name.replace("images-idx3", "labels-idx1")))[8:] for path in chosen]
    return np.concatenate(images), np.concatenate(labels).astype(np.int64), _numerals(), 2000


def _cifar10(folder: Path) -> tuple[Bytes, NDArray[np.int64], tuple[str, ...], int]:
    """torchvision's copy, or pictures in ``train/<class>/`` and ``test/<class>/``, in a folder or in
    ``cifar10.tar.xz``."""
    if (folder / "cifar-10-batches-py").is_dir():
        sets = [CIFAR10(str(folder), train=train) for train in (True, False)]
        images = np.concatenate([one.data for one in sets]).transpose(0, 3, 1, 2)
        labels = np.concatenate([one.targets for one in sets]).astype(np.int64)
        return images, labels, tuple(sets[0].classes), 10_000
    pictures = _pictures_in_tar(folder) or _pictures_in_folder(folder)
    if not pictures:
        raise FileNotFoundError(
            "cifar10: expected cifar-10-batches-py, cifar10.tar.xz or pictures in train/<class>/ and test/<class>/ in "
            f"{folder}, found none"
        )
    pictures.sort(key=lambda picture: (picture[0] == "test", picture[1]))
    classes = tuple(sorted({kind for _, kind, _ in pictures}))
    labels = np.array([classes.index(kind) for _, kind, _ in pictures])
    return (
        np.stack([image for _, _, image in pictures]),
        labels,
        classes,
        sum(part == "test" for part, _, _ in pictures),
    )


def _pictures_in_tar(folder: Path) -> list[tuple[str, str, Bytes]]:
    """(train or test, class, ``uint8[3, 32, 32]``) of every picture in the archive, if there is one."""
    archive = next(folder.rglob("cifar10.tar.xz"), None)
    if archive is None:
        return []
    with tarfile.open(archive) as files:
        return [
            (*Path(member.name).parts[-3:-1], _pixels(files.extractfile(member)))  # type: ignore[misc]
            for member in files
            if member.name.endswith((".jpg", ".png"))
        ]


def _pictures_in_folder(folder: Path) -> list[tuple[str, str, Bytes]]:
    return [
        (path.parts[-3], path.parts[-2], _pixels(path))
        for path in sorted(folder.rglob("*/*/*.*"))
        if path.suffix in {".jpg", ".png"} and path.parts[-3] in {"train", "test"}
    ]


def _pixels(file: Any) -> Bytes:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def _idx(path: Path) -> Bytes:
    data = path.read_bytes()
    return np.frombuffer(gzip.decompress(data) if path.suffix == ".gz" else data, np.uint8)


def _numerals() -> tuple[str, ...]:
    return tuple(map(str, range(10)))


_READERS: dict[Name, Callable[[Path], tuple[Bytes, NDArray[np.int64], tuple[str, ...], int]]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
}
