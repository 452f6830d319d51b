"""Stopping anywhere and going on: what comes is what would have come."""

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader, augment
from onthefly.generators import from_module
from onthefly.schedule import Feedback, Fill, Linear
from onthefly.testing import CountingGenerator
from tests import laws

EPOCHS, KILLS = 4, 20
RATIO = Fill(cap=0.9) * Linear(0.3, 1)


def wrap(images: TensorDataset, workers: int = 2, **mix: Any) -> MixLoader[Any]:
    ahead = {"num_workers": workers, "prefetch_factor": 4} if workers else {}
    plain = DataLoader(images, 4, shuffle=True, **ahead)
    options = {
        "ratio": RATIO,
        "epochs": EPOCHS,
        "device": "cpu",
        "tag": True,
        "augment": augment.image((1, 8, 8)),
        **mix,
    }
    return onthefly.wrap(plain, CountingGenerator((1, 8, 8), 4).reused(3), **options)


def test_from_every_step_of_an_epoch_with_batches_under_way(images: TensorDataset) -> None:
    """Values and order, augmentation too; with other workers than before, and a second time."""
    expected = laws.deliver(wrap(images, 0), 2)
    steps = len(expected) // 2
    first = wrap(images, workers=2)
    for step, _ in enumerate(iter(first), 1):
        again = wrap(images, workers=2 * (step % 2))
        again.load_state_dict(first.state_dict())
        batches = iter(again)
        went_on = [laws.Delivered(*next(batches))]
        once_more = wrap(images, 0)
        once_more.load_state_dict(again.state_dict())
        over = (step + 1) % steps == 0 or step == steps
        went_on += laws.deliver(once_more, 1 if over else 2)
        found, rest = went_on, expected[step:]
        assert len(found) == len(rest)
        assert all(one.same(two) for one, two in zip(found, rest, strict=True))


def train_until_killed(images: TensorDataset, path: Path, when: int) -> None:
    """Goes on from what is on the disk, keeps it up to date, and dies with a batch in hand that it has not noted."""
    torch.set_num_threads(1)
    loader, came = wrap(images, ratio=Feedback(RATIO)), []
    if path.exists():
        kept = torch.load(path, weights_only=True)
        loader.load_state_dict(kept["state"])
        came = kept["came"]
    while (epoch := loader.position.next_pass()[0]) < EPOCHS:
        if epoch == loader.position.untouched > len(loader.planned("test").log):  # not yet, or not noted
            loader.feedback(np.full(4, 0.9 - 0.3 * (epoch % 2)))
        for batch in loader:
            if when == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            when -= 1
            came.append(laws.Delivered(*batch).images.sum(dim=(1, 2, 3)))
            torch.save({"state": loader.state_dict(), "came": came}, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)


@pytest.mark.timeout(200)
def test_killed_twenty_times_over_the_stream_is_the_same(images: TensorDataset, tmp_path: Path) -> None:
    fork, chance = multiprocessing.get_context("fork"), random.Random(0)
    uninterrupted, interrupted = tmp_path / "whole.pt", tmp_path / "pieces.pt"
    train_until_killed(images, uninterrupted, when=10**9)
    exits = []
    while not exits or exits[-1] != 0:
        when = chance.randrange(3) if len(exits) < KILLS else 10**9
        process = fork.Process(target=train_until_killed, args=(images, interrupted, when))
        process.start()
        process.join()  # with a timeout it would wait for the workers too, which outlive it for a while
        exits.append(process.exitcode)
    assert exits == [-signal.SIGKILL] * KILLS + [0]
    whole, pieces = (torch.load(path, weights_only=True)["came"] for path in (uninterrupted, interrupted))
    assert len(whole) == len(pieces) == EPOCHS * len(wrap(images))
    assert all(torch.equal(one, two) for one, two in zip(whole, pieces, strict=True))


def test_a_state_at_the_end_of_an_epoch_is_the_start_of_the_next(images: TensorDataset) -> None:
    loader, again = wrap(images, 0), wrap(images, 0)
    first = laws.deliver(loader)
    again.load_state_dict(loader.state_dict())
    assert again.position.next_pass() == (1, 0)
    assert all(one.same(two) for one, two in zip(laws.deliver(again), laws.deliver(loader), strict=True))
    assert len(first) == len(loader)


def test_a_longer_training_needs_a_word(images: TensorDataset, refused: Any) -> None:
    """The epoch under way is finished as it was planned; the next reckons with the new length."""
    loader, longer = wrap(images, 0), wrap(images, 0, epochs=2 * EPOCHS)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    refused(lambda: longer.load_state_dict(state), "epochs: expected 8, found 4", "longer=True")
    longer.load_state_dict(state, longer=True)
    rest = [laws.Delivered(*batch) for batch in batches]
    assert all(one.same(two) for one, two in zip(laws.deliver(longer), rest, strict=True))
    plan = longer.planned("test")
    assert [change.to_plain() for change in plan.log] == [{"epoch": 0, "epochs": 4}, {"epoch": 1, "epochs": 8}]
    slots = plan.epoch(1)
    rare = slots.label == 3
    progress = (1 + (np.arange(plan.length) + 0.5) / plan.length) / (2 * EPOCHS)
    asked = plan.schedule(progress[rare], slots.label[rare], plan.census)
    assert abs(slots.synthetic[rare].sum() - asked.sum()) < 1
    later = wrap(images, 0, epochs=2 * EPOCHS)
    later.load_state_dict(longer.state_dict())
    assert all(one.same(two) for one, two in zip(laws.deliver(later), laws.deliver(longer), strict=True))
    shorter = wrap(images, 0, epochs=2)
    refused(lambda: shorter.load_state_dict(state, longer=True), "epochs: expected 2, found 4")


