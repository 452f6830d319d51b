"""Contact sheets: a row for each class, real images on the left, synthetic ones on the right."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from onthefly.generators.base import FrozenGenerator

_SIDE = 56  # pixels an image is at least shown with
_MOST = 20  # classes on a sheet
_LEFT, _TOP, _GAP = 90, 20, 8  # pixels for the names, for the titles, and between the two sides


def contact_sheet(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    real: Sequence[Sequence[Tensor]] = (),
    each: int = 10,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw what a generator makes to a PNG file.

    Args:
        generator: of images ``float32[C, H, W]`` in [0, 1], of 1 or 3 channels (of others the first is drawn).
        path: of the file.
        real: some real images of each class, to the left of the synthetic ones.
        each: synthetic images of each class.
        device: where the generator is.

    Returns:
        The path.
    """
    rows = min(generator.classes.count, _MOST)
    made = torch.from_numpy(generator.makes)[:rows].nonzero()[:, 0]
    keys = torch.arange(len(made) * each, device=device)
    drawn = generator.sample(made.to(device).repeat_interleave(each), keys).cpu()
    fakes = drawn.new_ones(rows, each, *drawn.shape[1:])
    fakes[made] = drawn.unflatten(0, (len(made), each))
    columns = max([len(some) for some in real[:rows]], default=0)
    reals = fakes.new_ones(rows, columns, *fakes.shape[2:])
    for row, some in enumerate(real[:rows]):
        for column, image in enumerate(some):
            reals[row, column] = image
    return _draw(reals, fakes, [generator.classes.name(number) for number in range(rows)], Path(path))


def _draw(reals: Tensor, fakes: Tensor, names: list[str], path: Path) -> Path:
    grids = {title: _grid(images) for title, images in (("real", reals), ("synthetic", fakes)) if images.shape[1]}
    height = grids["synthetic"].height
    sheet = Image.new("RGB", (_LEFT + sum(grid.width + _GAP for grid in grids.values()), _TOP + height), "white")
    pen, begin = ImageDraw.Draw(sheet), _LEFT
    for title, grid in grids.items():
        sheet.paste(grid, (begin, _TOP))
        pen.text((begin + 4, 4), title, fill="black")
        begin += grid.width + _GAP
    for row, name in enumerate(names):
        pen.text((4, _TOP + (row + 0.5) * height / len(names) - 6), name[:14], fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _grid(images: Tensor) -> Image.Image:
    """``[rows, columns, C, H, W]`` as a picture."""
    flat = images.flatten(0, 1)
    flat = flat if flat.shape[1] == 3 else flat[:, :1]
    scale = max(1, round(_SIDE / max(flat.shape[2:])))
    large = F.interpolate(flat, scale_factor=scale, mode="bicubic").clamp(
        0, 1
    )  # squares of a few pixels are hard to read
    picture: Image.Image = to_pil_image(make_grid(large, nrow=images.shape[1], padding=2, pad_value=1.0))
    return picture
