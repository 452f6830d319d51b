"""Checkpoints: safetensors with one card of canonical JSON. Nothing in a file is ever run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from onthefly.data.batches import as_device
from onthefly.data.spec import Spec
from onthefly.generators import codings
from onthefly.generators.attributes import Attributes
from onthefly.generators.base import FrozenGenerator, OnFault, as_on_fault
from onthefly.generators.card import canonical, check_shown, parse
from onthefly.generators.families import family_of
from onthefly.generators.family import Family, Parts, target_of
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.integrity import CARD, check_header, check_sha256, unchanged
from onthefly.generators.running import Compile
from onthefly.generators.signing import verify
from onthefly.generators.weights import read_weights

_PICKLES = {b"\x80": "a pickle", b"PK": "a zip of pickles, as torch.save writes"}


def save(generator: FrozenGenerator, path: str | Path) -> Path:
    """Write a generator's weights and card to a ``.safetensors`` file; equal generators give equal bytes.

    Args:
        generator: one of this library's families, as ``train`` returns it.
        path: where to.

    Returns:
        The path.

    Raises:
        ValueError: for a generator that no card can rebuild.

    >>> from onthefly.generators import train
    >>> digits = torch.utils.data.TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)
    >>> path = save(train("vae", digits, steps=1, progress=False), "digits.safetensors")
    >>> read_card(path)["family"], load(path).classes
    ('vae', 10 unnamed classes)
    """
    path = Path(path)
    if not isinstance(generator, NetworkGenerator) or generator.card is None or "family" not in generator.card:
        raise ValueError(
            f"save: expected a generator made by train() or load(), found a {type(generator).__name__}, which no card "
            "can rebuild; save its own weights, and wrap them with from_module() again"
        )
    check_path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")  # what was there stays until the new one is whole
    save_file(tensors, unfinished, metadata={CARD: canonical(generator.card)})
    unfinished.chmod(0o666 & ~_umask())  # safetensors writes a file for its owner alone
    unfinished.replace(path)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_path(path: Path) -> None:
    """Refuse a path that ``save`` would refuse, before hours of training."""
    if path.suffix != ".safetensors":
        raise ValueError(
            f"save: expected a path that ends in .safetensors, found {path.name}; write {path.stem}.safetensors"
        )


def load(
    path: str | Path,
    *,
    device: torch.device | str | None = None,
    reuse: int = 1,
    max_overhead: float | None = None,
    on_fault: OnFault = "raise",
    batch_size: int | None = None,
    dtype: torch.dtype | str | None = None,
    compile: Compile = False,  # noqa: A002 - torch's own word for it
    attributes: Mapping[str, Any] | None = None,
    sha256: str | None = None,
    public_key: str | Path | None = None,
    **sampling: Any,
) -> FrozenGenerator:
    """Read a generator from a checkpoint; its weights go straight to the device, and are in memory once.

    Args:
        path: a file that ``save`` wrote.
        device: where it runs, and stays; by default wherever a loader delivers, until then the CPU.
        reuse: how often a mix uses each sample, at least; see ``FrozenGenerator.reused``.
        max_overhead: what making samples may take, as a share of everything else in an epoch; see there.
        on_fault: what a mix does about a sample that isn't finite, has another shape or range, or raises: "raise", or
            "real" to put a real sample of its class in its slot, and count it.
        batch_size: the most samples to make in one forward; by default what a short measurement finds fastest.
        dtype: "bfloat16" to compute in, where the family allows it; see ``LatentGenerator.running``.
        compile: True or "reduce-overhead" to have the network compiled; see there.
        attributes: what samples are to be beside their class, for a generator that has conditions: ``{"rotation": (-30,
            30), "speaker": ["anna", "ben"]}``; each sample's are drawn by its key. What isn't said may be anything.
        sha256: of the file, as ``sha256sum`` prints it: another one is refused.
        public_key: the file of a key: a checkpoint that its owner didn't sign is refused; see ``verify``.
        sampling: how samples are made, where the family leaves a choice: ``steps``, ``guidance``, ...

    Raises:
        FileNotFoundError: if there is no such file, or its signature is asked for and missing.
        ValueError: for anything that is not a whole checkpoint of this library, listing every tensor that differs; for
            a file that has another SHA-256, or wasn't signed with that key; and for a family that bfloat16 would
            change.
    """
    path, device = Path(path), None if device is None else as_device(device)
    _check_file(path)
    with unchanged(path):
        digest = check_sha256(path, sha256)
        if public_key is not None:
            verify(path, public_key=public_key)
        family, parts = read_parts(path, device)
    made = family.frozen(parts, Attributes(parts.spec.conditions, attributes), family.sample_by(sampling))
    generator = made.reused(reuse, max_overhead=max_overhead)
    generator.path, generator.sha256, generator.on_fault = path, digest, as_on_fault(on_fault)
    generator = generator if device is None else generator.to(device)
    return generator.running(batch_size=batch_size, dtype=dtype, compile=compile)


def read_parts(path: Path, device: torch.device | str | None = None) -> tuple[Family, Parts]:
    """The family of a checkpoint, and what its generator is put together from, its weights on the device.

    Raises:
        FileNotFoundError, ValueError: as ``load`` does.
    """
    family, parts = _outlined(read_card(path), path)
    read_weights(path, parts.network, device)
    return family, parts


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a checkpoint: family, config, spec, and how it was trained; the weights are not read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for anything that is not a checkpoint of this library.
    """
    path = Path(path)
    _check_file(path)
    check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {path}: not a whole safetensors file ({error}); copy it again, its size is "
            f"{path.stat().st_size} bytes"
        ) from error
    if CARD not in metadata:
        raise ValueError(
            f"checkpoint {path}: no card in it, so nothing tells what it is; build its network yourself and use "
            "from_module()"
        )
    return parse(metadata[CARD], path)


def _outlined(card: Mapping[str, Any], path: Path) -> tuple[Family, Parts]:
    """What a card describes: a generator whose network has neither memory nor values yet."""
    try:
        family, spec = family_of(card["family"]), Spec.from_json(card["spec"])
        check_shown(card, spec)
        config = family.configure(card["config"])
        coding = codings.from_json(spec.field, card["coding"])
        target = target_of(spec, coding, card.get("augmented", 0))
        with torch.device("meta"):
            network = family.network(target, config)
    except (ValueError, TypeError, AttributeError, RuntimeError, LookupError, StopIteration) as error:
        raise ValueError(
            f"checkpoint {path}: expected a card that describes a generator, found one that doesn't "
            f"({type(error).__name__}: {error}); write it again with save()"
        ) from error
    return family, Parts(network, target, config, spec, coding, card)


def _check_file(path: Path) -> None:
    """Name the files that people have instead of a checkpoint: none, a Git LFS pointer, a pickle."""
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint: no file {path}; train one with: onthefly train FOLDER --out {path.stem}.safetensors"
        )
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"checkpoint {path}: a Git LFS pointer, not the file itself; fetch it with: git lfs pull --include "
            f"{path.name}"
        )
    if head[8:9] == b"{":
        return  # safetensors: eight bytes of length, of any value, then JSON
    kind = next((what for magic, what in _PICKLES.items() if head.startswith(magic)), None)
    if kind is not None or path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".pt2", ".ckpt", ".bin"}:
        raise ValueError(
            f"checkpoint {path}: expected safetensors, found {kind or f'a {path.suffix} file'}, which can run code "
            "when it is opened; load it where you trust it, and give the network to from_module(), or save its "
            "state_dict with safetensors.torch.save_file"
        )
