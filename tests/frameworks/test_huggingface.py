"""Hugging Face's Trainer trains on the loader that get_train_dataloader returns, and goes on from its checkpoints."""

from typing import Any

import pytest
import torch

from tests.frameworks.training import check_training
from tests.processes import torchrun

pytest.importorskip("transformers")
pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_huggingface", tmp_path_factory.mktemp("huggingface"))


def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any]) -> None:
    check_training([rank["whole"] for rank in ranks])


def test_a_checkpoint_goes_on_exactly(ranks: list[Any]) -> None:
    check_training([rank["rest"] for rank in ranks], (1, 2))
    for rank in ranks:
        assert rank["rest"]["step"] == rank["whole"]["step"] == 15
        assert all(map(torch.equal, rank["rest"]["weights"], rank["whole"]["weights"]))


def test_skipping_batches_is_refused(ranks: list[Any]) -> None:
    assert all("load_state_dict" in rank["skipped"] for rank in ranks)
