"""Gathers what colour operations do to a batch: linear maps in one, clamps where they matter."""

import torch
from torch import Tensor

from onthefly.augment.fusing.pointwise import Stage

_GREY = (0.299, 0.587, 0.114)


class Palette:
    """Linear maps of the channels, one after the other, are multiplied as they come; whatever else comes ends them.

    A map is ``x -> matrix x + shift + of_mean m``, where ``m`` is the mean of each channel of the image that the map
    starts from: contrast is relative to the mean grey at its place, which is linear in ``m``.

    Args:
        samples: N.
        channels: C.
        strict: clamp wherever Kornia does. Else once, before what needs values in [0, 1] and at the end.
        uniform: stages of the same kinds for every batch, whatever was drawn, for ``torch.compile``.
        unit: values are known to be in [0, 1].
        device: of the images.
    """

    def __init__(
        self, samples: int, channels: int, *, strict: bool, uniform: bool, unit: bool, device: torch.device
    ) -> None:
        self.samples, self.channels, self.strict, self.uniform = samples, channels, strict, uniform
        self.unit, self.device = unit, device
        self.stages: list[Stage] = []
        self.eye = torch.eye(channels, dtype=torch.float64, device="cpu").expand(samples, -1, -1)
        weights = torch.tensor(_GREY if channels == 3 else (1.0,) * channels, dtype=torch.float64, device="cpu")
        self.grey = (weights / weights.sum()).expand(channels, channels)
        self._matrix, self._of_mean, self._shift = self._unchanged()
        self._linear_due = self._mean_due = False
        self._due: Tensor | None = None

    def linear(self, matrix: Tensor, shift: Tensor | float = 0.0) -> None:
        """``x -> matrix x + shift``; [N, C, C] and [N, C], or what broadcasts to them."""
        self._matrix, self._of_mean = matrix @ self._matrix, matrix @ self._of_mean
        self._shift = (matrix @ self._shift[:, :, None])[:, :, 0] + shift
        self._linear_due = True

    def scale(self, factor: Tensor) -> None:
        """Times ``factor`` [N]."""
        self.linear(factor[:, None, None] * self.eye)

    def towards_grey(self, factor: Tensor) -> None:
        """``factor`` [N] of each pixel and the rest of its own grey: saturation."""
        self.linear(factor[:, None, None] * self.eye + (1 - factor)[:, None, None] * self.grey)

    def towards_mean(self, factor: Tensor) -> None:
        """``factor`` [N] of each pixel and the rest of the image's mean grey: contrast."""
        rest = (1 - factor)[:, None]
        mean_shift = (self.grey @ self._shift[:, :, None])[:, :, 0]
        of_mean = self.grey @ (self._matrix + self._of_mean)
        self.scale(factor)
        self._of_mean = self._of_mean + rest[:, :, None] * of_mean
        self._shift = self._shift + rest * mean_shift
        self._mean_due = True

    def separate(self) -> None:
        """Where stages must be the same in every order, a linear map stands between all others."""
        if self.uniform:
            self.linear(self.eye)

    def other(self, kind: str, *values: Tensor) -> None:
        """A stage that is no linear map."""
        self._end()
        self.stages.append(Stage(kind, values))

    def clamp(self, applied: Tensor, *, always: bool = False) -> None:
        """To [0, 1], where ``applied`` bool[N]; put off as long as it may be, unless ``always`` or strict."""
        self._due = applied if self._due is None else self._due | applied
        if always or self.strict:
            self.settle()

    def settle(self) -> None:
        """Clamp now, if a clamp was put off."""
        if self._due is None:
            return
        due, self._due = self._due, None
        self._clamp(due, 0.0, 1.0)
        self.unit = self.unit or self._whole(due)

    def limit(self, least: float, most: float) -> None:
        """Clamp all samples to limits of one's own, now."""
        self.settle()
        self._clamp(torch.ones(self.samples, dtype=torch.bool, device="cpu"), least, most)
        self.unit = self.unit or (least >= 0 and most <= 1)

    def expect_unit(self, applied: Tensor) -> None:
        """What comes next clamps what it is given: only worth doing where that may lie outside [0, 1]."""
        if not self.unit and self._due is None:
            self._clamp(applied, 0.0, 1.0)
            self.unit = self._whole(applied)

    def done(self) -> list[Stage]:
        """All stages, for tensors in float32."""
        self.settle()
        self._end()
        return [Stage(one.kind, tuple(map(_single, one.tensors))) for one in self.stages]

    def _clamp(self, applied: Tensor, least: float, most: float) -> None:
        self._end()
        if (least, most) == (0.0, 1.0) and self._whole(applied):
            self.stages.append(Stage("clamp to unit", ()))
            return
        free = torch.full((self.samples,), torch.inf, device="cpu")
        self.stages.append(Stage("clamp", (torch.where(applied, least, -free), torch.where(applied, most, free))))

    def _whole(self, applied: Tensor) -> bool:
        return not self.uniform and bool(applied.all())

    def _unchanged(self) -> tuple[Tensor, Tensor, Tensor]:
        """The map that is none: matrix, matrix of the mean, shift."""
        return self.eye, torch.zeros_like(self.eye), self.eye.new_zeros(self.samples, self.channels)

    def _end(self) -> None:
        if self._linear_due and (self._mean_due or self.uniform):
            self.stages.append(Stage("affine of mean", (self._matrix, self._shift, self._of_mean)))
        elif self._linear_due:
            self.stages.append(_affine(self._matrix, self._shift))
        self._matrix, self._of_mean, self._shift = self._unchanged()
        self._linear_due = self._mean_due = False


def _affine(matrix: Tensor, shift: Tensor) -> Stage:
    scale = matrix.diagonal(dim1=1, dim2=2)
    if torch.equal(matrix, torch.diag_embed(scale)):  # no channel is mixed with another
        return Stage("scale", (scale, shift))
    return Stage("affine", (matrix, shift))


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float64 else tensor
