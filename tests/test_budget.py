"""The budget: samples are used as often as it takes for their making to cost no more than a share of the training."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader, MixPlan, budget
from onthefly.generators import FrozenGenerator, pace
from onthefly.mixing.changes import Change
from onthefly.schedule import Linear
from onthefly.testing import CountingGenerator
from tests import laws

SHAPE = (1, 8, 8)
STEP = 0.1  # seconds that a training step takes
EPOCHS = 4


class Clock:
    """Time passes only when somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(budget, "perf_counter", one)
    monkeypatch.setattr(pace, "perf_counter", one)
    return one


class Slow(CountingGenerator):
    """Takes so many seconds for each sample, by the clock."""

    batch_size = 16

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__(SHAPE, 4)
        self.clock, self.seconds = clock, seconds

    def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
        self.clock.now += self.seconds * len(keys)
        return super().sample(labels, keys)


@pytest.fixture(scope="module")
def images() -> TensorDataset:
    """320 of four classes: 40 batches of 8."""
    return TensorDataset(torch.rand(320, *SHAPE), torch.arange(320) % 4)


def wrapped(images: TensorDataset, made: FrozenGenerator, **options: Any) -> MixLoader[Any]:
    options = {"ratio": 0.5, "epochs": EPOCHS, "tag": True, "device": "cpu"} | options
    return onthefly.wrap(DataLoader(images, 8, shuffle=True, drop_last=True), made, **options)


def train(loader: MixLoader[Any], clock: Clock, epochs: int = 1) -> list[laws.Delivered]:
    found = []
    for batch in (batch for _ in range(epochs) for batch in loader):
        found.append(laws.Delivered(*batch))
        clock.now += STEP
    return found


def log_of(loader: MixLoader[Any]) -> list[dict[str, Any]]:
    return [change.to_plain() for change in loader.log]


# A batch of 8 has 4 synthetic samples: fresh, they take 4 * seconds, and may take a tenth of the step, 0.01 seconds.
@pytest.mark.parametrize(("seconds", "needed"), [(0.0024, 1), (0.006, 3), (0.0499, 20)])
def test_the_smallest_reuse_that_keeps_to_it(images: TensorDataset, clock: Clock, seconds: float, needed: int) -> None:
    loader = wrapped(images, Slow(clock, seconds).reused(max_overhead=0.1))
    train(loader, clock, EPOCHS)
    assert log_of(loader) == ([{"epoch": 1, "reuse": needed}] if needed > 1 else [])


def test_it_is_kept_from_then_on(images: TensorDataset, clock: Clock) -> None:
    gen = Slow(clock, 0.006).reused(max_overhead=0.1)
    loader = wrapped(images, gen, epochs=30)
    train(loader, clock, 1)
    for _ in range(29):
        gen.samples, before = 0, clock.now
        train(loader, clock)
        made = gen.samples * 0.006
    assert made <= 0.1 * (clock.now - before - made) * 1.1  # a sample more or less
    assert loader.stats().reused.sum() > 0


def test_a_little_more_or_less_changes_nothing_and_much_less_does(images: TensorDataset, clock: Clock) -> None:
    gen = Slow(clock, 0.0499).reused(max_overhead=0.1)
    loader = wrapped(images, gen, epochs=10)
    train(loader, clock)
    for seconds, expected in [(0.04, 20), (0.026, 20), (0.0249, 10), (0.0001, 1)]:
        gen.seconds = seconds
        train(loader, clock)
        assert loader.log[-1].reuse == expected


def test_never_below_what_was_asked_for(images: TensorDataset, clock: Clock) -> None:
    loader = wrapped(images, Slow(clock, 0.0001).reused(5, max_overhead=0.1))
    train(loader, clock, 2)
    assert loader.log == ()


@pytest.mark.parametrize("ratio", [0.5, Linear(0.9, 0.3)])
def test_samples_after_a_change_are_new_ones_used_so_often(images: TensorDataset, clock: Clock, ratio: Any) -> None:
    epochs = 40
    loader = wrapped(images, Slow(clock, 0.006).reused(max_overhead=0.1), ratio=ratio, epochs=epochs)
    train(loader, clock)
    assert loader.log
    times = loader.log[0].reuse
    plan = loader.planned("the test")
    before = set(plan.epoch(0).key.tolist()) - {-1}
    later = Counter[int]()
    for epoch in range(1, epochs):
        slots = plan.epoch(epoch)
        for start in range(0, len(slots.key), 8):
            keys = [key for key in slots.key[start : start + 8].tolist() if key >= 0]
            assert len(keys) == len(set(keys))
        later.update(key for key in slots.key.tolist() if key >= 0)
    assert not before & set(later)
    uses = Counter(later.values())
    assert max(uses) == times
    assert uses[times] > 0.7 * len(later)


def test_explain_counts_the_samples_that_are_made(images: TensorDataset, clock: Clock) -> None:
    gen = Slow(clock, 0.006).reused(max_overhead=0.1)
    loader = wrapped(images, gen, epochs=6)
    train(loader, clock)
    fresh = loader.stats().fresh.copy()
    train(loader, clock, 5)
    assert len(loader.log) == 1
    found = loader.explain()
    assert found.fresh[0].tolist() == fresh.tolist()
    assert found.fresh.sum(axis=0).tolist() == loader.stats().fresh.tolist()


