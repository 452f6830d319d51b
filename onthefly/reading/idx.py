"""IDX: the files that MNIST and its kin come in (LeCun, Cortes and Burges), gzipped or not."""

import gzip
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

_IMAGES, _LABELS = 2051, 2049  # the first number of a file says what it holds
_TEST = 2000  # of 10,000 images, where there are no others


class Digits(Dataset[tuple[Image.Image, int]]):
    """Grey pictures in memory, as torchvision's MNIST has them: yields ``(picture of Pillow's, class number)``.

    Args:
        files: of the images, by part, as ``idx_files`` finds them.
        which: "train" or "test".
        classes: their names.
    """

    def __init__(self, files: dict[str, Path], which: Literal["train", "test"], classes: Sequence[str]) -> None:
        whole, part = _part(files, which)
        images, labels = _read(whole, _IMAGES, 3), _read(_labels_of(whole), _LABELS, 1)
        if len(images) != len(labels):
            raise ValueError(
                f"read: expected a label for each of {len(images)} images in {whole}, found {len(labels)} in "
                f"{_labels_of(whole).name}; get both files anew"
            )
        self.images, self.targets, self.classes = images[part], labels[part].astype(np.int64), list(classes)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.images[index]), int(self.targets[index])


def idx_files(folder: Path, name: str) -> dict[str, Path]:
    """The files of images of a data set, those called "train" and those called "t10k", if they are there."""
    found = {}
    for part in ("train", "t10k"):
        places = [folder / name / "raw", folder / name.lower(), folder]
        paths = [place / f"{part}-images-idx3-ubyte{ending}" for place in places for ending in ("", ".gz")]
        here = next((path for path in paths if path.is_file()), None)
        if here is not None:
            found[part] = here
    return found


def _part(files: dict[str, Path], which: str) -> tuple[Path, slice]:
    """The file that holds a part, and where in it."""
    if "train" in files and "t10k" in files:
        return files["train" if which == "train" else "t10k"], slice(None)
    if "train" in files and which == "train":
        return files["train"], slice(None)
    if "train" in files:
        raise FileNotFoundError(
            f"read: expected t10k-images-idx3-ubyte in {files['train'].parent}, found the images for training only; "
            "write which='train'"
        )
    if which == "train":
        warnings.warn(
            f"read: no train-images-idx3-ubyte beside {files['t10k']}, so its images but the last {_TEST} are taken "
            "for training, and those are left for tests",
            stacklevel=6,
        )
    return files["t10k"], slice(None, -_TEST) if which == "train" else slice(-_TEST, None)


def _labels_of(images: Path) -> Path:
    """The file of labels beside one of images, gzipped or not as that is, or not."""
    name = images.name.removesuffix(".gz").replace("images-idx3", "labels-idx1")
    for path in (images.with_name(name), images.with_name(f"{name}.gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(f"read: expected {name} beside {images}, found none; get it from where that file came")


def _read(path: Path, kind: int, dimensions: int) -> NDArray[Any]:
    """``uint8[N]`` of labels, or ``uint8[N, H, W]`` of images."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"read: expected an IDX file, found {path}, which is broken ({error}); get it anew") from error
    head = np.frombuffer(data[: 4 * (1 + dimensions)], ">i4") if len(data) >= 4 * (1 + dimensions) else np.zeros(1)
    shape = tuple(map(int, head[1:]))
    values = np.frombuffer(data, np.uint8, offset=min(len(data), 4 * (1 + dimensions)))
    if head[0] != kind or values.size != np.prod(shape):
        raise ValueError(f"read: expected an IDX file, found {path}, which is broken or something else; get it anew")
    return values.reshape(shape)
