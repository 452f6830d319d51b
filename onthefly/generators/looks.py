"""What a generator makes, for people to look at: a picture for each kind of sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from onthefly.generators.base import FrozenGenerator
from onthefly.generators.sheet import contact_sheet
from onthefly.generators.texts import text_page
from onthefly.generators.waves import wave_sheet


def look(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    real: Sequence[Sequence[Any]] = (),
    device: torch.device | str = "cpu",
) -> Path:
    """Draw what a generator makes: images as a contact sheet, sounds as waveforms and spectrograms, texts as a page of
    text.

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
    return contact_sheet(generator, path, real=real, device=device)
