"""What is explained is what will be delivered: for any plan, without making its slots."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixPlan
from onthefly.balance import Power
from onthefly.mixing.changes import Change
from onthefly.mixing.explain import explained, with_costs
from onthefly.mixing.ranks import Shard
from onthefly.mixing.slots import Slots
from onthefly.mixing.stream import StreamPlan
from onthefly.schedule import Cosine, Feedback, Fill, Linear, Schedule, Steps
from onthefly.testing import CountingGenerator

EPOCHS = 4
RATIOS = [0, 1, 1 / 3, Fill(0.5), Linear(0, 1), Cosine(1, 0, until=0.7), Steps({0.5: 0.9}), {0: 0.7}]


@st.composite
def plans(draw: st.DrawFn) -> MixPlan:
    """Any plan: samples used again, a log of scores, a training that was made longer."""
    counts = draw(st.lists(st.integers(1, 30) | st.sampled_from([1, 2]), min_size=1, max_size=9))
    size = draw(st.integers(1, sum(counts) + 3))
    ratio = draw(st.sampled_from(RATIOS))
    follows = draw(st.booleans())
    plan = MixPlan(
        np.repeat(np.arange(len(counts)), counts),
        batch_size=size,
        balance=draw(st.sampled_from(["natural", "uniform", Power(0.5), {0: 1.0}])),
        ratio=Feedback(ratio, cut=0.3, least=0.0) if follows else ratio,
        epochs=draw(st.sampled_from([EPOCHS, 1])),
        seed=draw(st.integers(0, 2**40)),
        drop_last=draw(st.booleans()) and size <= sum(counts),
        reuse=draw(st.lists(st.integers(1, 4), min_size=len(counts), max_size=len(counts))),
    )
    for epoch in draw(st.lists(st.integers(0, EPOCHS), max_size=3)) if follows else ():
        plan.feedback(epoch, draw(st.lists(st.floats(0, 1), min_size=len(counts), max_size=len(counts))))
    if draw(st.booleans()) and plan.epochs == EPOCHS:
        plan.change(Change(0, epochs=2), Change(2, epochs=EPOCHS))
    return plan


def counted(slots: Slots, which: np.ndarray, classes: int) -> list[int]:
    return np.bincount(slots.label[which], minlength=classes).tolist()


@settings(max_examples=300, deadline=None)
@given(plans())
def test_counts_are_those_of_the_epochs(plan: MixPlan) -> None:
    found = plan.explain()
    assert found.epochs == plan.epochs
    seen: set[int] = set()
    for epoch in range(found.epochs):
        slots = plan.epoch(epoch)
        new = np.array([key not in seen for key in slots.key.tolist()]) & slots.synthetic
        assert found.real[epoch].tolist() == counted(slots, ~slots.synthetic, plan.classes.count)
        assert found.synthetic[epoch].tolist() == counted(slots, slots.synthetic, plan.classes.count)
        first = np.unique(slots.key, return_index=True)[1]
        assert found.fresh[epoch].tolist() == counted(slots[first], new[first], plan.classes.count)
        seen |= set(slots.key[slots.synthetic].tolist())
    assert (found.total_synthetic == plan.totals(found.epochs).synthetic).all()
    assert (found.total_fresh == plan.reuse.distinct(found.total_synthetic)).all()
    assert (found.total_real + found.total_synthetic == plan.totals(found.epochs).slots).all()
    slots_of = found.real + found.synthetic
    assert (np.isnan(found.ratio) == (slots_of == 0)).all()
    assert np.allclose(np.nan_to_num(found.ratio) * slots_of, found.synthetic)


def test_explaining_leaves_the_plan_as_it_was() -> None:
    plan = MixPlan([0, 0, 0, 1], batch_size=2, balance="uniform", ratio=Linear(0, 1), epochs=9)
    plan.totals(5)
    known = dict(plan._totals)
    plan.explain()
    assert plan._totals == known


def test_a_constant_ratio_is_counted_at_once() -> None:
    plan = MixPlan(np.repeat(np.arange(1000), 1000), batch_size=256, balance="uniform", ratio=0.5, epochs=100)
    plan._order = None  # type: ignore[assignment,method-assign] - no epoch's slots are made
    found = plan.explain()
    assert found.total_ratio == pytest.approx(0.5, abs=1e-4)
    assert found.real.shape == (100, 1000)


def test_without_epochs_one_is_explained() -> None:
    found = MixPlan([0, 0, 1], batch_size=1, balance="natural", ratio=0.5).explain()
    assert found.epochs == 1
    assert "1 epoch (epochs= is not given) of 3 slots in 3 batches of 1" in str(found)


def named(counts: list[int], ratio: Any, **options: Any) -> MixPlan:
    names = [f"class {number}" for number in range(len(counts))]
    rows = np.repeat(np.arange(len(counts)), counts)
    return MixPlan(rows, classes=names, ratio=ratio, **{"batch_size": 4, "balance": "uniform", "epochs": 3, **options})


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (named([9, 1], {1: 0.9}), ("more synthetic than real: class 1 (up to 87%)",)),
        (named([9, 9], 0.01), ("no synthetic sample of class 0, class 1 in 3 epochs", "0.01", "less than one")),
        (
            named([9, 9], {0: 0.5}, balance={1: 1.0}),
            ("never delivered in 3 epochs: class 0", "no slot", "ratio that is asked for them"),
        ),
        (named([9, 0], 0.5, balance="natural"), ("never delivered in 3 epochs: class 1",)),
        (named([9, 9], Fill(0.5)), ("no synthetic sample at all", "real samples are enough", "ratio=0.3")),
    ],
)
def test_what_looks_unintended_is_told(plan: MixPlan, words: tuple[str, ...]) -> None:
    (line,) = plan.explain().warnings
    assert all(word in line for word in words), line
    assert f"warning: {line}" in str(plan.explain())


@pytest.mark.parametrize("ratio", [0, 0.5, {0: 0.5}, Linear(0, 0.9), Fill(0.5) * Linear(0, 1)])
def test_nothing_is_told_of_a_mix_as_it_should_be(ratio: Any) -> None:
    for seed in range(20):
        assert named([31, 17], ratio, seed=seed).explain().warnings == ()


class _Dips(Schedule):
    """Asks for less than all of it at one moment only."""

    changes = True

    def __call__(self, progress: Any, label: Any, census: Any) -> Any:
        return np.where(abs(progress - 0.503) < 0.002, 0.5, 1.0)


def test_a_plan_that_an_epoch_would_refuse_is_refused(refused: Any) -> None:
    plan = named([300, 0], {1: _Dips()}, batch_size=10)
    refused(plan.explain, "no real sample of class 1", "1.0")
    refused(lambda: plan.epoch(1), "no real sample of class 1", "1.0")


def test_a_table_of_few_classes_and_many_epochs() -> None:
    lines = str(named([300, 20], Cosine(0.8, 0) * Fill(1.0), epochs=100).explain()).splitlines()
    assert [word in lines[1] for word in ("epoch 0", "epoch 50", "epoch 99", "all 100 epochs")] == [True] * 4
    assert [line.split()[0:2] for line in lines[3:5]] == [["class", "1"], ["class", "0"]]
    assert lines[5].split()[0] == "all"
    assert len({len(line) for line in lines[2:6]}) == 1


def test_a_table_of_many_classes() -> None:
    counts = np.maximum(2, 3000 // np.arange(1, 1001))
    names = ["all", "a name that is longer than anybody would want to read", *map(str, range(998))]
    plan = MixPlan(
        np.repeat(np.arange(1000), counts), batch_size=64, balance=Power(0.5), ratio=Fill(0.5), epochs=3, classes=names
    )
    found, lines = plan.explain(), str(plan.explain()).splitlines()
    assert "989 others" in lines[-2]
    shares = [float(line.split()[-1]) for line in lines[3:14]]
    assert shares == sorted(shares, reverse=True)
    assert lines[-1].split()[1] == str(counts.sum())
    assert lines[-1].split()[-3:-1] == [str(found.real.sum()), str(found.synthetic.sum())]
    assert max(map(len, lines)) <= 120


def test_samples_that_are_used_again_have_a_column() -> None:
    found = named([30, 10], 0.5, reuse=3).explain()
    assert found.costs is None
    assert "fresh" in str(found)
    assert "fresh" not in str(named([30, 10], 0.5).explain())
    assert (found.total_fresh < found.total_synthetic).all()


@pytest.mark.parametrize(("classes", "epochs"), [(1, 1), (2, 100), (10, 1), (10, 30), (41, 3), (1000, 3)])
def test_a_picture(classes: int, epochs: int) -> None:
    counts = np.maximum(1, 500 // np.arange(1, classes + 1))
    plan = MixPlan(
        np.repeat(np.arange(classes), counts), batch_size=16, balance="uniform", ratio=Fill(0.5), epochs=epochs
    )
    path = plan.explain().plot("deep/explained.png")
    assert path == Path("deep/explained.png")
    with Image.open(path) as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_a_picture_is_png(refused: Any) -> None:
    refused(lambda: named([3, 3], 0.5).explain().plot("mix.pdf"), "ends in .png", "mix.pdf", "mix.png")


# --- of a loader ---


def loader_of(generator: Any = None, *, counts: tuple[int, ...] = (40, 8), **options: Any) -> Any:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    plain = DataLoader(TensorDataset(torch.rand(len(labels), 1, 8, 8), labels), 6, shuffle=True)
    made = CountingGenerator((1, 8, 8), len(counts)) if generator is None else generator
    return onthefly.wrap(plain, made, device="cpu", **{"epochs": 3, **options})


def test_a_loader_delivers_what_it_explains_and_costs_no_more() -> None:
    generator = CountingGenerator((1, 8, 8), 2).reused(3)
    loader = loader_of(generator, ratio=Linear(0, 1))
    calls = generator.calls
    found = loader.explain()
    assert generator.calls == calls
    most = 0
    for epoch in range(3):
        samples = generator.samples
        for _ in loader:
            most = max(most, loader.mix.collate._supply.memo.bytes)
        assert generator.samples - samples == found.costs.made[epoch]
    stats = loader.stats()
    assert stats.real.tolist() == found.total_real.tolist()
    assert stats.synthetic.tolist() == found.total_synthetic.tolist()
    assert stats.fresh.tolist() == found.total_fresh.tolist()
    assert found.costs.sample_bytes == 4 * 64 + 8
    assert 0 < most <= found.costs.remembered_bytes
    assert found.costs.plan_bytes == 48 * (8 + 8 + 26)
    assert "a sample takes 264 B" in str(found)


def test_what_finds_no_room_is_told() -> None:
    roomy, tight = CountingGenerator((1, 8, 8), 2).reused(3), CountingGenerator((1, 8, 8), 2).reused(3, cache_bytes=999)
    assert not any("reuse" in line for line in loader_of(roomy, ratio=0.5).explain().warnings)
    (line,) = (line for line in loader_of(tight, ratio=0.5).explain().warnings if "reuse" in line)
    assert "more than cache_bytes of 999 B" in line
    assert "made again" in line


def test_a_class_that_the_generator_cannot_make_is_told_if_a_ratio_was_asked_for_it() -> None:
    generator = CountingGenerator((1, 8, 8), 1).relabel({1: 0}, classes=2)
    with pytest.warns(UserWarning, match="can't make 0"):
        loader = loader_of(generator, ratio=0.5)
    (line,) = loader.explain().warnings
    assert "can't make 0" in line
    assert "0.5" in line
    with pytest.warns(UserWarning, match="can't make 0"):
        assert loader_of(generator, ratio={1: 0.5}).explain().warnings == ()


def test_a_balance_without_a_generator_is_explained() -> None:
    plain = DataLoader(TensorDataset(torch.rand(9, 3), torch.tensor([0] * 6 + [1] * 3)), 3, shuffle=True)
    found = onthefly.wrap(plain, balance="uniform", device="cpu").explain()
    assert found.total_synthetic.tolist() == [0, 0]
    assert found.warnings == ()
    assert "generator" not in str(found)


def test_processes_share_what_is_remembered() -> None:
    plan = MixPlan([0] * 30 + [1] * 10, batch_size=10, balance="uniform", ratio=0.5, epochs=2, reuse=4)
    one, two = (
        with_costs(explained(plan), plan, Shard(0, world), sample_bytes=100, cache_bytes=10**6).costs
        for world in (1, 2)
    )
    assert one is not None
    assert two is not None
    assert one.remembered_bytes == 2 * two.remembered_bytes
    assert one.made.tolist() == (2 * two.made).tolist() == [12, 4]


def test_a_loader_that_mixes_nothing_has_nothing_to_explain(refused: Callable[..., Any]) -> None:
    plain = DataLoader(TensorDataset(torch.rand(9, 3), torch.zeros(9, dtype=torch.int64)), 3)
    refused(onthefly.wrap(plain, device="cpu").explain, "explain", "as they come", error=RuntimeError)


# --- of a stream ---


def batches_of(counts: list[int], size: int) -> list[np.ndarray]:
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return np.split(rows, range(size, len(rows), size))


@pytest.mark.parametrize(
    "options",
    [
        {"balance": "natural", "ratio": 0.3},
        {"balance": "natural", "ratio": Linear(0, 1)},
        {"balance": "uniform", "ratio": Fill(0.5)},
        {"balance": "uniform", "ratio": {1: Linear(1, 0)}},
        {"balance": "uniform", "ratio": 0.4, "top_up": True},
    ],
)
def test_a_stream_delivers_about_what_is_expected(options: dict[str, Any]) -> None:
    counts = [600, 250, 150]
    batches = batches_of(counts, 100)
    plan = StreamPlan(3, counts=counts, length=len(batches), epochs=4, **options)
    found = plan.explain()
    for epoch in range(4):
        slots = [plan.batch(labels, epoch, step)[0] for step, labels in enumerate(batches)]
        for expected, which in ((found.real, 0), (found.synthetic, 1)):
            delivered = sum(np.bincount(one.label[one.synthetic == which], minlength=3) for one in slots)
            assert abs(expected[epoch] - delivered).max() <= 25, (expected[epoch], delivered)


def test_a_natural_stream_of_a_constant_ratio_is_expected_to_the_sample() -> None:
    found = StreamPlan(2, counts=[80, 20], balance="natural", ratio=0.25, epochs=2).explain()
    assert found.synthetic.tolist() == [[20, 5], [20, 5]]
    assert "expected: 2 epochs of a stream of 100 real samples" in str(found)


def test_a_stream_that_nobody_counted_is_refused(refused: Callable[..., Any]) -> None:
    source = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 0, 1]))] * 3
    generator = CountingGenerator((1, 8, 8), 2)
    loader = onthefly.wrap(source, generator, ratio=0.5, device="cpu")
    refused(loader.explain, "counts=None", "counts={class: real samples of a pass}")
    known = onthefly.wrap(source, generator, ratio=0.5, counts=[9, 3], device="cpu").explain()
    assert known.total_synthetic.sum() == 6
    assert generator.calls == 0
