"""Checkpoints: safetensors with one card of canonical JSON. Nothing in a file is ever run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from onthefly.data.spec import Spec
from onthefly.generators.base import FrozenGenerator, OnFault, as_on_fault
from onthefly.generators.families import family_of
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.running import Compile

_KEY = "onthefly"  # the one metadata key: with two the file's bytes would depend on their order in memory
_FORMAT = 1
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
    if not isinstance(generator, LatentGenerator) or generator.card is None:
        raise ValueError(
            f"save: expected a generator made by train() or load(), found a {type(generator).__name__}, which no card "
            "can rebuild; save its own weights, and wrap them with from_module() again"
        )
    check_path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={_KEY: _canonical(generator.card)})
    path.chmod(0o666 & ~_umask())  # safetensors writes a file for its owner alone
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
) -> FrozenGenerator:
    """Read a generator from a checkpoint.

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

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for anything that is not a whole checkpoint of this library, listing every tensor that differs; and
            for a family that bfloat16 would change.
    """
    path = Path(path)
    card = read_card(path)
    network, spec, latent = _outlined(card, path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    _check_tensors(tensors, network, path)
    network.load_state_dict(tensors, assign=True)
    generator = LatentGenerator(network, spec, (latent,), card=card).reused(reuse, max_overhead=max_overhead)
    generator.path, generator.on_fault = path, as_on_fault(on_fault)
    generator = generator if device is None else generator.to(device)
    return generator.running(batch_size=batch_size, dtype=dtype, compile=compile)


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a checkpoint: family, config, spec, and how it was trained; the weights are not read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for anything that is not a checkpoint of this library.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint: no file {path}; train one with: onthefly train FOLDER --out {path.stem}.safetensors"
        )
    _refuse_others(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {path}: not a whole safetensors file ({error}); copy it again, its size is "
            f"{path.stat().st_size} bytes"
        ) from error
    if _KEY not in metadata:
        raise ValueError(
            f"checkpoint {path}: no card in it, so nothing tells what it is; build its network yourself and use "
            "from_module()"
        )
    return _parse(metadata[_KEY], path)


def new_card(family: str, config: Mapping[str, Any], spec: Spec, training: Mapping[str, Any]) -> dict[str, Any]:
    """A card: what rebuilds the generator, and how it came about."""
    return {
        "format": _FORMAT,
        "family": family,
        "config": dict(config),
        "spec": spec.to_json(),
        "training": dict(training),
    }


def _outlined(card: Mapping[str, Any], path: Path) -> tuple[nn.Module, Spec, int]:
    """The network that a card describes, without memory or values yet; what it makes; and the length of its noise."""
    try:
        family, spec = family_of(card["family"]), Spec.from_json(card["spec"])
        config = family.configure(card["config"])
        with torch.device("meta"):
            return family.network(spec, config), spec, config.latent
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"checkpoint {path}: expected a card that describes a generator, found one that doesn't "
            f"({type(error).__name__}: {error}); write it again with save()"
        ) from error


def _canonical(card: Mapping[str, Any]) -> str:
    return json.dumps(card, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _refuse_others(path: Path) -> None:
    """Name the files that people have instead of a checkpoint: a Git LFS pointer, a pickle."""
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


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        card = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"checkpoint {path}: its card is not a JSON object ({error}); write it again with save()"
        ) from error
    missing = {"format", "family", "config", "spec"} - card.keys()
    if missing:
        raise ValueError(
            f"checkpoint {path}: expected a card with {', '.join(sorted(missing))} too; write it again with save()"
        )
    if card["format"] != _FORMAT:
        raise ValueError(
            f"checkpoint {path}: expected format {_FORMAT}, found {card['format']}; pip install -U onthefly-torch"
        )
    return card


def _check_tensors(found: Mapping[str, Tensor], network: nn.Module, path: Path) -> None:
    expected = network.state_dict()
    lines = [
        f"{name}: expected {_outline(expected.get(name))}, found {_outline(found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if _outline(expected.get(name)) != _outline(found.get(name))
    ]
    lines += [
        f"{name}: holds values that are not finite"
        for name, tensor in found.items()
        if not torch.isfinite(tensor).all()
    ]
    if lines:
        raise ValueError(
            f"checkpoint {path}: its tensors are not those of its card; save the generator again:\n  "
            + "\n  ".join(lines)
        )


def _outline(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
