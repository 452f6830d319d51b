"""The plan of a stream: any sizes and classes of batches, any balance and ratio."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onthefly.balance import Power
from onthefly.mixing.slots import Slots
from onthefly.mixing.stream import StreamPlan
from onthefly.schedule import Cosine, Feedback, Fill, Linear, Steps

STEPS = 6  # batches in a pass
EPOCHS = 3
RATIOS = [0, 1, 0.5, 1 / 3, Fill(cap=0.7), Linear(0, 1), Cosine(1, 0, until=0.7), Steps({0.0: 0.2, 0.5: 1.0}), {0: 0.7}]
PARTS = ("index", "label", "key", "synthetic", "last")


class Run:
    """A plan, the batches that came, and what became of them."""

    def __init__(self, options: dict[str, Any], came: list[np.ndarray]) -> None:
        self.options, self.came = options, came
        self.plan = self.fresh()
        self.made = [deliver(self.plan, came, number) for number in range(len(came))]

    def fresh(self) -> StreamPlan:
        return StreamPlan(**self.options)

    def counts(self, part: str) -> np.ndarray:
        """``int[B, C]``: how many rows of each class came, or became real or synthetic slots, in every batch."""
        chosen = {
            "came": self.came,
            "slots": [slots.label for slots, _ in self.made],
            "real": [slots.label[~slots.synthetic] for slots, _ in self.made],
            "synthetic": [slots.label[slots.synthetic] for slots, _ in self.made],
        }[part]
        return np.array([np.bincount(one, minlength=self.plan.classes.count) for one in chosen])

    def ratios(self) -> np.ndarray:
        """``float[B, C]``."""
        places = (divmod(number, STEPS) for number in range(len(self.came)))
        return np.array([self.plan.ratio(self.plan.progress(*place)) for place in places])


def deliver(plan: StreamPlan, came: list[np.ndarray], number: int, rank: int = 0) -> tuple[Slots, np.ndarray]:
    return plan.batch(came[number], *divmod(number, STEPS), rank)


def same(one: tuple[Slots, np.ndarray], two: tuple[Slots, np.ndarray]) -> bool:
    parts = [getattr(one[0], part).tolist() == getattr(two[0], part).tolist() for part in PARTS]
    return all(parts) and one[1].tolist() == two[1].tolist()


@st.composite
def runs(draw: st.DrawFn, balances: Any = None, top_up: bool = False, ratios: Any = tuple(RATIOS)) -> Run:
    """Batches of one row or of twenty, of one class or of all; some classes never come."""
    classes = draw(st.integers(1, 5))
    shares = np.array(draw(st.lists(st.integers(0, 9), min_size=classes, max_size=classes))) + np.eye(classes)[0]
    given_shares = {number: float(share) for number, share in enumerate(shares / shares.sum())}
    batch = st.lists(st.integers(0, classes - 1), min_size=1, max_size=20)
    came = draw(st.lists(batch, min_size=1, max_size=EPOCHS * STEPS))
    return Run(
        {
            "classes": classes,
            "counts": draw(st.lists(st.integers(1, 99), min_size=classes, max_size=classes)),
            "length": STEPS,
            "balance": draw(st.sampled_from(balances or ["natural", "uniform", Power(0.5), given_shares])),
            "ratio": draw(st.sampled_from(ratios)),
            "epochs": EPOCHS,
            "seed": draw(st.integers(-5, 2**65)),
            "top_up": top_up,
        },
        [np.array(one) for one in came],
    )


@settings(max_examples=150, deadline=None)
@given(runs())
def test_replacing_keeps_the_batch_s_size_and_the_places_of_the_rows_that_stay(run: Run) -> None:
    for labels, (slots, kept) in zip(run.came, run.made, strict=True):
        assert all(len(getattr(slots, part)) == len(labels) for part in PARTS)
        assert np.flatnonzero(~slots.synthetic).tolist() == kept.tolist()
        assert (slots.label[kept] == labels[kept]).all()
        assert (slots.index == -1).all()
        assert ((slots.key >= 0) == slots.synthetic).all()
        assert slots.last.all()


@settings(max_examples=150, deadline=None)
@given(runs(balances=["natural"]))
def test_naturally_each_batch_has_the_classes_that_came_and_the_ratio_is_exact(run: Run) -> None:
    assert (run.counts("slots") == run.counts("came")).all()
    earned = np.cumsum(run.counts("came") * run.ratios(), axis=0)
    assert (abs(np.cumsum(run.counts("synthetic"), axis=0) - earned) < 1 + 1e-6).all()


@settings(max_examples=150, deadline=None)
@given(runs())
def test_a_balance_gives_each_class_its_share_of_every_batch_and_the_ratio_of_that_is_exact(run: Run) -> None:
    all_made = Run({**run.options, "ratio": 1}, run.came)  # with no real row in the way, each batch is what is wanted
    came, wanted, real, synthetic = (
        *(run.counts("came"), all_made.counts("synthetic")),
        *(run.counts("real"), run.counts("synthetic")),
    )
    assert (wanted.sum(axis=1) == came.sum(axis=1)).all()
    if not run.plan.natural:
        assert (abs(wanted - came.sum(axis=1, keepdims=True) * run.plan.shares) <= 1 + 1e-6).all()
    assert (abs(np.cumsum(synthetic, axis=0) - np.cumsum(wanted * run.ratios(), axis=0)) < 1 + 1e-6).all()
    assert (real >= np.minimum(came, wanted - synthetic)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.sampled_from([0.25, 1 / 3, 1]), st.integers(0, 99))
def test_the_shares_of_batches_of_one_size_do_not_drift(size: int, ratio: float, seed: int) -> None:
    plan = StreamPlan(3, balance={0: 0.5, 1: 0.3, 2: 0.2}, ratio=ratio, seed=seed)
    made = np.zeros(3)
    for step in range(60):
        slots, _ = plan.batch(np.zeros(size, np.int64), 0, step)
        made += np.bincount(slots.label[slots.synthetic], minlength=3)
        assert (abs(made - ratio * (step + 1) * size * plan.shares) < 3).all()


@settings(max_examples=150, deadline=None)
@given(runs(top_up=True, ratios=(0, 0.5, 1 / 3, 0.9, Linear(0, 0.9), Fill(cap=0.7), {0: 0.7})))
def test_topping_up_keeps_every_row_and_adds_the_ratio_s_share(run: Run) -> None:
    for labels, (slots, kept) in zip(run.came, run.made, strict=True):
        assert kept.tolist() == list(range(len(labels)))
        assert slots.label[: len(labels)].tolist() == labels.tolist()
        assert slots.synthetic.tolist() == [False] * len(labels) + [True] * (len(slots.label) - len(labels))
    ratio = run.ratios()
    earned = np.cumsum(run.counts("came") * ratio / (1 - ratio), axis=0)
    assert (abs(np.cumsum(run.counts("synthetic"), axis=0) - earned) < 1 + 1e-6).all()


def test_topping_up_to_nothing_but_synthetic_samples_is_refused(refused: Any) -> None:
    words = "ratio: expected less than 1", "found 1", "top_up"
    refused(lambda: StreamPlan(2, balance="natural", ratio=1, top_up=True), *words)


@settings(max_examples=100, deadline=None)
@given(runs())
def test_keys_never_come_again(run: Run) -> None:
    keys = np.concatenate([slots.key[slots.synthetic] for slots, _ in run.made])
    assert len(np.unique(keys)) == len(keys)


@settings(max_examples=200, deadline=None)
@given(runs(), st.integers(2, 5), st.booleans())
def test_reused_samples_never_meet_in_a_batch_and_come_so_many_times_at_most(run: Run, times: int, top: bool) -> None:
    ratio = 0.5 if top else run.options["ratio"]
    again = Run({**run.options, "reuse": times, "top_up": top, "ratio": ratio}, run.came)
    used: Counter[int] = Counter()
    for slots, _ in again.made:
        keys = slots.key[slots.synthetic].tolist()
        assert len(set(keys)) == len(keys)
        used.update(keys)
        assert all(used[key] <= times for key in keys)
        ended = slots.key[slots.synthetic & slots.last].tolist()
        assert not set(ended) & {key for key, last in zip(slots.key, slots.last, strict=True) if not last}


@pytest.mark.parametrize("times", [2, 3, 8])
def test_reused_samples_come_so_many_times(times: int) -> None:
    plan = StreamPlan(3, balance="natural", ratio={0: 0.5, 2: 1.0}, reuse=[times, 1, 2])
    rows = np.random.default_rng(0)
    made = [plan.batch(rows.integers(0, 3, 12), 0, step)[0] for step in range(400)]
    for number, expected in ((0, times), (2, 2)):
        used = Counter(key for slots in made for key in slots.key[slots.synthetic & (slots.label == number)].tolist())
        middle = list(used.values())[len(used) // 4 : len(used) // 2]
        assert set(middle) == {expected}
        slots = sum((one.label[one.synthetic] == number).sum() for one in made)
        assert len(used) < 1.2 * slots / expected + 12


@pytest.mark.parametrize("classes", [1, 50])
def test_the_samples_in_use_at_once_are_few_however_many_classes_there_are(classes: int) -> None:
    plan = StreamPlan(classes, balance="natural", ratio=0.5, reuse=4)
    rows, kept, most = np.random.default_rng(0), set(), 0
    for step in range(200):
        slots, _ = plan.batch(rows.integers(0, classes, 64), 0, step)
        mine = slots[slots.synthetic]
        kept = (kept | set(mine.key.tolist())) - set(mine.key[mine.last].tolist())
        most = max(most, len(kept))
    assert most <= 5 * classes + 64


@settings(max_examples=100, deadline=None)
@given(runs(), st.integers(0, EPOCHS * STEPS), st.integers(1, 3))
def test_from_its_quotas_the_rest_is_the_same(run: Run, stop: int, times: int) -> None:
    run = Run({**run.options, "reuse": times}, run.came)
    first, stop = run.fresh(), min(stop, len(run.came))
    for number in range(stop):
        deliver(first, run.came, number)
    again = run.fresh()
    again.restore(first.log, {name: part.copy() for name, part in first.quotas().items()})
    for number in range(stop, len(run.came)):
        assert same(deliver(again, run.came, number), run.made[number])


@settings(max_examples=50, deadline=None)
@given(runs())
def test_quotas_that_were_saved_stay_as_they_were(run: Run) -> None:
    saved = {name: part.copy() for name, part in run.plan.quotas().items()}
    held = run.plan.quotas()
    again = run.fresh()
    again.restore((), held)
    deliver(again, run.came, 0)
    assert all((held[name] == saved[name]).all() for name in saved)


@settings(max_examples=50, deadline=None)
@given(runs())
def test_the_same_plan_gives_the_same_and_another_process_or_seed_other_keys(run: Run) -> None:
    assert all(map(same, Run(run.options, run.came).made, run.made))
    mine = {key for slots, _ in run.made for key in slots.key[slots.synthetic].tolist()}
    other = run.fresh()
    theirs = [deliver(other, run.came, number, rank=1)[0] for number in range(len(run.came))]
    assert [slots.synthetic.sum() for slots in theirs] == [slots.synthetic.sum() for slots, _ in run.made]
    for made in (theirs, [slots for slots, _ in Run({**run.options, "seed": 77}, run.came).made]):
        assert not mine & {key for slots in made for key in slots.key[slots.synthetic].tolist()}


def test_a_batch_of_nothing_is_nothing() -> None:
    for balance in ("natural", "uniform"):
        slots, kept = StreamPlan(2, balance=balance, ratio=0.5).batch(np.zeros(0, np.int64), 0, 0)
        assert len(slots.label) == len(kept) == 0


def test_scores_count_from_their_epoch_on() -> None:
    plan = StreamPlan(2, balance="natural", ratio=Feedback(0.5, cut=0.5))
    plan.feedback(1, [0.9, 0.9])
    plan.feedback(2, [0.9, 0.2])
    assert [plan.ratio(0.0, epoch).tolist() for epoch in range(3)] == [[0.5, 0.5], [0.5, 0.5], [0.5, 0.25]]
    labels = np.repeat([0, 1], 400)
    made = [plan.batch(labels, epoch, 0)[0] for epoch in range(3)]
    assert [np.bincount(one.label[one.synthetic]).tolist() for one in made] == [[200, 200], [200, 200], [200, 100]]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"balance": Power(0.5)}, ("counts", "Power(exponent=0.5)", "pass counts=")),
        ({"ratio": Fill()}, ("ratio", "Fill", "counts=")),
        ({"counts": [1]}, ("counts", "2 unnamed classes", "[1]")),
        ({"counts": [1, -1]}, ("counts", "[1, -1]")),
        ({"counts": [1.5, 1]}, ("counts", "[1.5, 1]")),
        ({"ratio": Linear(0, 1)}, ("ratio", "length is unknown", "epochs=")),
        ({"ratio": Linear(0, 1), "epochs": 3}, ("ratio", "length is unknown", "length=")),
        ({"length": 0}, ("length", "1 or more")),
        ({"reuse": 0}, ("reuse", "1 or more")),
    ],
)
def test_bad_input(changed: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: StreamPlan(2, **{"balance": "natural", "ratio": 0.5, **changed}), *words)
