"""Networks of ``diffusers`` that are told a class by its number, or nothing."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.network import Latents, Options, Pipeline, as_guidance, as_size, first, load_part
from onthefly.mixing.classes import Classes


class Pixels(Pipeline):
    """A ``UNet2DModel``: images as they are, of a class or of none."""

    def __init__(self, folder: Folder, options: Options) -> None:
        super().__init__()
        self.unet = load_part(folder, "unet", "UNet2DModel")
        config = self.unet.config
        if config.class_embed_type is not None:
            raise ValueError(
                f"{folder.where}: expected a UNet2DModel that is told a class by its number, found "
                f"class_embed_type={config.class_embed_type!r}; wrap it with from_module()"
            )
        self.conditional = config.num_class_embeds is not None
        self.classes = _as_classes(options.classes, config.num_class_embeds or 1, None)
        self.shape = self.image = (
            config.in_channels,
            *as_size(config.sample_size if options.size is None else options.size),
        )

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        classes = told if self.conditional else None
        return first(self.unet(samples, time, class_labels=classes, return_dict=False))


class DiT(Latents):
    """A ``DiTTransformer2DModel``, told a class (Peebles and Xie, ICCV 2023)."""

    def __init__(self, folder: Folder, options: Options) -> None:
        super().__init__()
        self.transformer = load_part(folder, "transformer", "DiTTransformer2DModel")
        self.vae = load_part(folder, "vae", "AutoencoderKL")
        config = self.transformer.config
        self.none = int(config.num_embeds_ada_norm)  # the class after the last
        self.classes = _as_classes(options.classes, self.none, folder.index.get("id2label"))
        self.guidance = as_guidance(options.guidance, 4.0)
        self._set_shapes(config.in_channels, (config.sample_size, config.sample_size))

    def untold(self, labels: Tensor) -> Tensor:
        return torch.full_like(labels, self.none)

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        times = time.expand(len(samples))
        return first(self.transformer(samples, timestep=times, class_labels=told, return_dict=False))


def _as_classes(classes: Any, count: int, labels: Any) -> Classes:
    """As many as the network has, by the names given, or by those of its own."""
    if classes is not None:
        known = Classes.of(classes)
        if known.count != count:
            raise ValueError(f"classes: expected the {count} that it was trained on, in order, found {known}")
        return known
    if not isinstance(labels, Mapping) or set(labels) != {str(number) for number in range(count)}:
        return Classes.of(count)
    names = [str(labels[str(number)]).partition(",")[0].strip() for number in range(count)]
    return Classes.of([name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names)])
