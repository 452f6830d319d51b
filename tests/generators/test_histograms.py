"""Histograms of a table's columns."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from onthefly.data.columns import Column
from onthefly.data.spec import Spec
from onthefly.generators import FrozenGenerator, train
from onthefly.generators.histograms import histograms
from tests.generators.test_table import pets


class Fixed(FrozenGenerator):
    """Rows of one kind, whatever is asked for."""

    spec = Spec.row(2, ("a", "b"))

    def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
        return torch.stack([labels.float(), torch.where(keys % 2 == 0, 3.0, torch.nan)], dim=1)


def test_bars_are_shares_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    Axes = pytest.importorskip("matplotlib.axes").Axes

    drawn: list[tuple[str, np.ndarray]] = []
    bar = Axes.bar
    monkeypatch.setattr(
        Axes, "bar", lambda *given, **how: (drawn.append((how["label"], given[2])), bar(*given, **how))[1]
    )
    columns = (Column("kind", "categorical", ("x", "y")), Column("number", "numeric"))
    real = [[torch.tensor([0.0, 0.0]), torch.tensor([1.0, 5.0])], []]
    histograms(Fixed(), "bars.png", columns=columns, real=real, each=10)
    kinds, numbers = drawn[0::4] + drawn[1::4], drawn[3]
    assert [label for label, _ in drawn] == ["real", "synthetic"] * 4
    assert [share.tolist() for _, share in kinds] == [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert numbers[1][-1] == pytest.approx(0.5)  # what is missing


def test_rows_are_looked_at_while_training() -> None:
    train("vae", pets(40), steps=2, config={"width": 4}, progress=False, preview="pets.png")
    with Image.open("pets.png") as picture:
        assert picture.width > 4 * 100
        assert picture.height > 2 * 80
