"""Lightning's Trainer keeps the loader as it is, and saves and restores its place in training."""

from typing import Any

import pytest
import torch

from tests.frameworks.training import check_training
from tests.processes import torchrun

pytest.importorskip("lightning")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_lightning", tmp_path_factory.mktemp("lightning"))


def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any]) -> None:
    check_training([rank["whole"] for rank in ranks])


@pytest.mark.parametrize(("checkpoint", "first"), [("step=7", (1, 2)), ("step=10", (2, 0)), ("end-epoch=1", (2, 0))])
def test_a_checkpoint_goes_on_exactly(ranks: list[Any], checkpoint: str, first: tuple[int, int]) -> None:
    resumed = [rank[checkpoint] for rank in ranks]
    check_training(resumed, first)
    for rank, whole in zip(resumed, ranks, strict=True):
        assert all(map(torch.equal, rank["weights"], whole["whole"]["weights"]))


def test_what_the_ratio_was_told_is_kept_by_a_callback(ranks: list[Any]) -> None:
    synthetic = [0, 0, 0]
    for rank in ranks:
        whole = rank["told"]["batches"]
        assert rank["told again"]["batches"] == [[], [], whole[2]]
        for epoch, batches in enumerate(whole):
            synthetic[epoch] += sum(sum(batch["synthetic"]) for batch in batches)
    assert synthetic[0] == synthetic[1] > synthetic[2]


def test_a_loader_without_a_plan_is_divided_and_still_augmented(ranks: list[Any]) -> None:
    rows = [row - 1000 for rank in ranks for batch in rank["augmented"]["batches"][0] for row in batch]
    assert len(rows) == 38  # Lightning's sampler repeats one, so that all ranks have as many
    assert set(rows) == set(range(37))
