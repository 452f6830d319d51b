"""Pictures for benchmarks: JPEG files in memory, so that reading a sample costs what it costs people."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms.functional import to_tensor


class Pictures(Dataset[Any]):
    """Coloured pictures of ten classes, decoded when they are asked for.

    Args:
        count: how many.
        size: their side.
        transform: from a PIL image; by default to a tensor in [0, 1].
    """

    classes = tuple("0123456789")

    def __init__(self, count: int, size: int, transform: Callable[[Any], Any] = to_tensor) -> None:
        self.files, self.transform = [_jpeg(size, seed) for seed in range(count)], transform
        self.targets = torch.arange(count) % 10

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Any:
        with Image.open(BytesIO(self.files[row])) as picture:
            return self.transform(picture.convert("RGB")), int(self.targets[row])


def _jpeg(size: int, seed: int) -> bytes:
    """Coarse noise, enlarged: as large a file as a photograph of that size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size // 4, size // 4, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()