def test_the_state_of_other_data_is_refused(images: TensorDataset, refused: Any) -> None:
    other = TensorDataset(images.tensors[0], images.tensors[1].flip(0))
    refused(lambda: wrap(other).load_state_dict(wrap(images).state_dict()), "labels: expected", "found")


def test_labels_that_change_between_epochs_are_noticed(images: TensorDataset, refused: Any) -> None:
    mine = TensorDataset(images.tensors[0], images.tensors[1].clone())
    loader = wrap(mine, 0)
    list(loader)
    mine.tensors[1][5] = 3
    refused(lambda: next(iter(loader)), "labels: expected those", "1 others", "row 5", "wrap the loader again")


@pytest.mark.parametrize("workers", [0, 2])
def test_feedback_counts_from_the_next_epoch_even_if_that_is_open_already(images: TensorDataset, workers: int) -> None:
    told, late = (wrap(images, workers, ratio=Feedback(0.5)) for _ in range(2))
    told.feedback([0.9] * 4)
    told.feedback([0.9, 0.9, 0.1, 0.9])
    batches = iter(late)  # as Lightning opens a pass before its first batch
    late.feedback([0.9] * 4)
    late.feedback([0.9, 0.9, 0.1, 0.9])
    assert all(one.same(laws.Delivered(*two)) for one, two in zip(laws.deliver(told), batches, strict=True))
    assert told.planned("test").ratio(0.0, epoch=0).tolist() == [0.5, 0.5, 0.25, 0.5]


def test_feedback_within_an_epoch_waits_for_the_next(images: TensorDataset) -> None:
    loader, quiet = (wrap(images, 0, ratio=Feedback(0.5)) for _ in range(2))
    batches = iter(loader)
    came = [laws.Delivered(*next(batches))]
    loader.feedback([0.9] * 4)
    loader.feedback([0.1] * 4)
    came += [laws.Delivered(*batch) for batch in batches]
    assert all(one.same(two) for one, two in zip(came, laws.deliver(quiet), strict=True))
    slots = laws.stream(laws.deliver(loader))
    assert abs(slots["synthetic"].sum() - 0.25 * len(slots["synthetic"])) < 4


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.5] * 3, ("one score for each", "shape (3,)")),
        ([0.5, 0.5, float("nan"), 0.5], ("from 0 to 1", "nan", "class 2")),
        ([0.5, 90.0, 0.5, 0.5], ("from 0 to 1", "90.0", "class 1")),
    ],
)
def test_feedback_that_is_none(images: TensorDataset, scores: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: wrap(images, ratio=Feedback(0.5)).feedback(scores), "feedback: expected", *words)


def test_feedback_to_a_ratio_that_does_not_listen(images: TensorDataset, refused: Any) -> None:
    refused(lambda: wrap(images, ratio=0.5).feedback([0.5] * 4), "feedback: expected", "Feedback(...)")


def test_epochs_beyond_training_are_refused_at_once(images: TensorDataset, refused: Any) -> None:
    loader = wrap(images)
    for call in (loader.set_epoch, loader.sampler.set_epoch):
        refused(lambda call=call: call(EPOCHS), "expected an epoch from 0 to 3, found 4")
    loader.set_epoch(2)
    next(iter(loader))
    with pytest.warns(UserWarning, match="expected an epoch from 2 on"):
        loader.set_epoch(0)


def test_feedback_reaches_a_pass_that_was_opened_beside_another(images: TensorDataset) -> None:
    """Its workers have read ahead, and the first pass goes on in between."""
    loader = wrap(images, ratio=Feedback(0.8))
    one = iter(loader)
    next(one)
    other = iter(loader)
    next(one)
    for scores in ([0.9] * 4, [0.1] * 4):
        loader.feedback(scores)
    synthetic = sum(int(batch[2].synthetic.sum()) for batch in other)
    assert synthetic == loader.planned("test").epoch(1).synthetic.sum() < 0.5 * len(images)


def test_a_state_on_another_device_is_a_state(images: TensorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, again = wrap(images, 0), wrap(images, 0)
    next(iter(loader))
    state = loader.state_dict()
    moved: set[int] = set()
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (moved.add(id(tensor)), cpu(tensor))[1])
    again.load_state_dict(state)
    assert moved >= {id(kept) for kept in state["totals"].values()}


def test_another_generator_than_that_of_the_state_is_told(images: TensorDataset) -> None:
    def make(weight: float) -> MixLoader[Any]:
        network = torch.nn.Conv2d(1, 1, 1).requires_grad_(False)
        network.weight.fill_(weight)
        made = from_module(network, latent=(1, 8, 8), classes=4, call=lambda net, noise, labels: net(noise).sigmoid())
        return onthefly.wrap(DataLoader(images, 8, shuffle=True), made, ratio=0.5, device="cpu")

    with pytest.warns(UserWarning, match="the generator is another"):
        make(1.0).load_state_dict(make(2.0).state_dict())


def test_an_epoch_that_is_refused_leaves_the_place(images: TensorDataset, refused: Any) -> None:
    loader = wrap(images, 0)
    refused(lambda: loader.sampler.set_epoch(9), "found 9")
    assert loader.epoch == 0
    assert len(laws.deliver(loader)) == len(loader)


def test_feedback_by_name_of_class(images: TensorDataset, refused: Any) -> None:
    loader = wrap(images, 0, ratio=Feedback(0.5))
    loader.feedback({3: 0.4, 0: 0.1, 1: 0.2, 2: 0.3})
    assert loader.log[0].scores == (0.1, 0.2, 0.3, 0.4)
    refused(lambda: loader.feedback({0: 0.1}), "a score for each", "none for 1, 2, 3")
