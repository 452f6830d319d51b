"""Ray Train's prepare_data_loader keeps the loader as it is."""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.training import EPOCHS, check_training
from tests.processes import kept, run, torchrun

pytest.importorskip("ray.train")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_ray", tmp_path_factory.mktemp("ray"))


@pytest.mark.parametrize("move", [False, True])
def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any], move: bool) -> None:
    assert all(rank[f"move={move}"]["kept"] is not move for rank in ranks)
    check_training([rank[f"move={move}"] for rank in ranks])


def test_the_state_is_exact_unless_batches_are_read_ahead(ranks: list[Any]) -> None:
    for rank in ranks:
        assert rank["move=False"]["places"] == [1, 2, 3, 4, 5] * EPOCHS
        assert rank["move=True"]["places"] == [2, 3, 4, 5, 5] * EPOCHS


def test_augmentation_without_a_plan_is_not_lost_without_a_word(ranks: list[Any]) -> None:
    assert all("balance='uniform'" in rank["rebuilt"] for rank in ranks)


def test_workers_of_a_cluster_share_the_plan(tmp_path: Path) -> None:
    run("-m", "tests.frameworks.work_ray", tmp_path, "2", folder=tmp_path)
    for move in (False, True):
        check_training([rank[f"move={move}"] for rank in kept(tmp_path, 2)])
