"""What folders of ``diffusers`` hold: the closed table of pipelines, each as a network that says what it sees in noise,
and turns what is left into an image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onthefly.extras import require
from onthefly.generators.adapters.folder import Folder, variant
from onthefly.generators.adapters.prompts import Prompts
from onthefly.mixing.classes import Classes

Shape = tuple[int, int, int]

_TEXTS = 32  # prompts that are encoded together


@dataclass(frozen=True)
class Options:
    """What a user may say about a pipeline; None for what is usual for it."""

    guidance: float | None = None
    size: int | tuple[int, int] | None = None
    classes: Any = None
    prompts: Any = None
    negative: str | None = None


class Pipeline(nn.Module):
    """A network for the loop.

    Attributes:
        classes: that it can make.
        shape: ``(C, H, W)`` of what is denoised.
        image: ``(C, H, W)`` of what is delivered.
        guidance: how much further than asked it goes from what it would make without a class (Ho and Salimans,
            "Classifier-free diffusion guidance", 2022); None for no further.
    """

    classes: Classes
    shape: Shape
    image: Shape
    guidance: float | None = None

    def told(self, labels: Tensor, keys: Tensor) -> Tensor:
        """What the network is told of each sample: ``[N, ...]``, its class."""
        return labels

    def untold(self, labels: Tensor) -> Tensor:
        """What it is told of a sample of no class."""
        raise NotImplementedError

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """The network: ``float32[N, *shape]`` at a time ``[]`` to as many channels, or twice as many."""
        raise NotImplementedError

    def predict(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """The same, guided."""
        if self.guidance is None:
            return self.call(samples, time, told)
        both = self.call(torch.cat([samples] * 2), time, torch.cat([told, self.untold(told)]))
        with_class, without = both.chunk(2)
        mean = without + self.guidance * (with_class - without)
        channels = self.shape[0]
        return torch.cat([mean[:, :channels], with_class[:, channels:]], dim=1)

    def encode(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as what is denoised."""
        return images * 2 - 1

    def decode(self, samples: Tensor) -> Tensor:
        """The other way round."""
        return (samples / 2 + 0.5).clamp(0, 1)


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
            *_as_size(config.sample_size if options.size is None else options.size),
        )

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        classes = told if self.conditional else None
        return _tensor(self.unet(samples, time, class_labels=classes, return_dict=False))


