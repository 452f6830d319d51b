"""What a generator makes, for people to look at: a picture for each kind of sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from onthefly.generators.base import FrozenGenerator
from onthefly.generators.coding import Coding
from onthefly.generators.histograms import histograms
from onthefly.generators.sheet import contact_sheet
from onthefly.generators.table import Table
from onthefly.generators.texts import text_page
from onthefly.generators.waves import wave_sheet

_FEW, _MANY = 5, 500


def look(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    real: Sequence[Sequence[Any]] = (),
    device: torch.device | str = "cpu",
) -> Path:
    """Draw what a generator makes: images as a contact sheet, sounds as waveforms and spectrograms, texts as a page of
    text, rows of a table as histograms of its columns.

    Args:
        generator: of one field.
        path: of the file.
        real: a few real samples of each class, for comparison.
        device: where the generator is.

    Returns:
        The path; that of texts ends in ``.txt``.
    """
    if generator.spec.field.dtype == "str":
        return text_page(generator, path, real=real, device=device)
    if len(generator.spec.field.shape) == 2:
        return wave_sheet(generator, path, real=real, device=device)
    coding = getattr(generator, "coding", None)
    if isinstance(coding, Table):
        return histograms(generator, path, columns=coding.columns, real=real, device=device)
    return contact_sheet(generator, path, real=real, device=device)


def enough(coding: Coding) -> int:
    """How many real samples of each class to look at: a few, and of rows as many as a histogram needs."""
    return _MANY if isinstance(coding, Table) else _FEW
