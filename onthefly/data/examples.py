"""A few samples of a dataset, to see what it yields."""

from typing import Any

import numpy as np
import torch

from onthefly.data.hermetic import hermetic
from onthefly.data.nested import change
from onthefly.data.normalize import Normalization, arrives_normalized

Examples = list[tuple[int, Any]]  # rows, and what the dataset yields there

_EXAMPLES = 8


def read_examples(dataset: Any, device: torch.device) -> Examples:
    """A few samples from all over a dataset, each with its row."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, _EXAMPLES).astype(int))
    with hermetic(0, device):
        return [(int(row), dataset[int(row)]) for row in rows]


def some_rows(batch: Any, size: int) -> Examples:
    """A few rows from all over a batch, each with its number."""
    rows = np.unique(np.linspace(0, size - 1, _EXAMPLES).astype(int)).tolist()
    return [(row, change(lambda part, row=row: part[row], batch)) for row in rows]


def typical(examples: Examples, normalized: Normalization | None) -> Any:
    """The example that shows best what a sample is: one that is seen to be normalised, if there is any."""
    samples = [sample for _, sample in examples]
    return next((sample for sample in samples if arrives_normalized(sample, normalized)), samples[0])
