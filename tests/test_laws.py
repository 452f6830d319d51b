"""Every law, on `MixLoader`, with every family and the fake generator, on several mixes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import MixLoader, augment
from onthefly.generators import FrozenGenerator
from onthefly.schedule import Cosine, Fill, Linear, Steps
from onthefly.testing import CountingGenerator
from tests import laws
from tests.conftest import OF_IMAGES

EPOCHS = 3
LOADER = ("batch_size", "drop_last", "num_workers", "prefetch_factor", "persistent_workers", "multiprocessing_context")
MIXES: dict[str, dict[str, Any]] = {
    "default": {},
    "natural": {"balance": "natural", "ratio": 0.3},
    "all synthetic": {"balance": "uniform", "ratio": 1},
    "shares": {"balance": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, "ratio": {1: 0.5, 3: Linear(0, 1)}},
    "changing": {"balance": "uniform", "ratio": Fill(cap=0.9) * Cosine(1, 0.2, until=0.9)},
    "stairs": {"balance": onthefly.balance.Power(0.5), "ratio": Steps({0.3: 0.5, 0.6: 1.0})},
}
FEW = {name: MIXES[name] for name in ("default", "changing")}


CASES = [("fake", name) for name in MIXES] + [(family, name) for family in OF_IMAGES for name in FEW]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, generators: dict[str, FrozenGenerator]) -> tuple[FrozenGenerator, Any]:
    """A generator in a mix: the fake one, which is quick, in all; each family in a few."""
    family, name = request.param
    return generators[family], MIXES[name]


def maker(images: TensorDataset, generator: FrozenGenerator | None, **mix: Any) -> laws.Make:
    def make(**changed: Any) -> MixLoader[Any]:
        options = {"epochs": EPOCHS, "device": "cpu", "tag": True, **mix}
        of_loader = {name: changed.pop(name) for name in LOADER if name in changed}
        plain = DataLoader(images, **{"batch_size": 8, "shuffle": True, **of_loader})
        return onthefly.wrap(plain, generator, **{**options, **changed})

    return make


def test_1_drop_in(plain: DataLoader[Any], generator: FrozenGenerator) -> None:
    laws.law_1_drop_in(plain, generator)


def test_2_exact(images: TensorDataset, case: Any) -> None:
    generator, mix = case
    laws.law_2_exact(maker(images, generator, **mix), EPOCHS)


def test_3_fair(images: TensorDataset, case: Any) -> None:
    generator, mix = case
    laws.law_3_fair(maker(images, generator, **mix), EPOCHS)


@pytest.mark.parametrize("name", FEW)
def test_4_one_stream(images: TensorDataset, generator: FrozenGenerator, name: str) -> None:
    laws.law_4_one_stream(maker(images, generator, **FEW[name]), EPOCHS)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_4_one_stream_however_workers_start(images: TensorDataset, generators: dict[str, Any], start: str) -> None:
    make = maker(images, generators["vae"])
    found = laws.deliver(make(num_workers=2, multiprocessing_context=start))
    assert all(one.same(two) for one, two in zip(found, laws.deliver(make()), strict=True))


def test_5_resume(images: TensorDataset, case: Any) -> None:
    generator, mix = case
    laws.law_5_resume(maker(images, generator, **mix), EPOCHS)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"epochs": 9}, {"ratio": 0.25}, {"balance": "natural"}, {"batch_size": 4}, {"drop_last": True}],
)
def test_5_refuses_other_states(images: TensorDataset, generators: dict[str, Any], changed: dict[str, Any]) -> None:
    laws.refuses_other_states(maker(images, generators["fake"], ratio=0.5), **changed)


@pytest.mark.parametrize("augmented", [False, True])
def test_6_hermetic(images: TensorDataset, generator: FrozenGenerator, augmented: bool) -> None:
    pipeline = augment.image((1, 8, 8)) if augmented else None
    laws.law_6_hermetic(maker(images, generator, augment=pipeline), generator)


def test_7_a_sample_is_its_key(images: TensorDataset, case: Any) -> None:
    generator, mix = case
    laws.law_7_sample_is_its_key(maker(images, generator, **mix), generator)


@pytest.mark.parametrize("augmented", [False, True])
def test_8_usable(images: TensorDataset, case: Any, augmented: bool) -> None:
    generator, mix = case
    pipeline = augment.image((1, 8, 8)) if augmented else None
    laws.law_8_usable(maker(images, generator, augment=pipeline, **mix))


class Unwritable(CountingGenerator):
    """Makes one image for all, in inference mode."""

    @torch.inference_mode()
    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        return super().sample(labels[:1], keys[:1]).expand(len(labels), -1, -1, -1)


@pytest.mark.parametrize("ratio", [0.5, 1])
@pytest.mark.parametrize("collate", [None, lambda samples: default_collate(samples)])
def test_8_usable_whatever_the_generator_yields(images: TensorDataset, ratio: float, collate: Any) -> None:
    def make() -> MixLoader[Any]:
        plain = DataLoader(images, batch_size=8, shuffle=True, collate_fn=collate)
        return onthefly.wrap(plain, Unwritable((1, 8, 8), 4), ratio=ratio, tag=True, device="cpu")

    laws.law_8_usable(make)


def test_9_honest(images: TensorDataset, case: Any) -> None:
    generator, mix = case
    laws.law_9_honest(maker(images, generator, **mix), EPOCHS)


def test_a_state_survives_a_file(images: TensorDataset, generators: dict[str, Any]) -> None:
    make = maker(images, generators["fake"], **MIXES["changing"])
    loader = make()
    next(iter(loader))
    torch.save(loader.state_dict(), "state.pt")
    again = make()
    again.load_state_dict(torch.load("state.pt", weights_only=True))
    expected = laws.deliver(make())[1:]
    found = laws.deliver(again)
    assert len(found) == len(expected) == len(make()) - 1
    assert all(one.same(two) for one, two in zip(found, expected, strict=True))
