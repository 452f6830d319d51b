"""Samples made ahead: as many together as suits the generator, which changes what they cost and nothing else."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader
from onthefly.generators import FrozenGenerator
from onthefly.generators.supply import Supply
from onthefly.schedule import Linear
from onthefly.testing import CountingGenerator
from tests import laws

SHAPE = (1, 8, 8)
EPOCHS = 3
SIZES = pytest.mark.parametrize("together", [1, 5, 16, 1000])
MIXES: dict[str, dict[str, Any]] = {
    "uniform": {"balance": "uniform", "ratio": 0.8},
    "natural": {"balance": "natural", "ratio": 0.5},
    "changing": {"balance": "uniform", "ratio": Linear(1, 0.2), "epochs": EPOCHS},
}


@pytest.fixture(params=MIXES)
def mix(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MIXES[request.param]


class Requests(CountingGenerator):
    """Notes how many samples were asked for together, fails on some keys, and has room for so many."""

    def __init__(self, together: int | None, room: int = 1 << 30) -> None:
        super().__init__(SHAPE, 4)
        self.batch_size, self.room = together, room
        self.sizes: list[int] = []
        self.bad: set[int] = set()

    def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
        self.sizes.append(len(keys))
        if len(keys) > self.room:
            raise torch.OutOfMemoryError("no room")
        if self.bad & set(keys.tolist()):
            raise ArithmeticError("one of them is bad")
        return super().sample(labels, keys)


def wrapped(images: TensorDataset, made: FrozenGenerator, **options: Any) -> MixLoader[Any]:
    return onthefly.wrap(DataLoader(images, 8, shuffle=True), made, device="cpu", tag=True, **options)


def supply_of(loader: MixLoader[Any]) -> Supply:
    supply = loader.mix.collate._supply  # type: ignore[union-attr]
    assert isinstance(supply, Supply)
    return supply


def passes(loader: MixLoader[Any], epochs: int) -> Iterator[Any]:
    for _ in range(epochs):
        yield from loader


@SIZES
@pytest.mark.parametrize("reuse", [1, 3])
def test_what_is_delivered_does_not_depend_on_it(
    images: TensorDataset, generators: dict[str, Any], mix: dict[str, Any], together: int, reuse: int
) -> None:
    vae = generators["vae"].reused(reuse)
    expected = laws.deliver(wrapped(images, vae, **mix), EPOCHS)
    vae.batch_size = together
    found = laws.deliver(wrapped(images, vae, **mix), EPOCHS)
    assert all(one.same(two) for one, two in zip(found, expected, strict=True))


@SIZES
def test_each_sample_is_made_once_in_whole_forwards(images: TensorDataset, mix: dict[str, Any], together: int) -> None:
    gen = Requests(together)
    loader = wrapped(images, gen, **mix)
    for _ in range(EPOCHS):
        gen.sizes, gen.keys = [], []
        before = loader.stats().synthetic.sum()
        list(loader)
        delivered = loader.stats().synthetic.sum() - before
        assert len(gen.keys) == len(set(gen.keys)) == delivered
        assert gen.sizes[:-1] == [together] * (len(gen.sizes) - 1)
        assert gen.sizes[-1] <= together
    assert not supply_of(loader)._ahead
    assert (loader.stats().fresh == loader.stats().synthetic).all()


@SIZES
def test_after_a_state_was_loaded_the_rest_is_the_same(
    images: TensorDataset, mix: dict[str, Any], together: int
) -> None:
    def make(**changed: Any) -> MixLoader[Any]:
        return wrapped(images, Requests(together), **mix, **changed)

    laws.law_5_resume(make, 2)
    laws.law_9_honest(make, 2)


def test_several_processes_make_their_own_samples_ahead(images: TensorDataset) -> None:
    for rank in range(2):
        gen = Requests(10)
        loader = wrapped(images, gen, ratio=0.9, shard=(rank, 2))
        gen.sizes, gen.keys = [], []
        keys = [key for batch in loader for key in batch[2].key[batch[2].synthetic].tolist()]
        assert Counter(gen.keys) == Counter(keys)
        assert set(gen.sizes[:-1]) == {10}


def test_what_was_made_for_batches_that_are_skipped_is_forgotten(images: TensorDataset) -> None:
    gen = Requests(16)
    loader = wrapped(images, gen, ratio=1)
    for _ in range(20):
        next(iter(loader))
        assert len(supply_of(loader)._ahead) <= 16


def test_an_error_is_that_of_the_batch_whose_sample_it_is(images: TensorDataset) -> None:
    gen = Requests(1000)
    loader = wrapped(images, gen, ratio=1)
    steps, at = len(loader), 2
    slots = loader.planned("the test").epoch(0)
    gen.bad = {int(slots.key[8 * at + 3])}
    iterator = iter(loader)
    failed = []
    for step in range(steps):
        try:
            next(iterator)
        except ArithmeticError:
            failed.append(step)
    assert failed == [at]
    assert loader.stats().batches == steps - 1


def test_without_room_fewer_are_made_together(images: TensorDataset) -> None:
    gen = Requests(40, room=9)
    loader = wrapped(images, gen, ratio=1)
    gen.sizes = []
    with pytest.warns(UserWarning, match=r"no memory to make .* samples together; from now on \d+ are"):
        found = laws.deliver(loader)
    expected = laws.deliver(wrapped(images, Requests(8), ratio=1))
    assert all(one.same(two) for one, two in zip(found, expected, strict=True))
    assert max(gen.sizes[gen.sizes.index(min(gen.sizes)) :]) <= 9
    assert supply_of(loader).size <= 9


def test_one_sample_that_finds_no_room_is_an_error(images: TensorDataset) -> None:
    gen = Requests(4, room=8)  # enough for wrap, which compares a few
    loader = wrapped(images, gen, ratio=1)
    gen.room = 0
    with pytest.warns(UserWarning, match="no memory"), pytest.raises(torch.OutOfMemoryError):
        next(iter(loader))


def test_samples_that_are_made_from_others_come_with_their_batch(images: TensorDataset) -> None:
    class Mirrored(CountingGenerator):
        wants_source, batch_size = True, 16

        def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
            assert len(sources[0]) == len(keys)
            return super().sample(labels, keys)

    gen = Mirrored(SHAPE, 4)
    loader = wrapped(images, gen, ratio=0.9)
    gen.keys = []
    for done, batch in enumerate(loader):
        keys = batch[2].key[batch[2].synthetic].tolist()
        assert gen.keys[-len(keys) :] == keys, done


def test_delivered_samples_are_nobody_elses(images: TensorDataset) -> None:
    expected = laws.deliver(wrapped(images, Requests(1000), ratio=1))
    loader = wrapped(images, Requests(1000), ratio=1)
    for batch, other in zip(loader, expected, strict=True):
        assert laws.Delivered(*batch).same(other)
        batch[0].mul_(0)
        batch[2].key.fill_(0)
    assert np.array_equal(loader.planned("the test").epoch(0).key, np.concatenate([one.info.key for one in expected]))


@pytest.mark.parametrize("room", [0.2, 0.5, 0.9])
@SIZES
def test_no_more_is_made_than_without_it_where_not_all_is_remembered(
    images: TensorDataset, together: int, room: float
) -> None:
    """A sample that was seen in the memo may be gone when its batch comes."""

    def made(size: int) -> int:
        gen = Requests(size).reused(4, cache_bytes=int(room * 16 * (64 * 4 + 8)))
        loader = wrapped(images, gen, ratio=0.9)
        gen.samples = 0
        list(passes(loader, 10))
        return int(gen.samples)

    assert made(together) <= made(1) * 1.02


def test_a_pass_that_is_left_holds_no_more_than_two_forwards(images: TensorDataset) -> None:
    loader = wrapped(images, Requests(9), ratio=1)
    for _ in range(12):
        for step, _ in enumerate(loader):
            if step == 2:
                break
        held = {id(place[0]) for place in supply_of(loader)._ahead.values()}
        assert len(held) <= 2


class Draws(CountingGenerator):
    """Draws from torch's global generator, as many a homemade one does."""

    def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
        for key in keys.tolist():
            torch.manual_seed(key)
            torch.rand(3)
        return super().sample(labels, keys)


