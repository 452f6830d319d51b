"""Pictures: a folder of image files."""

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision import transforms

from onthefly.reading.files import find_files
from onthefly.reading.samples import Samples, numbered, plain

SIZE = 64


class Pictures(Samples):
    """The image files of a folder, one subfolder a class, as torchvision's ``ImageFolder`` has them.

    Yields ``(float32[C, size, size] in [0, 1], class number)``. With a pattern the class is in the name of a file, and
    the pattern's other fields become ``attributes``.

    Args:
        folder: ``FOLDER/<class>/<any name>.jpg``, .png or another kind that Pillow reads.
        size: side of the pictures: the shorter side is resized to it, and the middle of the longer one kept.
        grey: grey pictures, of one channel, instead of three.
        pattern: as ``"{label}_{take}.png"``.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if there is no picture in it, or one without a class; when it is read, for a broken file.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "three").mkdir()
    >>> Image.new("L", (20, 30)).save(folder / "three" / "1.png")
    >>> image, label = Pictures(folder, size=8, grey=True)[0]
    >>> image.shape, label
    (torch.Size([1, 8, 8]), 0)
    """

    def __init__(self, folder: str | Path, *, size: int = SIZE, grey: bool = False, pattern: str | None = None) -> None:
        files = find_files(Path(folder), "pictures", pattern)
        attributes = {name: plain(values) for name, values in files.fields.items()}
        super().__init__(numbered(files.labels, files.classes), files.classes, attributes)
        self.paths, self.transform = files.paths, to_tensor(size, grey)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(_opened(self.paths[index])), int(self.targets[index])


def to_tensor(size: int | None, grey: bool) -> Any:
    """A picture of Pillow's as ``float32[C, H, W]`` in [0, 1]; of any size if none is given."""
    if size is not None and size < 1:
        raise ValueError(f"size: expected 1 or more, found {size}; write size={SIZE}")
    resized = [] if size is None else [transforms.Resize(size), transforms.CenterCrop(size)]
    return transforms.Compose([*([transforms.Grayscale()] if grey else []), *resized, transforms.ToTensor()])


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"read: expected a picture, found {path}, which is broken ({error}); remove it") from error
