"""The pipelines of ``diffusers`` that can be loaded: a closed table, so that a folder can't name code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onthefly.extras import require
from onthefly.generators.adapters.by_class import DiT, Pixels
from onthefly.generators.adapters.by_text import TextToImage
from onthefly.generators.adapters.folder import Folder
from onthefly.generators.adapters.loading import loaded
from onthefly.generators.adapters.network import Options, Pipeline


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

_MENDED = {"steps_offset": 1, "clip_sample": False}  # in configurations of 2022, as their pipeline does


def kind_of(folder: Folder) -> Kind:
    """What a folder holds; refused, before anything is loaded, if it isn't in the table or names other classes."""
    name = folder.index.get("_class_name")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(
            f"from_diffusers: expected one of {', '.join(KINDS)}, found {name} in {folder.path}; load it yourself, and "
            "wrap its network with from_module() or write a FrozenGenerator around it"
        )
    for part, known in kind.parts.items():
        _check_part(folder, part, known)
    library, cls = _named(folder, "scheduler")
    if library != "diffusers" or not cls.endswith("Scheduler"):
        raise _foreign(folder, "scheduler", "a scheduler of diffusers", f"{cls} of {library}")
    return kind


def _check_part(folder: Folder, part: str, known: tuple[str, ...]) -> None:
    library, cls = _named(folder, part)
    if library not in ("diffusers", "transformers") or cls not in known:
        raise _foreign(folder, part, " or ".join(known), f"{cls} of {library}")


def _named(folder: Folder, part: str) -> tuple[str, str]:
    named = folder.index.get(part)
    if not isinstance(named, list) or len(named) != 2 or not all(isinstance(one, str) for one in named):
        raise _foreign(folder, part, "a class", f"{named}")
    return named[0], named[1]


def _foreign(folder: Folder, part: str, expected: str, found: str) -> ValueError:
    return ValueError(
        f"from_diffusers: expected {expected} as {part} of {folder.index['_class_name']}, found {found} in "
        f"{folder.path}; nothing of it was loaded: load it yourself where you trust it, and wrap its network with "
        "from_module()"
    )


def check_options(folder: Folder, kind: Kind, options: Options) -> None:
    """Refuse what means nothing for this pipeline."""
    given = {name for name, value in vars(options).items() if value is not None}
    if given - kind.takes:
        raise ValueError(
            f"from_diffusers: expected nothing but {', '.join(sorted(kind.takes))} to be said about "
            f"{folder.index['_class_name']}, found {', '.join(sorted(given - kind.takes))}; leave it out"
        )


def scheduler_of(folder: Folder, wanted: Any) -> Any:
    """The scheduler of the folder, or the one that is wanted instead."""
    if wanted is not None and not isinstance(wanted, str):
        return wanted
    diffusers = require("diffusers", extra="diffusion")
    saved = _scheduler_class(diffusers, folder.index["scheduler"][1])
    part = folder.part("scheduler", weights=False)
    config = loaded(folder, part, f"a {saved.__name__}", saved.load_config)
    if "prompts" in KINDS[folder.index["_class_name"]].takes:
        config = {**config, **{name: value for name, value in _MENDED.items() if name in config}}
    cls = saved if wanted is None else _scheduler_class(diffusers, wanted)
    try:
        return cls.from_config(config)
    except Exception as error:  # what a configuration holds can make it raise anything
        raise ValueError(
            f"scheduler: {cls.__name__} can't be made from the configuration of {folder.index['scheduler'][1]}: "
            f"{error}; give one that you made"
        ) from error


def _scheduler_class(diffusers: Any, name: str) -> Any:
    cls = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if cls is None or not hasattr(cls, "from_config"):
        raise ValueError(
            f"scheduler: expected one of diffusers, found {name!r}; write scheduler='DPMSolverMultistepScheduler'"
        )
    return cls
