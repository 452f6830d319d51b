"""Tiny models of the real classes of ``diffusers`` and ``transformers``, in folders as they save them."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast

LETTERS = [chr(number) for number in range(97, 123)]
WORDS = [
    "?",
    ".",
    "<s>",
    "a",
    "cat",
    "dog",
    "free",
    "ham",
    "hello",
    "money",
    "news",
    "now",
    "spam",
    "the",
    "win",
    "you",
]


def unet(**options: Any) -> UNet2DModel:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    sizes = {"sample_size": 8, "block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4}
    return UNet2DModel(**{**sizes, **blocks, "attention_head_dim": 4, **options})


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=8, **blocks)


def save_dit(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 2, "patch_size": 2, "norm_num_groups": 4}
    transformer = DiTTransformer2DModel(**sizes, in_channels=4, out_channels=8, sample_size=4, num_embeds_ada_norm=3)
    _shake(transformer)
    DiTPipeline(transformer, autoencoder(), DDIMScheduler()).save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {"0": "cat, tabby", "1": "crane", "2": "crane, lifting"}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def save_pixels(folder: Path) -> Path:
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(folder)
    return folder


def save_consistency(folder: Path) -> Path:
    made = unet(num_class_embeds=3)
    ConsistencyModelPipeline(made, CMStochasticIterativeScheduler()).save_pretrained(folder)
    return folder


def save_stable(folder: Path, latent_consistency: bool = False) -> Path:
    ends = ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: place for place, token in enumerate([*ends, *LETTERS, *(f"{letter}</w>" for letter in LETTERS)])}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=24)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPTextConfig(vocab_size=len(vocab), max_position_embeddings=24, **sizes, **tokens)
    network = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        time_cond_proj_dim=8 if latent_consistency else None,
    )
    pipeline = LatentConsistencyModelPipeline if latent_consistency else StableDiffusionPipeline
    pipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=network,
        scheduler=LCMScheduler() if latent_consistency else EulerDiscreteScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_language(folder: Path, model: Any) -> Path:
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token=".", bos_token="<s>").save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def _shake(module: torch.nn.Module) -> None:
    """DiT begins with zeros, which see nothing of class and time."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
