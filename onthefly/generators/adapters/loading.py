"""What libraries make of folders: whole, or refused in our words, whatever their own error is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onthefly.generators.adapters.folder import Folder, variant

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def loaded(folder: Folder, part: Path, what: str, load: Callable[..., Any], **options: Any) -> Any:
    """What a library reads there.

    Args:
        folder: looked at before.
        part: it, or a folder in it.
        what: is expected, for messages.
        load: of the library, such as ``from_pretrained``.
        options: of ``load``.

    Raises:
        ValueError: if it can't.
    """
    try:
        return load(part, local_files_only=True, **options)
    except Exception as error:  # a broken folder, or one that means harm, can make a library raise anything
        raise ValueError(
            f"{folder.where}: expected {what} in {part}, found what doesn't load: {type(error).__name__}: {error}; "
            "copy it again, or write it there with save_pretrained(folder, safe_serialization=True)"
        ) from error


def load_network(folder: Folder, part: Path, what: str, load: Callable[..., Any], **options: Any) -> Any:
    """The same of a network, in float32 and frozen.

    Raises:
        ValueError: if it doesn't load, or lacks weights, which a library leaves empty or draws; or some are NaN or
            infinite.
    """
    files = {"use_safetensors": True, "variant": variant(part)}
    network, report = loaded(folder, part, what, load, output_loading_info=True, **files, **options)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{folder.where}: expected {what} in {part}, found weights without {', '.join(missing[:3])}; copy them "
            "again, or take a folder that has them"
        )
    network = network.float().eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(
                f"{folder.where}: expected finite weights in {part}, found NaN or infinite ones in {name}; copy them "
                "again, or take a folder whose training didn't diverge"
            )
    return network


def load_tokenizer(folder: Folder, part: Path, kind: Any, **options: Any) -> Any:
    """A tokenizer of a class of ``transformers``.

    Raises:
        ValueError: if there is none, or it doesn't load.
    """
    if not any((part / name).is_file() for name in _TOKENIZERS):  # else an empty one would be made
        raise ValueError(
            f"{folder.where}: expected a tokenizer beside the model, found none in {part}; write it there with "
            "tokenizer.save_pretrained(folder)"
        )
    return loaded(folder, part, "a tokenizer", kind.from_pretrained, **options)
