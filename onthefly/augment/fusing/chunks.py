"""A batch of images through several steps, on a CPU some samples at a time, so that what lies between is small."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[Tensor, slice], Tensor]
_BYTES = 2**23  # of images for each thread; what a step makes on the way is a few times that


def through(image: Tensor, steps: Sequence[Step]) -> Tensor:
    """All steps on images ``[N, C, H, W]``, which are left as they are; bytes come as [0, 1].

    Each step is given some samples as float32 (float64 stays), and which they are.
    """
    made: list[Tensor] = []
    kind = image.dtype if image.is_floating_point() else torch.float32
    rows = _chunk(image)
    out: Tensor | None = None
    for begin in range(0, len(image), rows):
        these = slice(begin, begin + rows)
        part = as_floats(image[these], torch.float32)
        for step in steps:
            part = step(part, these)
        if rows >= len(image) or part.requires_grad:
            made.append(part.to(kind))
            continue
        out = part.new_empty((len(image), *part.shape[1:]), dtype=kind) if out is None else out
        out[these] = part
    whole = torch.cat(made) if len(made) > 1 else out if out is not None else made[0]
    return whole.clone() if whole.data_ptr() == image.data_ptr() else whole


def as_floats(image: Tensor, least: torch.dtype | None = None) -> Tensor:
    """Bytes as [0, 1], floats as they are, or with at least as many bits as ``least``; others are refused."""
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise ValueError(
            f"augment.fused: expected images of floats in [0, 1] or of uint8, found {image.dtype}, whose range isn't "
            "known; write images.float() / largest"
        )
    return image if least is None else image.to(torch.promote_types(image.dtype, least))


def _chunk(image: Tensor) -> int:
    """How many samples at a time."""
    if image.device.type != "cpu":
        return len(image)
    return max(_BYTES // max(4 * image[0].numel(), 1), 1) * torch.get_num_threads()
