"""Accelerate keeps the loader as it is, knows where a pass over it stands, and saves and restores its place."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import onthefly
from tests.frameworks.training import augmented, check_training, mixed, plain
from tests.processes import torchrun

accelerate = pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_accelerate", tmp_path_factory.mktemp("accelerate"))


@pytest.fixture
def accelerator() -> Iterator[Any]:
    yield accelerate.Accelerator(cpu=True)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any]) -> None:
    assert all(rank["whole"]["kept"] for rank in ranks)
    check_training([rank["whole"] for rank in ranks])


def test_a_checkpoint_goes_on_exactly(ranks: list[Any]) -> None:
    check_training([rank["rest"] for rank in ranks], (1, 2))
    for rank in ranks:
        assert all(map(torch.equal, rank["rest"]["weights"], rank["whole"]["weights"]))


def test_gradients_are_accumulated_up_to_the_end_of_an_epoch(ranks: list[Any]) -> None:
    for rank in ranks:
        assert rank["whole"]["steps"] == [False, True, False, True, True] * 3


def test_nothing_is_cut_from_what_is_gathered(ranks: list[Any]) -> None:
    for rank in ranks:
        assert rank["whole"]["rows"] == [8, 8, 8, 8, 5] * 3


def test_without_a_plan_or_augmentation_it_is_a_plain_loader(ranks: list[Any]) -> None:
    rows = [row for rank in ranks for batch in rank["plain"] for row in batch]
    assert len(rows) == 40  # Accelerate fills up the last batches
    assert set(rows) == set(range(37))


def test_augmentation_is_never_lost(ranks: list[Any]) -> None:
    for rank in ranks:
        assert all(word in rank["refused"] for word in ("2 processes", "RandomSampler", "balance='uniform'"))
    for name, filled_up in {"planned": 0, "divided": 1, "wrapped": 3}.items():
        rows = [row - 1000 for rank in ranks for batch in rank[name] for row in batch]
        assert len(rows) == 37 + filled_up
        assert set(rows) == set(range(37))


def test_skipping_batches_is_refused(ranks: list[Any]) -> None:
    assert all("load_state_dict" in rank["skipped"] for rank in ranks)


def test_augmentation_without_a_plan_needs_nothing_in_one_process(accelerator: Any) -> None:
    loader = augmented(plain())
    assert accelerator.prepare(loader) is loader
    assert sum(len(x) for x, _ in loader) == 37


def test_the_end_is_known_whatever_else_is_iterated(accelerator: Any) -> None:
    state = accelerator.gradient_state
    outer, inner = mixed(), onthefly.wrap(plain(), device="cpu")
    for _ in outer:
        next(iter(inner))  # is dropped
        assert not state.end_of_dataloader
        assert len(list(inner)) == 5
    assert [state.end_of_dataloader for _ in outer] == [False] * 4 + [True]
    assert not state.in_dataloader
    for _ in outer:
        break
    assert not state.in_dataloader
