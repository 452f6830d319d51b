"""Named: data sets that torchvision knows by name, read from the user's own copy."""

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torchvision.datasets
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from onthefly.data.labels import labels_of
from onthefly.reading.files import ARCHIVES, unpacking
from onthefly.reading.idx import Digits, idx_files
from onthefly.reading.images import to_tensor
from onthefly.reading.samples import Samples

Which = Literal["train", "test"]

_VARIABLE = "ONTHEFLY_DATA"


class _Part(NamedTuple):
    """A part of a data set: what lies in the folder, and what torchvision's class must be told."""

    there: str
    option: str
    value: str | bool


def _by_flag(train: str, test: str | None = None) -> dict[str, _Part]:
    return {"train": _Part(train, "train", True), "test": _Part(test or train, "train", False)}


def _by_split(train: str, test: str | None = None, training: str = "train") -> dict[str, _Part]:
    return {"train": _Part(train, "split", training), "test": _Part(test or train, "split", "test")}


IDX = ("MNIST", "FashionMNIST", "KMNIST")
NAMED: dict[str, dict[str, _Part]] = {
    **{name: _by_flag(f"{name}/raw") for name in IDX},
    "CIFAR10": _by_flag("cifar-10-batches-py"),
    "CIFAR100": _by_flag("cifar-100-python"),
    "DTD": _by_split("dtd"),
    "FGVCAircraft": _by_split("fgvc-aircraft-2013b", training="trainval"),
    "Flowers102": _by_split("flowers-102"),
    "Food101": _by_split("food-101"),
    "GTSRB": _by_split("gtsrb"),
    "OxfordIIITPet": _by_split("oxford-iiit-pet", training="trainval"),
    "STL10": _by_split("stl10_binary"),
    "SVHN": _by_split("train_32x32.mat", "test_32x32.mat"),
    "USPS": _by_flag("usps.bz2", "usps.t.bz2"),
}


class Named(Samples):
    """A data set of torchvision's, of which nothing is downloaded.

    Yields ``(float32[C, H, W] in [0, 1], class number)``.

    Of MNIST, FashionMNIST and KMNIST the two IDX files of a part are enough, gzipped or not, in ``DATA/<Name>/raw`` as
    torchvision puts them, in ``DATA/<name>`` or in DATA. Where there are only the 10,000 images called t10k, the first
    8,000 of them are for training, and the last 2,000 for tests.

    Args:
        name: as torchvision spells it: "MNIST", "CIFAR10", "SVHN", ...
        data: the folder that holds it; by default what the environment variable ``ONTHEFLY_DATA`` names.
        which: the part to train on, or the one to test with.
        size: side to resize and crop the pictures to; by default they stay as they are.
        grey: grey pictures, of one channel.

    Attributes:
        dataset: torchvision's, or the images in memory.

    Raises:
        FileNotFoundError: if there is no such folder, or the data set isn't in it, naming what was looked for.
        ValueError: for a name that isn't known, or a copy that torchvision refuses.
    """

    def __init__(
        self,
        name: str,
        *,
        data: str | Path | None = None,
        which: Which = "train",
        size: int | None = None,
        grey: bool = False,
    ) -> None:
        check_name(name)
        if which not in ("train", "test"):
            raise ValueError(f"which: expected 'train' or 'test', found {which!r}; write which='train'")
        self.transform = to_tensor(size, grey)
        self.dataset = _found(name, _folder(name, data), which)
        found = labels_of(self.dataset)
        super().__init__(found.values, found.classes.names or map(str, range(found.classes.count)), {})

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture: Image.Image = self.dataset[index][0]
        return self.transform(picture), int(self.targets[index])


def check_name(name: str) -> None:
    """Refuse a name that is none of the data sets that can be read by name."""
    if name not in NAMED:
        like = next((one for one in NAMED if one.lower() == name.lower().replace("-", "")), None)
        meant = f"did you mean {like}?" if like else "for others, pass torchvision's dataset itself to train()"
        raise ValueError(f"read: expected one of {', '.join(NAMED)}, found {name!r}; {meant}")


def _folder(name: str, data: str | Path | None) -> Path:
    folder = os.environ.get(_VARIABLE) if data is None else data
    if folder is None or not Path(folder).is_dir():
        raise FileNotFoundError(
            f"{name}: expected a folder to read it from, found {folder}; write data='DIR' (--data DIR), or set "
            f"{_VARIABLE}"
        )
    return Path(folder)


def _found(name: str, folder: Path, which: Which) -> Dataset[Any]:
    if name in IDX and (files := idx_files(folder, name)):
        return Digits(files, which, getattr(torchvision.datasets, name).classes)
    part = NAMED[name][which]
    if not (folder / part.there).exists():
        raise FileNotFoundError(
            f"{name}: expected {part.there} in {folder}, found none; {_way_out(name, folder, part)}"
        )
    try:
        made: Dataset[Any] = getattr(torchvision.datasets, name)(folder, **{part.option: part.value}, download=False)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{name}: expected a whole copy in {folder}, found that something is missing or broken ({error}); "
            f"{_way_out(name, folder, part)}"
        ) from error
    return made


def _way_out(name: str, folder: Path, part: _Part) -> str:
    """An archive of that name that is there, to unpack; else the line of Python that downloads it."""
    near = sorted([*folder.glob("*"), *folder.glob("*/*")])
    archives = [path for path in near if path.name.lower().startswith(name.lower()) and path.suffix in ARCHIVES]
    download = f"torchvision.datasets.{name}({str(folder)!r}, {part.option}={part.value!r}, download=True)"
    if not archives:
        return f"get it with {download}"
    return f"{unpacking(archives[0])}, and read the folder of pictures that comes out; or get it with {download}"
