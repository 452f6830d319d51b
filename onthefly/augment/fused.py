"""A Kornia pipeline run as one warp, one pointwise pass and noise made on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.augment.fusing.chunks import as_floats, through
from onthefly.augment.fusing.data import along, own
from onthefly.augment.fusing.operations import Operation, as_container, is_of_kornia, not_of_kornia, operations
from onthefly.augment.fusing.parts import AS_IT_IS, WARP, Given, Part, cut, uncut
from onthefly.augment.fusing.sampling import draw, shape_before
from onthefly.augment.fusing.steps import Moved, moved, painted, send


@dataclass(frozen=True, repr=False)
class Fusion:
    """What became of a pipeline; printed, a line a part.

    Attributes:
        parts: in their order.
    """

    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        return "\n".join(map(str, self.parts)) or "nothing to run"


def fused(
    pipeline: Any,
    *,
    exact: bool = False,
    compile: bool = False,  # noqa: A002
) -> "Fused":
    """A Kornia pipeline that runs as one warp and one pointwise pass, called as the pipeline is.

    What it draws is what Kornia draws. Operations that move pixels become one warp, by the product of their matrices,
    which moves masks, boxes and keypoints too; colours and noise become one pass over the pixels, and noise is made on
    the device. What can't be fused runs as it is, in its place; ``fused(pipeline).explain()`` says what and why. Images
    may be bytes, which become floats in [0, 1].

    Args:
        pipeline: an ``AugmentationSequential`` with any ``data_keys``, an ``ImageSequential``, an ``nn.Sequential``,
            one operation or a list of them. It is left as it is.
        exact: Kornia's own values, within 1e-4 but for ties of the nearest pixel: a warp for each operation that moves
            pixels, a clamp wherever Kornia clamps, Kornia's own noise.
        compile: the pointwise pass as one kernel, by ``torch.compile``, which takes its time for the first batch.

    Raises:
        ValueError: if ``pipeline`` is no pipeline, or has transforms of torchvision; for ``compile`` with ``exact``.

    >>> import kornia.augmentation as K
    >>> pipeline = K.AugmentationSequential(
    ...     K.RandomHorizontalFlip(), K.RandomAffine(10.0), K.ColorJitter(0.2, 0.2), K.RandomGaussianNoise(std=0.02)
    ... )
    >>> augment = fused(pipeline)
    >>> augment(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    >>> print(augment.explain())
    warp      RandomHorizontalFlip_0, RandomAffine_1; bilinear, zeros outside
    pointwise ColorJitter_2, RandomGaussianNoise_3; noise made on the device
    """
    if exact and compile:
        raise ValueError(
            "augment.fused: expected exact or compile, found both, and Kornia clamps in an order that is drawn anew "
            "for every batch; leave one out"
        )
    return Fused(pipeline, exact=exact, compile=compile)


class Fused(nn.Module):
    """What ``fused`` returns.

    Attributes:
        pipeline: the user's, or an ``nn.Sequential`` of the user's list.
        transform_matrix: ``float32[N, 3, 3]`` of the last call, on the CPU, from pixels before to pixels after; None
            before the first, and for videos and volumes.
    """

    def __init__(self, pipeline: Any, *, exact: bool, compile: bool) -> None:  # noqa: A002
        super().__init__()
        import kornia.augmentation as K  # heavy, and not needed by who doesn't augment

        self.pipeline, self.exact, self.compiled = as_container(pipeline), exact, compile
        images: Any = K.AugmentationSequential().data_keys
        self.data_keys: list[Any] | None = getattr(pipeline, "data_keys", images)
        self.transform_matrix: Tensor | None = None
        self._params: list[Any] | None = None
        self._parts: tuple[Part, ...] | None = None
        # handles arguments of all kinds as Kornia does, and runs nothing
        self._front: Any = K.AugmentationSequential(data_keys=self.data_keys)
        self._given = _given(getattr(pipeline, "extra_args", self._front.extra_args))

    def explain(self) -> Fusion:
        """What is fused, what isn't, and why: of the last batch; before the first one, as far as it can be told."""
        if self._parts is not None:
            return Fusion(self._parts)
        if _is_apart(self.pipeline):
            children = [Operation(name, child) for name, child in self.pipeline.named_children()]
            return Fusion(tuple(uncut(children, "videos and volumes are not fused")))
        return Fusion(tuple(cut(operations(self.pipeline), None, self._given, exact=self.exact)))

    def forward(self, *args: Any, params: Sequence[Any] | None = None, data_keys: Sequence[Any] | None = None) -> Any:
        """As ``AugmentationSequential`` is called.

        Args:
            args: what ``data_keys`` name, in their order, or one dict where they are None; images float or
                uint8[N, C, H, W].
            params: of an earlier call, ``_params``, to be used again.
            data_keys: instead of the pipeline's own.
        """
        names: tuple[str, ...] | None = None
        others: dict[str, Any] = {}
        if _is_apart(self.pipeline):
            return self.pipeline(*args, params=params, data_keys=data_keys)
        if len(args) == 1 and isinstance(args[0], dict):
            names, data_keys, args, unknown = self._front._preproc_dict_data(args[0])
            others = unknown or {}
        keys = self._front.transform_op.preproc_datakeys(data_keys)
        outputs = self._on_values(keys, list(args), params)
        if names is not None:
            return {**dict(zip(names, outputs, strict=True)), **others}
        return outputs[0] if len(outputs) == 1 else outputs

    def _on_values(self, keys: list[Any], args: list[Any], params: Sequence[Any] | None) -> list[Any]:
        front, shown = self._front, [_shown(key, arg) for key, arg in zip(keys, args, strict=False)]
        front._validate_args_datakeys(*shown, *args[len(keys) :], data_keys=keys, params=params)
        values = front._arguments_preproc(*shown, data_keys=keys, params=params)
        images = [arg for key, arg in zip(keys, args, strict=True) if key.name == "IMAGE"]
        if not images and params is None:
            raise ValueError(
                "augment.fused: expected an image or the params of an earlier call, found neither; give the image too, "
                "or write params=fused._params after a call with one"
            )
        shapes = {tuple(image.shape) for image in images}
        shape = tuple(images[0].shape) if images else shape_before(params or ())
        if params is None:
            device = None if self.exact else images[0].device
            params = draw(self.pipeline, (1,) * (4 - images[0].ndim) + tuple(images[0].shape), device)
        drawn = list(params)
        found = operations(self.pipeline, drawn)
        parts = cut(found, shape, self._given, exact=self.exact) if len(shapes) < 2 else uncut(found, _SHAPES)
        values = [arg if key.name == "IMAGE" else value for key, arg, value in zip(keys, args, values, strict=True)]
        self.transform_matrix, self._params, self._parts = _identity(shape), drawn, tuple(parts)
        with torch.autocast(images[0].device.type if images else "cpu", enabled=False):
            values = self._run(parts, keys, values)
        outputs: list[Any] = front._arguments_postproc(args, values, data_keys=keys)
        return [own(output, arg) for output, arg in zip(outputs, args, strict=True)]

    def _run(self, parts: list[Part], keys: list[Any], values: list[Any]) -> list[Any]:
        unit = not self.exact  # images are expected in [0, 1]
        first = takewhile(lambda part: part.kind == AS_IT_IS, parts)
        if not all(is_of_kornia(part.operations[0].module) for part in first):
            values = [own(value, value) for value in values]  # others may work in place
        for is_fused, group in groupby(parts, lambda part: part.kind != AS_IT_IS):
            if is_fused:
                values, unit = self._run_fused(list(group), keys, values, unit)
            else:
                values, unit = [_as_floats(key, value) for key, value in zip(keys, values, strict=True)], False
                for part in group:
                    values = self._run_as_it_is(part.operations[0], keys, values)
        return [_as_floats(key, value) for key, value in zip(keys, values, strict=True)]

    def _run_fused(self, parts: list[Part], keys: list[Any], values: list[Any], unit: bool) -> tuple[list[Any], bool]:
        names = [key.name for key in keys]
        images = [place for place, name in enumerate(names) if name == "IMAGE"]
        device = values[images[0]].device if images else torch.device("cpu")
        steps: list[Callable[[Tensor, slice], Tensor]] = []
        for part in parts:
            move: Moved | None = None
            if part.kind == WARP:
                move = moved(part, self._given, masks="MASK" in names)
                self._note(move.matrix)
                unit = unit and part.image.mode != "bicubic"
                steps += [move.image] if move.image is not None else []
            elif images:
                paint, unit = painted(part, device, exact=self.exact, uniform=self.compiled, unit=unit)
                steps += [paint] if paint.stages else []
            values = [along(name, value, part, move) for name, value in zip(names, values, strict=True)]
        steps = send(steps, device)
        for place in images:
            values[place] = through(values[place], steps)
        return values, unit

    def _run_as_it_is(self, one: Operation, keys: list[Any], values: list[Any]) -> list[Any]:
        from kornia.augmentation import MixAugmentationBaseV2, RigidAffineAugmentationBase2D
        from kornia.augmentation.container.ops import AugmentationSequentialOps, InputSequentialOps
        from kornia.augmentation.container.params import ParamItem

        item = ParamItem(one.name, one.params)
        run = AugmentationSequentialOps(keys)
        done: Any = run.transform(*values, module=one.module, param=item, extra_args=dict(self._given.all))
        mixes = isinstance(one.module, MixAugmentationBaseV2)  # which raise when asked
        matrix = None if mixes else getattr(one.module, "transform_matrix", None)
        if isinstance(one.module, RigidAffineAugmentationBase2D):  # whose own is of the last image
            matrix = InputSequentialOps.get_transform_matrix(one.module, item, None)
        if isinstance(matrix, Tensor) and matrix.shape[-2:] == (3, 3):
            self._note(matrix.detach().to("cpu", torch.float64))
        return [done] if len(keys) == 1 else list(done)

    def _note(self, matrix: Tensor) -> None:
        before = self.transform_matrix
        self.transform_matrix = matrix.float() if before is None else (matrix @ before.double()).float()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Fused":
        """Modules of the user's own move; Kornia's don't, since their samplers would then draw on the device, and copy
        back what belongs to the CPU."""
        for child in not_of_kornia(self.pipeline):
            child._apply(fn, recurse)
        return self


def _is_apart(pipeline: Any) -> bool:
    """Whether it is of videos or volumes, which Kornia handles otherwise throughout."""
    return any(getattr(pipeline, f"contains_{kind}", False) for kind in ("video_sequential", "3d_augmentation"))


def _given(extra_args: Any) -> Given:
    """By kind of data; masks are read by their nearest pixel, unless something else was asked for."""
    from kornia.constants import Resample

    named = {key.name: value for key, value in extra_args.items()}
    return Given(named.get("IMAGE", {}), {"resample": Resample.NEAREST, **named.get("MASK", {})}, extra_args)


def _identity(shape: Sequence[int] | None) -> Tensor | None:
    samples = None if shape is None else shape[0] if len(shape) == 4 else 1
    return None if samples is None else torch.eye(3, device="cpu").repeat(samples, 1, 1)


def _shown(key: Any, arg: Any) -> Any:
    """Kornia looks at floats: bytes are shown as what they become, and whole coordinates become it."""
    if key.name not in ("IMAGE", "KEYPOINTS") or not isinstance(arg, Tensor) or arg.is_floating_point():
        return arg
    return arg.float() if key.name == "KEYPOINTS" else torch.empty((), device=arg.device).expand(arg.shape)


def _as_floats(key: Any, value: Any) -> Any:
    return as_floats(value) if key.name == "IMAGE" else value


_SHAPES = "the images are not of one shape"
