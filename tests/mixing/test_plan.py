"""Laws 2 to 4 and the arithmetic half of law 5, on the plan itself: any labels, balance, ratio and batch size."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onthefly import MixPlan
from onthefly.balance import EffectiveNumber, Power
from onthefly.mixing.slots import Slots
from onthefly.schedule import Cosine, Fill, Linear, Steps

EPOCHS = 4
RATIOS = [
    0,
    1,
    0.5,
    1 / 3,
    Fill(cap=0.5),
    Fill(cap=1.0),
    Linear(0, 1),
    Cosine(1, 0, until=0.7),
    Steps({0.0: 0.2, 0.5: 1.0}),
    Fill(cap=1.0) * Linear(0, 1),
    Linear(1, 0).then(0.5, at=0.4),
    {0: 0.7},
]
PARTS = ("index", "label", "key", "synthetic")


@st.composite
def labels(draw: st.DrawFn) -> np.ndarray:
    """One to nine classes, of one or two samples as readily as of thirty."""
    counts = draw(st.lists(st.integers(1, 30) | st.sampled_from([1, 2]), min_size=1, max_size=9))
    return np.repeat(np.arange(len(counts)), counts)


@st.composite
def plans(draw: st.DrawFn) -> MixPlan:
    rows = draw(labels())
    classes = int(rows.max()) + 1
    shares = np.array(draw(st.lists(st.integers(0, 20), min_size=classes, max_size=classes)))
    shares[0] += 1
    given_shares = {number: float(share) for number, share in enumerate(shares / shares.sum())}
    named = ["natural", "uniform", Power(draw(st.floats(0, 1))), EffectiveNumber(0.9), given_shares]
    size = draw(st.integers(1, len(rows) + 3))
    return MixPlan(
        rows,
        batch_size=size,
        balance=draw(st.sampled_from(named)),
        ratio=draw(st.sampled_from(RATIOS)),
        epochs=EPOCHS,
        seed=draw(st.integers(-5, 2**65)),
        drop_last=draw(st.booleans()) and size <= len(rows),
    )


def epochs_of(plan: MixPlan) -> list[Slots]:
    return [plan.epoch(epoch) for epoch in range(EPOCHS)]


def all_of(plan: MixPlan, part: str) -> np.ndarray:
    return np.concatenate([getattr(slots, part) for slots in epochs_of(plan)])


@settings(max_examples=300, deadline=None)
@given(plans())
def test_class_counts_are_within_one_of_the_share_in_every_epoch_and_batch(plan: MixPlan) -> None:
    classes = plan.classes.count
    total = np.zeros(classes)
    for slots in epochs_of(plan):
        counts = np.bincount(slots.label, minlength=classes)
        assert len(slots.label) == plan.length
        assert (abs(counts - plan.length * plan.shares) < 1).all()
        total += counts
        for begin in range(0, plan.length, plan.batch_size) if not plan.natural else ():
            batch = slots.label[begin : begin + plan.batch_size]
            assert (abs(np.bincount(batch, minlength=classes) - len(batch) * plan.shares) <= 1 + 1e-6).all()
    assert (abs(total - EPOCHS * plan.length * plan.shares) < 2).all()


@settings(max_examples=100, deadline=None)
@given(labels(), st.integers(1, 40))
def test_natural_counts_are_those_of_the_data(rows: np.ndarray, size: int) -> None:
    plan = MixPlan(rows, batch_size=size, balance="natural", ratio=0)
    assert np.bincount(plan.epoch(3).label).tolist() == np.bincount(rows).tolist()
    assert sorted(plan.epoch(3).index) == list(range(len(rows)))


@settings(max_examples=300, deadline=None)
@given(plans())
def test_synthetic_slots_follow_the_ratio_at_every_point_of_training(plan: MixPlan) -> None:
    label, synthetic = all_of(plan, "label"), all_of(plan, "synthetic")
    ratio = plan.schedule((np.arange(len(label)) + 0.5) / len(label), label, plan.census)
    for number in range(plan.classes.count):
        mine = label == number
        assert (abs(np.cumsum(synthetic[mine]) - np.cumsum(ratio[mine])) < 1 + 1e-6).all()


@settings(max_examples=200, deadline=None)
@given(plans())
def test_a_slot_is_either_a_real_row_of_its_class_or_a_key_of_its_own(plan: MixPlan) -> None:
    index, label, key, synthetic = (all_of(plan, part) for part in PARTS)
    assert ((index == -1) == synthetic).all()
    assert ((key == -1) != synthetic).all()
    assert (plan.labels[index[~synthetic]] == label[~synthetic]).all()
    assert len(np.unique(key[synthetic])) == synthetic.sum()


@settings(max_examples=200, deadline=None)
@given(plans())
def test_real_rows_of_a_class_are_used_equally_often_across_epochs(plan: MixPlan) -> None:
    index, synthetic = all_of(plan, "index"), all_of(plan, "synthetic")
    used = np.bincount(index[~synthetic], minlength=len(plan.labels))
    for number in range(plan.classes.count):
        assert np.ptp(used[plan.labels == number]) <= 1


def test_beside_its_epoch_a_plan_takes_sixteen_bytes_a_sample() -> None:
    labels = np.arange(1_000_000) % 1000
    tracemalloc.start()
    plan = MixPlan(labels, batch_size=256, balance="uniform", ratio=Fill(cap=0.5))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.length == 1_000_000
    assert taken / plan.length < 16.5


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(0, EPOCHS - 1))
def test_an_epoch_needs_no_other_before_it(plan: MixPlan, epoch: int) -> None:
    expected = epochs_of(plan)[epoch]
    for totals_known in (False, True):
        other = MixPlan(
            plan.labels,
            batch_size=plan.batch_size,
            balance=plan.balance,
            ratio=plan.schedule,
            epochs=EPOCHS,
            seed=plan.seed,
            drop_last=plan.drop_last,
        )
        if totals_known:
            other.resume(epoch, plan.totals(epoch))
        found = other.epoch(epoch)
        assert all((getattr(found, part) == getattr(expected, part)).all() for part in PARTS)


def test_no_drift_over_a_thousand_epochs() -> None:
    counts = (1000 / np.arange(1, 60) ** 1.5).astype(int) + 1
    plan = MixPlan(np.repeat(np.arange(59), counts), batch_size=64, balance="uniform", ratio=0.5)
    slots = plan.totals(1000).slots
    assert (abs(slots - 1000 * plan.length * plan.shares) < 3).all()
    assert (abs(plan.totals(1000).synthetic - slots / 2) < 1).all()


def test_every_one_of_many_skewed_classes_is_delivered() -> None:
    counts = np.maximum(1, 5000 // np.arange(1, 1001))
    plan = MixPlan(np.repeat(np.arange(1000), counts), batch_size=100, balance=Power(0.5), ratio=0)
    seen = np.unique(np.concatenate([plan.epoch(epoch).label for epoch in range(3)]))
    assert len(seen) == 1000


def test_a_hundred_thousand_classes() -> None:
    rows = np.repeat(np.arange(100_000), 2)
    plan = MixPlan(rows, batch_size=256, balance="uniform", ratio=0.5, seed=3)
    slots = plan.epoch(0)
    assert (np.bincount(slots.label) == 2).all()
    assert slots.synthetic.mean() == pytest.approx(0.5, abs=0.01)
    assert (plan.labels[slots.index[~slots.synthetic]] == slots.label[~slots.synthetic]).all()


def test_seeds_and_epochs_give_other_orders() -> None:
    rows = np.repeat(np.arange(4), 50)
    orders = [
        tuple(MixPlan(rows, batch_size=10, balance=balance, ratio=0, seed=seed).epoch(epoch).index)
        for balance in ("natural", "uniform")
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == len(orders)


def test_a_sample_made_from_a_source_always_has_the_same_one_of_its_class() -> None:
    rows = np.repeat(np.arange(3), 20)
    plan = MixPlan(rows, batch_size=10, balance="uniform", ratio=0.5, sources=True)
    other = MixPlan(rows, batch_size=7, balance="uniform", ratio=0.9, sources=True)
    source = {}
    for one in (plan, other):
        slots = one.epoch(0)
        assert (slots.index >= 0).all()
        assert (rows[slots.index] == slots.label).all()
        for label, key, index in zip(
            slots.label[slots.synthetic], slots.key[slots.synthetic], slots.index[slots.synthetic], strict=True
        ):
            assert source.setdefault((label, key), index) == index


def test_a_class_without_real_samples_is_all_synthetic() -> None:
    plan = MixPlan([0, 0, 2, 2], batch_size=3, balance="uniform", ratio={1: 1.0}, classes=("a", "b", "c"))
    slots = [plan.epoch(epoch) for epoch in range(3)]
    assert abs(sum((one.label == 1).sum() for one in slots) - 4) <= 1
    assert all(one.synthetic[one.label == 1].all() for one in slots)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"labels": []}, ("labels", "at least one sample", "empty")),
        ({"labels": [[0], [1]]}, ("labels", "one whole number for each sample", "(2, 1)")),
        ({"labels": [0.5, 1.0]}, ("labels", "float64")),
        ({"labels": [0, -1]}, ("labels", "-1 at row 1", "negative")),
        ({"labels": [0, 5], "classes": 3}, ("labels", "5 at row 1", "beyond the 3 classes")),
        ({"batch_size": 0}, ("batch_size", "1 or more", "0")),
        ({"batch_size": 2.5}, ("batch_size", "2.5")),
        ({"batch_size": 100, "drop_last": True}, ("4 samples", "100", "drop_last=False")),
        ({"ratio": 1.5}, ("ratio", "from 0 to 1", "1.5")),
        ({"ratio": float("nan")}, ("ratio", "nan")),
        ({"ratio": {"cat": 0.5}}, ("ratio", "'cat'", "number from 0 to 1")),
        ({"ratio": {7: 0.5}}, ("ratio", "unknown class 7")),
        ({"ratio": "half"}, ("ratio", "'half'")),
        ({"ratio": Linear(0, 1)}, ("ratio", "epochs=")),
        ({"epochs": 0}, ("epochs", "1 or more")),
        ({"balance": "even"}, ("balance", "'even'", "'uniform'")),
        ({"balance": {0: 0.5, 1: 0.6}}, ("balance", "sum to 1", "1.1")),
        ({"balance": {0: -0.5, 1: 1.5}}, ("balance", "0 or more", "-0.5")),
        ({"balance": {"dog": 1.0}}, ("balance", "'dog'")),
        ({"classes": 3}, ("no real sample of 2", "ratio={2: 1.0")),
        ({"classes": ("a", "b", "c"), "ratio": {"c": Linear(0, 1)}, "epochs": 3}, ("no real sample of c", "ratio")),
        ({"classes": 3, "ratio": 1, "sources": True}, ("from real ones", "none of 2")),
        ({"classes": ("a", "a")}, ("classes", "distinct", "a more than once")),
    ],
)
def test_bad_input(changed: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    arguments = {"labels": [0, 0, 1, 1], "batch_size": 2, "balance": "uniform", "ratio": 0.5, **changed}
    refused(lambda: MixPlan(arguments.pop("labels"), **arguments), *words)


def test_an_epoch_beyond_training_is_refused(refused: Any) -> None:
    plan = MixPlan([0, 1], batch_size=1, balance="uniform", ratio=0.5, epochs=2)
    refused(lambda: plan.epoch(2), "epoch from 0 to 1", "found 2", "epochs=")
    refused(lambda: plan.epoch(-1), "found -1")
