"""Weights: how much memory they take on their way into a network, and what is refused."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from onthefly.generators import FrozenGenerator, load, read_card, save
from onthefly.generators.card import canonical
from onthefly.generators.checkpoint import _outlined
from onthefly.generators.weights import read_weights

_PEAK = Path("/proc/self/clear_refs")  # 5, written to it, lets the peak of memory begin anew


def megabytes(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def enlarged(path: Path, width: int) -> Path:
    """A checkpoint of a generator of larger images with more channels, of zeros."""
    card = read_card(path)
    card["config"] |= {"width": width}
    card["spec"]["fields"]["image"]["shape"] = [1, 256, 256]
    network = _outlined(card, path)[1].network
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in network.state_dict().items()}
    save_file(tensors, "large.safetensors", metadata={"onthefly": canonical(card)})
    return Path("large.safetensors")


@pytest.mark.skipif(not os.access(_PEAK, os.W_OK), reason="only Linux tells the peak of a part of a run")
def test_weights_are_in_memory_once(generators: dict[str, FrozenGenerator]) -> None:
    """At the peak there is one tensor more, the one that is just being laid out; the largest is a fifth of them."""
    small = save(generators["vae"], "small.safetensors")
    large = enlarged(small, 206)
    load(small)  # whatever is imported late
    size = large.stat().st_size / 2**20
    _PEAK.write_text("5")
    before = megabytes("VmRSS")
    loaded = load(large)
    peak, after = megabytes("VmHWM") - before, megabytes("VmRSS") - before
    assert size > 190
    assert 0.8 * size < after < 1.25 * size  # what was freed may stay with the allocator
    assert peak < 1.4 * size
    assert loaded.path == large


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_that_are_not_finite(value: float, dtype: torch.dtype, refused: Any) -> None:
    weight = torch.zeros(3, 4, dtype=dtype)
    weight[1, 2] = value
    save_file({"weight": weight, "bias": torch.zeros(3, dtype=dtype)}, "linear.safetensors")
    linear = nn.Linear(4, 3, device="meta", dtype=dtype)
    message = refused(lambda: read_weights(Path("linear.safetensors"), linear), "weight: holds values")
    assert "bias" not in message


def test_whole_numbers_and_nothing_are_finite() -> None:
    norm = nn.BatchNorm1d(2, device="meta")
    norm.empty = nn.Buffer(torch.zeros(0, device="meta"))
    tensors = {name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in norm.state_dict().items()}
    save_file(tensors, "norm.safetensors")
    read_weights(Path("norm.safetensors"), norm)
    assert norm.num_batches_tracked == 1


@pytest.mark.gpu
def test_weights_go_straight_to_the_device() -> None:
    save_file({"weight": torch.ones(3, 4), "bias": torch.zeros(3)}, "linear.safetensors")
    linear = nn.Linear(4, 3, device="meta")
    read_weights(Path("linear.safetensors"), linear, "cuda")
    assert linear.weight.device.type == linear.bias.device.type == "cuda"
    assert linear.weight.sum() == 12