def test_a_state_knows_of_it_as_soon_as_the_epoch_is_over(images: TensorDataset, clock: Clock) -> None:
    def make() -> MixLoader[Any]:
        return wrapped(images, Slow(clock, 0.006).reused(max_overhead=0.1))

    loader, states = make(), []
    batches = []
    for batch in (batch for _ in range(EPOCHS) for batch in loader):
        batches.append(laws.Delivered(*batch))
        states.append(loader.state_dict())
        clock.now += STEP
    for step, state in enumerate(states, 1):
        again = make()
        again.load_state_dict(state)
        is_over = step % len(again) == 0
        # An epoch of which only a part was seen may find another reuse for the next one.
        rest = train(again, clock, EPOCHS - state["epoch"] - 1 if is_over else 1)
        expected = batches[step:] if is_over else batches[step : -(-step // len(again)) * len(again)]
        assert all(one.same(two) for one, two in zip(rest, expected, strict=True))


def test_a_stream_keeps_to_it_too(images: TensorDataset, clock: Clock) -> None:
    gen = Slow(clock, 0.006).reused(max_overhead=0.1)
    source = DataLoader(images, batch_sampler=[list(range(start, start + 8)) for start in range(0, 320, 8)])
    loader = onthefly.wrap(source, gen, ratio=0.5, tag=True, device="cpu", length=40)
    train(loader, clock)
    assert log_of(loader) == [{"epoch": 1, "reuse": 3}]
    gen.samples = 0
    before = loader.stats().synthetic.sum()
    train(loader, clock, 5)
    delivered = loader.stats().synthetic.sum() - before
    assert gen.samples < 0.45 * delivered


def test_samples_made_from_others_in_a_stream_cannot_be_used_again(images: TensorDataset) -> None:
    gen = CountingGenerator(SHAPE, 4).reused(max_overhead=0.1)
    gen.wants_source = True
    source = DataLoader(images, batch_sampler=[list(range(8))])
    with pytest.raises(
        ValueError, match="max_overhead: expected None where the samples of a stream are made from real"
    ):
        onthefly.wrap(source, gen, ratio=0.5, device="cpu")


@pytest.mark.parametrize("share", [0, -1.0, float("inf"), float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="max_overhead: expected more than 0"):
        CountingGenerator(SHAPE, 4).reused(max_overhead=share)


def test_generators_around_others_and_several_in_one_have_the_budget_of_those() -> None:
    gen = CountingGenerator(SHAPE, ("a", "b"))
    for around in (gen.map(lambda x, y: (x, y)), gen.relabel({"a": "b", "b": "a"})):
        assert around.reused(max_overhead=0.2).max_overhead == 0.2
    mapped = gen.reused(max_overhead=0.2).map(lambda x, y: (x, y))
    assert mapped.max_overhead == 0.2


def test_a_plan_of_its_own_log_is_a_function_of_the_epoch() -> None:
    def made(*changes: Change) -> MixPlan:
        plan = MixPlan(np.arange(60) % 3, batch_size=6, balance="uniform", ratio=0.5)
        plan.change(*changes)
        return plan

    one, other = (made(Change(1, reuse=2), Change(3, reuse=4)) for _ in range(2))
    for epoch in (3, 0, 2, 1):
        assert one.epoch(epoch).key.tolist() == other.epoch(epoch).key.tolist()
    untouched = made(Change(9, reuse=2))
    assert one.epoch(0).key.tolist() == untouched.epoch(0).key.tolist()
    assert one.reuse_at(2).times.tolist() == [2, 2, 2]
    assert one.reuse_at(3).times.tolist() == [4, 4, 4]


def test_where_nobody_asks_how_long_it_takes_nothing_is_noted(images: TensorDataset) -> None:
    loader = wrapped(images, CountingGenerator(SHAPE, 4))
    list(loader)
    assert loader.mix is not None
    assert loader.mix.collate.pace is not None
    assert loader.mix.collate.pace.forwards == 0


def test_after_a_state_of_the_midst_of_an_epoch_as_much_is_remembered(images: TensorDataset, clock: Clock) -> None:
    def make() -> MixLoader[Any]:
        return wrapped(images, Slow(clock, 0.006).reused(max_overhead=0.1), epochs=5)

    loader = make()
    train(loader, clock)
    assert loader.log
    next(iter(loader))
    again = make()
    again.load_state_dict(loader.state_dict())
    fresh = again.stats().fresh.sum()
    rest = train(again, clock)
    made = again.stats().fresh.sum() - fresh
    assert made < 0.8 * sum(int(batch.info.synthetic.sum()) for batch in rest)


def test_a_change_may_hold_from_the_first_epoch_on(images: TensorDataset, clock: Clock) -> None:
    loader = wrapped(images, Slow(clock, 0.006).reused(max_overhead=0.1))
    for _, batch in zip(range(5), loader, strict=False):
        assert len(batch[0]) == 8
        clock.now += STEP
    loader.set_epoch(0)
    train(loader, clock)
    assert log_of(loader)[0]["epoch"] == 0
    assert loader.planned("the test").reuse_at(0).times.max() > 1
    assert loader.stats().reused.sum() > 0


def test_more_uses_than_a_class_has_slots_are_not_asked_for(images: TensorDataset, clock: Clock) -> None:
    loader = wrapped(images, Slow(clock, 1.0).reused(max_overhead=0.1), epochs=4)
    with pytest.warns(UserWarning, match="max_overhead: to keep within 0.1 of the rest, each sample would have to be"):
        train(loader, clock, 4)
    assert log_of(loader)[0] == {"epoch": 1, "reuse": 40}
    assert loader.stats().reused.sum() > 0


def test_an_explanation_knows_what_will_be_remembered(images: TensorDataset, clock: Clock) -> None:
    loader = wrapped(images, Slow(clock, 0.006).reused(max_overhead=0.1))
    train(loader, clock)
    assert loader.explain().costs is not None
    assert loader.explain().costs.remembered_bytes == int(loader.planned("the test").reuse_at(1).window.sum()) * (
        64 * 4 + 8
    )
