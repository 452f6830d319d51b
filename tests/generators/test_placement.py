"""Where a generator runs: where it was put, else where the loader delivers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import DeviceCollate, HostCollate, MixPlan, SyntheticMixDataset
from onthefly.generators import FrozenGenerator, combined, load, save
from onthefly.generators.combined import CombinedGenerator
from onthefly.testing import CountingGenerator

CPU, META = torch.device("cpu"), torch.device("meta")  # meta can't compute, but can be asked, and delivered on
OTHER = torch.device("cpu:0")  # can compute, but isn't told from the CPU where tensors are


class Elsewhere(CountingGenerator):
    """Notes where it was asked and moved; on meta it makes black images, and leaves them on the CPU."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.moves: list[str] = []
        self.asked: set[str] = set()

    def to(self, device: Any) -> Any:
        self.moves.append(str(device))
        return super().to(device)

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        self.asked.add(labels.device.type)
        if labels.device.type == "meta":
            return torch.zeros(len(labels), *self.spec.fields["image"].shape)
        return super().sample(labels, keys)


def elsewhere(classes: int = 2) -> Elsewhere:
    return Elsewhere((1, 8, 8), classes)


def around(made: FrozenGenerator) -> list[FrozenGenerator]:
    mapped = made.map(lambda image, label: (image, label))
    return [made, made.reused(2), mapped, made.relabel({0: 1, 1: 0}), mapped.relabel({0: 1, 1: 0}).reused(3)]


def test_it_goes_where_the_loader_delivers() -> None:
    for one in around(elsewhere()):
        assert one.placed(OTHER) == OTHER == one.where
        assert one.device is None
        assert one.placed(CPU) == CPU == one.where


def test_it_stays_where_it_was_put() -> None:
    made = elsewhere().to("cpu")
    for one in around(made):
        assert one.placed(META) == CPU == one.device
    assert made.moves == ["cpu"]
    outer = elsewhere()
    assert outer.map(lambda image, label: image).to("meta").device == META == outer.device


def test_a_checkpoint_is_put_by_load(generators: dict[str, Any]) -> None:
    path = save(generators["vae"], Path("generator.safetensors"))
    assert load(path).device is None
    assert load(path, device="cpu").device == CPU
    assert load(path, device="cpu", reuse=4, batch_size=2).placed(META) == CPU


def _stacked(samples: list[Any]) -> Any:
    return torch.stack([image for image, _ in samples])


@pytest.mark.parametrize("collate_fn", [default_collate, _stacked])
def test_a_loader_asks_it_where_it_is_and_delivers_elsewhere(images: TensorDataset, collate_fn: Any) -> None:
    made = elsewhere(4).to("cpu")
    mixed = SyntheticMixDataset(images, MixPlan(images.tensors[1].numpy(), batch_size=8, balance="natural", ratio=1))
    plain = DataLoader(mixed, 8, sampler=mixed.sampler, collate_fn=HostCollate(collate_fn))
    batch = DeviceCollate(made, device="meta", collate_fn=collate_fn)(next(iter(plain)))
    assert {part.device for part in (batch if isinstance(batch, list) else [batch])} == {META}
    assert made.moves == ["cpu"]
    assert made.asked == {"cpu"}


def test_an_old_class_that_moves_by_itself_goes_where_the_loader_delivers() -> None:
    class Moves(Elsewhere):
        def to(self, device: Any) -> Any:
            self.moves.append(str(device))
            return self

    made = Moves((1, 8, 8), 2)
    assert made.placed(OTHER) == OTHER == made.where
    assert made.moves == ["cpu:0"]


def test_a_sample_is_replayed_where_its_generator_is(images: TensorDataset) -> None:
    made = elsewhere(4)
    mapped = made.map(lambda image, label: (image, 0))
    zeros = TensorDataset(images.tensors[0], torch.zeros_like(images.tensors[1]))
    loader = onthefly.wrap(DataLoader(zeros, 8, shuffle=True), mapped, labels=images.tensors[1], ratio=1, device="cpu")
    manifest = loader.manifest()
    mapped.to("meta")
    onthefly.replay(manifest, 0, 3, generator=mapped)
    assert made.asked == {"cpu", "meta"}


def test_wrap_leaves_it_where_it_is(images: TensorDataset) -> None:
    put, free = elsewhere(4).to("meta"), elsewhere(4)
    unlabelled = put.map(lambda image, label: (image, 0))
    zeros = TensorDataset(images.tensors[0], torch.zeros_like(images.tensors[1]))
    onthefly.wrap(DataLoader(zeros, 8, shuffle=True), unlabelled, labels=images.tensors[1], device="cpu")
    onthefly.wrap(DataLoader(images, 8, shuffle=True), free, device="cpu")
    assert put.moves == ["meta"]
    assert put.asked == {"meta"}
    assert set(free.moves) == {"cpu"}
    assert free.device is None


def test_several_generators_in_several_places() -> None:
    here, there = elsewhere(1), elsewhere(1).to("cpu:0")
    both = CombinedGenerator({0: here, 1: there}, 2)
    assert both.placed(CPU) == CPU
    assert both.device is None
    assert (here.moves, there.moves) == (["cpu"], ["cpu:0"])
    labels, keys = torch.tensor([1, 0, 1]), torch.tensor([5, 6, 7])
    expected = [
        one.sample(labels[:1] * 0, keys[place : place + 1])[0] for place, one in enumerate((there, here, there))
    ]
    assert torch.equal(both.sample(labels, keys), torch.stack(expected))
    both.to("cpu")
    assert both.device == CPU == both.placed(META)


def test_each_of_several_generators_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[Any] = []
    monkeypatch.setattr(combined, "to_device", lambda part, device: moves.append(device) or part)
    both = CombinedGenerator({0: elsewhere(1), 1: elsewhere(1).to("cpu:0")}, 2)
    both.items(torch.tensor([1, 0, 1]), torch.tensor([5, 6, 7]))
    assert moves == [CPU, CPU, CPU, CPU, OTHER, OTHER, OTHER, CPU]


def test_several_generators_in_one_place() -> None:
    both = CombinedGenerator({0: elsewhere(1).to("meta"), 1: elsewhere(1).to("meta")}, 2)
    assert both.device == META == both.placed(CPU)
