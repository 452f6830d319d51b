"""Texts written side by side against the same texts one by one: goal 10x for 64 of them."""

from typing import Any

import pytest
import torch

from onthefly.data.batches import default_device
from onthefly.generators import FrozenGenerator, train

TEXTS = 64
DEVICE = default_device()
LABELS = torch.arange(TEXTS, device=DEVICE) % 2
KEYS = torch.arange(TEXTS, device=DEVICE)


class Lists:
    """Shopping lists of 1 to 40 things, so that texts end at different lengths."""

    targets = tuple(row % 2 for row in range(400))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[str, int]:
        thing = ("apples", "screws")[row % 2]
        return " ".join([thing] * (1 + 40 * (row // 2 % 20) ** 2 // 400)), row % 2


@pytest.fixture(scope="module")
def generator() -> FrozenGenerator:
    return train("language", Lists(), steps=60, progress=False, device=DEVICE)


def one_by_one(generator: FrozenGenerator) -> list[str]:
    return [generator.sample(LABELS[[row]], KEYS[[row]])[0] for row in range(TEXTS)]


def test_side_by_side(versus: Any, generator: FrozenGenerator) -> None:
    assert generator.sample(LABELS, KEYS) == one_by_one(generator)
    versus(
        lambda: generator.sample(LABELS, KEYS),
        lambda: one_by_one(generator),
        rounds=3,
        group=f"language, {TEXTS} texts",
        name="one batch",
        against="one by one",
    )
