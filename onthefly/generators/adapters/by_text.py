"""Networks of ``diffusers`` that are told a class by a prompt."""

import torch
from torch import Tensor

from onthefly.extras import require
from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.loading import load_tokenizer
from onthefly.generators.adapters.network import Latents, Options, as_guidance, as_size, first, load_part
from onthefly.generators.adapters.prompts import Prompts

_TEXTS = 32  # prompts that are encoded together


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
            return as_size(self.unet.config.sample_size)
        height, width = as_size(size)
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
        return first(self.unet(samples, time, embeddings, timestep_cond=guiding, return_dict=False))


def _embedded(folder: Folder, texts: list[str]) -> Tensor:
    """``float32[P, L, D]`` of P prompts."""
    transformers = require("transformers", extra="diffusion")
    kind = getattr(transformers, folder.index["tokenizer"][1])
    tokenizer = load_tokenizer(folder, folder.part("tokenizer", weights=False), kind)
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