class Latents(Pipeline):
    """What is denoised is the latents of an autoencoder."""

    vae: Any

    def _set_shapes(self, channels: int, size: tuple[int, int]) -> None:
        """Of latents of this size."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.shape = (channels, *size)
        self.image = (self.vae.config.out_channels, size[0] * factor, size[1] * factor)

    def encode(self, images: Tensor) -> Tensor:
        latents = self.vae.encode(super().encode(images)).latent_dist.mode()
        scaled: Tensor = (latents - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
        return scaled

    def decode(self, samples: Tensor) -> Tensor:
        latents = samples / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0)
        return super().decode(_tensor(self.vae.decode(latents, return_dict=False)))


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
        return _tensor(self.transformer(samples, timestep=times, class_labels=told, return_dict=False))


class TextToImage(Latents):
    """Stable Diffusion, told the embeddings of prompts, which are computed once; its text encoder is then dropped.

    A latent consistency model is told how much it is to be guided (Luo et al., 2023), instead of being run twice.
    """

    def __init__(self, folder: Folder, options: Options) -> None:
        super().__init__()
        if options.prompts is None:
            raise ValueError(
                f"prompts: expected what to say for each class to {folder.index['_class_name']}, found None; write "
                "prompts={'cat': 'a photo of a cat', ...}, or prompts='a photo of a {}' with classes=('cat', ...)"
            )
        self.prompts = Prompts(options.prompts, options.classes)
        self.classes = self.prompts.classes
        texts = [*self.prompts.texts, options.negative or ""]
        self.register_buffer("embeddings", _embedded(folder, texts))  # [P + 1, L, D], the last one for no class
        self.embeddings: Tensor
        self.unet = load_part(folder, "unet", "UNet2DConditionModel")
        self.vae = load_part(folder, "vae", "AutoencoderKL")
        self._guide(options.guidance)
        self._set_shapes(self.unet.config.in_channels, self._latent_size(options.size))
        if self.unet.config.in_channels != self.vae.config.latent_channels:
            raise ValueError(
                f"{folder.where}: expected a UNet that takes the {self.vae.config.latent_channels} channels of its "
                f"autoencoder, found {self.unet.config.in_channels}, as for inpainting; take one for text to image"
            )

    def _guide(self, guidance: float | None) -> None:
        size = self.unet.config.time_cond_proj_dim
        self.guidance = as_guidance(guidance, 7.5 if size is None else 8.5)
        embedding = torch.zeros(1, 0)
        if size is not None:
            embed = require("diffusers", extra="diffusion").StableDiffusionPipeline.get_guidance_scale_embedding
            embedding = embed(None, torch.tensor([(self.guidance or 1.0) - 1]), embedding_dim=size)
            self.guidance = None
        self.register_buffer("guiding", embedding)
        self.guiding: Tensor

    def _latent_size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        if size is None:
            return _as_size(self.unet.config.sample_size)
        height, width = _as_size(size)
        if height % factor or width % factor:
            raise ValueError(
                f"size: expected multiples of {factor}, found {height} x {width}; write "
                f"size={max(factor, height // factor * factor)}, and .map() samples to the size of the dataset"
            )
        return height // factor, width // factor

    def told(self, labels: Tensor, keys: Tensor) -> Tensor:
        """Which prompt."""
        return self.prompts.of_samples(labels, keys)

    def untold(self, labels: Tensor) -> Tensor:
        return torch.full_like(labels, len(self.embeddings) - 1)

    def call(self, samples: Tensor, time: Tensor, told: Tensor) -> Tensor:
        guiding = self.guiding.expand(len(samples), -1) if self.guiding.numel() else None
        embeddings = self.embeddings[told]
        return _tensor(self.unet(samples, time, embeddings, timestep_cond=guiding, return_dict=False))


@dataclass(frozen=True)
class Kind:
    """A pipeline that can be loaded.

    Attributes:
        build: makes its network.
        takes: what may be said about it.
        parts: what it needs: the classes of ``diffusers`` or ``transformers`` that each component may be of.
        steps: that are usual.
        strength: that is usual.
    """

    build: Callable[[Folder, Options], Pipeline]
    takes: frozenset[str]
    parts: Mapping[str, tuple[str, ...]]
    steps: int = 50
    strength: float | None = None


_IN_PIXELS = (Pixels, frozenset({"classes", "size"}), {"unet": ("UNet2DModel",)})
_BY_TEXT = (
    TextToImage,
    frozenset({"classes", "size", "guidance", "prompts", "negative"}),
    {
        "unet": ("UNet2DConditionModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    },
)

KINDS = {
    "DDPMPipeline": Kind(*_IN_PIXELS),
    "DDIMPipeline": Kind(*_IN_PIXELS),
    "ConsistencyModelPipeline": Kind(*_IN_PIXELS, steps=1),
    "DiTPipeline": Kind(
        DiT,
        frozenset({"classes", "guidance"}),
        {"transformer": ("DiTTransformer2DModel",), "vae": ("AutoencoderKL",)},
    ),
    "StableDiffusionPipeline": Kind(*_BY_TEXT),
    "StableDiffusionImg2ImgPipeline": Kind(*_BY_TEXT, strength=0.8),
    "LatentConsistencyModelPipeline": Kind(*_BY_TEXT, steps=4),
    "LatentConsistencyModelImg2ImgPipeline": Kind(*_BY_TEXT, steps=4, strength=0.8),
}


def load_part(folder: Folder, name: str, kind: str, library: str = "diffusers") -> Any:
    """A model among the components, in float32."""
    part = folder.part(name)
    cls = getattr(require(library, extra="diffusion"), kind)
    model = cls.from_pretrained(part, local_files_only=True, use_safetensors=True, variant=variant(part))
    return model.float().eval().requires_grad_(False)


def as_guidance(guidance: float | None, usual: float) -> float | None:
    """None where it is 1, with which nothing is guided further than asked."""
    value = usual if guidance is None else float(guidance)
    if not 0 <= value < float("inf"):
        raise ValueError(f"guidance: expected 0 or more, found {guidance!r}; 1 guides nothing, {usual} is usual")
    return None if value == 1 else value


def _embedded(folder: Folder, texts: list[str]) -> Tensor:
    """``float32[P, L, D]`` of P prompts."""
    transformers = require("transformers", extra="diffusion")
    tokenizer = getattr(transformers, folder.index["tokenizer"][1]).from_pretrained(
        folder.part("tokenizer", weights=False), local_files_only=True
    )
    encoder = load_part(folder, "text_encoder", "CLIPTextModel", "transformers")
    room = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer(texts, padding="max_length", max_length=room, truncation=False, return_tensors=None)
    for text, some in zip(texts, tokens["input_ids"], strict=True):
        if len(some) > room:
            raise ValueError(
                f"prompts: expected at most {room} tokens, with two that begin and end it, found {len(some)} in "
                f"{text!r}; write a shorter one"
            )
    ids, mask = (torch.tensor(tokens[name]) for name in ("input_ids", "attention_mask"))
    attended = mask if getattr(encoder.config, "use_attention_mask", False) else None
    rows = [slice(begin, begin + _TEXTS) for begin in range(0, len(texts), _TEXTS)]
    with torch.no_grad():
        made = [encoder(ids[some], attention_mask=None if attended is None else attended[some])[0] for some in rows]
    return torch.cat(made)


def _as_classes(classes: Any, count: int, labels: Mapping[str, str] | None) -> Classes:
    """As many as the network has, by the names given, or by those of its own."""
    if classes is not None:
        known = Classes.of(classes)
        if known.count != count:
            raise ValueError(f"classes: expected the {count} that it was trained on, in order, found {known}")
        return known
    if labels is None or {int(number) for number in labels} != set(range(count)):
        return Classes.of(count)
    names = [label.partition(",")[0].strip() for _, label in sorted(labels.items(), key=lambda item: int(item[0]))]
    return Classes.of([name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names)])


def _as_size(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else (*size, 0)[:2]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise ValueError(f"size: expected a number of pixels, or (height, width), found {size!r}; write size=512")
    return height, width


def _tensor(made: Any) -> Tensor:
    first: Tensor = made[0]
    return first
