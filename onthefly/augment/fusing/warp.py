"""One warp: matrices that say where pixels go, as a grid that says where they come from, read once."""

import torch
import torch.nn.functional as F
from torch import Tensor

_HALF_UP = 1e-4  # of a pixel, so that halves go up


def source_map(matrix: Tensor, before: tuple[int, int], after: tuple[int, int], mode: str, padding: str) -> Tensor:
    """From places in the output to places in the input, both as ``grid_sample`` counts them, from -1 to 1.

    Args:
        matrix: ``float64[N, 3, 3]``, from pixels before to pixels after.
        before, after: sizes (H, W).
        mode: as ``Sampling`` has it.
        padding: as ``Sampling`` has it.

    Returns:
        ``float32[N, 3, 3]``.

    >>> source_map(torch.eye(3, dtype=torch.float64)[None], (4, 4), (4, 4), "bilinear", "zeros")[0, 0]
    tensor([1., 0., 0.])
    """
    corners = _is_corner_aligned(padding)
    back = torch.linalg.inv_ex(matrix)[0]
    if mode == "nearest-exact":
        back = _moved(_HALF_UP) @ back
    found: Tensor = _from_pixels(before, corners) @ back @ torch.linalg.inv(_from_pixels(after, corners))
    return (found / found[:, 2:, 2:] if is_affine(found) else found).float()


def is_affine(maps: Tensor) -> bool:
    """Whether all maps ``[N, 3, 3]`` keep parallels parallel, but for rounding: Kornia solves for its crops."""
    return bool((maps[:, 2, :2].abs() < 1e-9 * maps[:, 2, 2:].abs()).all())


def warp(image: Tensor, maps: Tensor, size: tuple[int, int], mode: str, padding: str, *, affine: bool) -> Tensor:
    """Images ``float[N, C, H, W]`` to ``[N, C, *size]`` by one reading of each place; ``maps`` as ``source_map`` makes
    them, on the device of the images."""
    corners = _is_corner_aligned(padding)
    grid = (_affine_grid if affine else _projective_grid)(maps.to(image.dtype), size, corners)
    return F.grid_sample(image, grid, mode.split("-")[0], padding.split(" ")[0], align_corners=corners)


def _is_corner_aligned(padding: str) -> bool:
    """It only matters for what is reflected: about the outermost pixels, or about the edges of the image."""
    return padding == "reflection"


def _affine_grid(maps: Tensor, size: tuple[int, int], corners: bool) -> Tensor:
    """A row and a column added, x and y as one complex number: on a CPU a quarter of the time that pairs take, and a
    tenth of that of ``F.affine_grid``."""
    across, down = (_places(side, corners, maps)[None, :, None] for side in (size[1], size[0]))
    x, y, shift = maps[:, None, :2, 0], maps[:, None, :2, 1], maps[:, None, :2, 2]
    row, column = torch.view_as_complex(x * across), torch.view_as_complex(y * down + shift)
    return torch.view_as_real(row[:, None] + column[:, :, None])


def _projective_grid(maps: Tensor, size: tuple[int, int], corners: bool) -> Tensor:
    across, down = (_places(side, corners, maps)[None, :, None] for side in (size[1], size[0]))
    x, y, shift = (maps[:, None, :, column] for column in range(3))
    places = (y * down + shift)[:, :, None] + (x * across)[:, None]
    return places[..., :2] / places[..., 2:]


def _places(side: int, corners: bool, like: Tensor) -> Tensor:
    """Where the pixels of a side lie between -1 and 1."""
    steps = torch.arange(side, dtype=like.dtype, device=like.device)
    return steps * (2 / max(side - 1, 1)) - 1 if corners else (steps * 2 + 1) / side - 1


def _from_pixels(size: tuple[int, int], corners: bool) -> Tensor:
    scales = [2 / max(side - 1, 1) if corners else 2 / side for side in (size[1], size[0])]
    shifts = [-1.0, -1.0] if corners else [1 / size[1] - 1, 1 / size[0] - 1]
    return torch.tensor(
        [[scales[0], 0, shifts[0]], [0, scales[1], shifts[1]], [0, 0, 1]],
        dtype=torch.float64,
        device="cpu",
    )


def _moved(pixels: float) -> Tensor:
    return torch.tensor([[1, 0, pixels], [0, 1, pixels], [0, 0, 1]], dtype=torch.float64, device="cpu")
