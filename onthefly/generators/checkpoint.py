"""Checkpoints: safetensors with one card of canonical JSON. Nothing in a file is ever run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from onthefly.data.spec import Spec
from onthefly.generators import codings
from onthefly.generators.attributes import Attributes
from onthefly.generators.base import FrozenGenerator, OnFault, as_on_fault
from onthefly.generators.card import canonical, parse
from onthefly.generators.families import family_of
from onthefly.generators.family import Family, Parts, target_of
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.running import Compile

_KEY = "onthefly"  # the one metadata key: with two the file's bytes would depend on their order in memory
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
    save_file(tensors, path, metadata={_KEY: canonical(generator.card)})
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
    attributes: Mapping[str, Any] | None = None,
    **sampling: Any,
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
        attributes: what samples are to be beside their class, for a generator that has conditions: ``{"rotation": (-30,
            30), "speaker": ["anna", "ben"]}``; each sample's are drawn by its key. What isn't said may be anything.
        sampling: how samples are made, where the family leaves a choice: ``steps``, ``guidance``, ...

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for anything that is not a whole checkpoint of this library, listing every tensor that differs; and
            for a family that bfloat16 would change.
    """
    path = Path(path)
    family, parts = read_parts(path)
    made = family.frozen(parts, Attributes(parts.spec.conditions, attributes), family.sample_by(sampling))
    generator = made.reused(reuse, max_overhead=max_overhead)
    generator.path, generator.on_fault = path, as_on_fault(on_fault)
    generator = generator if device is None else generator.to(device)
    return generator.running(batch_size=batch_size, dtype=dtype, compile=compile)


def read_parts(path: Path) -> tuple[Family, Parts]:
    """The family of a checkpoint, and what its generator is put together from.

    Raises:
        FileNotFoundError, ValueError: as ``load`` does.
    """
    family, parts = _outlined(read_card(path), path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    _check_tensors(tensors, parts.network, path)
    parts.network.load_state_dict(tensors, assign=True)
    return family, parts


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
    return parse(metadata[_KEY], path)


def _outlined(card: Mapping[str, Any], path: Path) -> tuple[Family, Parts]:
    """What a card describes: a generator whose network has neither memory nor values yet."""
    try:
        family, spec = family_of(card["family"]), Spec.from_json(card["spec"])
        config = family.configure(card["config"])
        coding = codings.from_json(spec.field, card["coding"])
        target = target_of(spec, coding, card.get("augmented", 0))
        with torch.device("meta"):
            network = family.network(target, config)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, StopIteration) as error:
        raise ValueError(
            f"checkpoint {path}: expected a card that describes a generator, found one that doesn't "
            f"({type(error).__name__}: {error}); write it again with save()"
        ) from error
    return family, Parts(network, target, config, spec, coding, card)


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
