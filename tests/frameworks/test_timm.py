"""A training script in the style of timm's."""

from typing import Any

import pytest

from tests.frameworks.training import check_training
from tests.processes import torchrun

pytest.importorskip("timm")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("tests.frameworks.work_timm", tmp_path_factory.mktemp("timm"))


def test_what_reaches_the_training_step_is_the_plan(ranks: list[Any]) -> None:
    check_training([rank["whole"] for rank in ranks])


def test_a_state_goes_on_exactly(ranks: list[Any]) -> None:
    check_training([rank["rest"] for rank in ranks], (1, 2))