def test_augmentation_does_not_depend_on_what_generators_draw(images: TensorDataset) -> None:
    def make(together: int) -> MixLoader[Any]:
        gen = Draws(SHAPE, 4)
        gen.batch_size = together
        return wrapped(images, gen, ratio=0.5, augment=lambda batch: [batch[0] + torch.rand(()), *batch[1:]])

    expected = laws.deliver(make(1), 2)
    for together in (5, 1000):
        assert all(one.same(two) for one, two in zip(laws.deliver(make(together), 2), expected, strict=True))
    loader = make(16)
    next(iter(loader))
    again = make(16)
    again.load_state_dict(loader.state_dict())
    assert all(one.same(two) for one, two in zip(laws.deliver(again), expected[1:], strict=False))


def test_two_passes_over_different_epochs_plan_each_once(
    images: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = wrapped(images, Requests(1000), ratio=1)
    plan = loader.planned("the test")
    planned: list[int] = []
    make = type(plan)._slots
    monkeypatch.setattr(type(plan), "_slots", lambda self, epoch: planned.append(epoch) or make(self, epoch))
    one = iter(loader)
    next(one)
    loader.set_epoch(1)
    other = iter(loader)
    next(other)
    for _ in range(3):
        next(one)
        next(other)
    assert planned == [0, 1]
