"""Memory stays as it is over 40 epochs."""

import gc
from typing import Any

import psutil
import pytest
import torch
from pictures import Pictures
from torch.utils.data import DataLoader

import onthefly
from onthefly.data.batches import default_device
from onthefly.data.spec import Spec
from onthefly.evidence.folder import untrained

SHAPE, EPOCHS, SETTLED = (3, 32, 32), 40, 5
DEVICE = default_device()


def taken() -> int:
    """Bytes: on the device, or resident in this process."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("reuse", [1, 4])
def test_40_epochs(benchmark: Any, reuse: int) -> None:
    made = untrained("gan", Spec.image(SHAPE, Pictures.classes)).reused(reuse)
    plain = DataLoader(Pictures(512, 32), 64, shuffle=True, num_workers=2, persistent_workers=True)
    loader = onthefly.wrap(plain, made, ratio=0.25, augment=onthefly.augment.image(SHAPE))
    after: list[int] = []

    def train() -> None:
        for _ in range(EPOCHS):
            for _ in loader:
                pass
            after.append(taken())

    benchmark.group = "memory"
    benchmark.pedantic(train, rounds=1)
    growth = (max(after[-5:]) - after[SETTLED - 1]) / 1e6
    where = "allocated on the device" if DEVICE.type == "cuda" else "resident"
    benchmark.extra_info["memory"] = {
        "name": f"a mix of 512 pictures, each synthetic one used {reuse} times",
        "what": f"MB {where}, after epochs {SETTLED} to {EPOCHS}",
        "megabytes": [round(after[epoch] / 1e6, 2) for epoch in range(SETTLED - 1, EPOCHS, 5)],
        "growth": round(growth, 2),
    }
