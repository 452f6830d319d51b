"""What a plan costs: all slots of the first epoch, against numpy's shuffle of as many numbers."""

from typing import Any

import numpy as np
import pytest

from onthefly import MixPlan
from onthefly.schedule import Fill, Linear

MIXES: dict[str, dict[str, Any]] = {
    "uniform, Fill(0.5)": {"balance": "uniform", "ratio": Fill(cap=0.5)},
    "natural, 0.3": {"balance": "natural", "ratio": 0.3},
    "uniform, Linear(0, 1)": {"balance": "uniform", "ratio": Linear(0, 1), "epochs": 10},
}


@pytest.mark.parametrize("slots", [1_000_000, 10_000_000])
@pytest.mark.parametrize("name", MIXES)
def test_an_epoch(versus: Any, benchmark: Any, name: str, slots: int) -> None:
    rng = np.random.default_rng(0)
    plan = MixPlan(rng.integers(0, 1000, slots), batch_size=256, **MIXES[name])
    versus(
        lambda: plan._slots(0),
        lambda: rng.permutation(slots),
        rounds=5,
        group=f"plan, {slots:,} slots",
        name=name,
        against="numpy permutation",
    )
    benchmark.extra_info["note"] = f"{benchmark.stats.stats.median / slots * 1e9:.0f} ns a slot"
