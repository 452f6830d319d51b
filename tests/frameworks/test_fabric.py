"""Fabric keeps the loader as it is, and saves and restores its place in training."""

from typing import Any

import pytest
import torch

from tests.frameworks.training import check_training
from tests.processes import torchrun

pytest.importorskip("lightning")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_fabric", tmp_path_factory.mktemp("fabric"))


def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any]) -> None:
    check_training([rank["whole"] for rank in ranks])


def test_a_checkpoint_goes_on_exactly(ranks: list[Any]) -> None:
    check_training([rank["rest"] for rank in ranks], (1, 2))
    for rank in ranks:
        assert all(map(torch.equal, rank["rest"]["weights"], rank["whole"]["weights"]))


def test_a_loader_without_a_plan_is_divided_and_still_augmented(ranks: list[Any]) -> None:
    rows = [row - 1000 for rank in ranks for batch in rank["augmented"] for row in batch]
    assert len(rows) == 38  # Fabric's sampler repeats one, so that all ranks have as many
    assert set(rows) == set(range(37))
