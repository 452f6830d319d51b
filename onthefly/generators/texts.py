"""Texts to look at: for each class real ones on the left, synthetic ones on the right."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any

import torch

from onthefly.generators.base import FrozenGenerator

_WIDTH = 56  # characters of each side
_MOST = 20  # classes on a page


def text_page(
    generator: FrozenGenerator,
    path: str | Path,
    *,
    real: Sequence[Sequence[str]] = (),
    each: int = 10,
    device: torch.device | str = "cpu",
) -> Path:
    """Write what a generator of texts makes to a text file.

    Args:
        generator: of texts.
        path: of the file; its suffix becomes ``.txt``.
        real: some real texts of each class, to the left of the synthetic ones.
        each: synthetic texts of each class.
        device: where the generator is.

    Returns:
        The path, with that suffix.

    Raises:
        ValueError: for a generator of anything else, of tokens too.
    """
    path = Path(path).with_suffix(".txt")
    rows = torch.from_numpy(generator.makes)[:_MOST].nonzero()[:, 0].tolist()
    labels = torch.tensor(rows, device=device).repeat_interleave(each)
    texts = _texts(generator.batch(labels, torch.arange(len(labels), device=device)))
    lines: list[str] = []
    for place, row in enumerate(rows):
        lines += [generator.classes.name(row), _beside(["real"], ["synthetic"])]
        pairs = zip_longest(real[row] if row < len(real) else (), texts[place * each : (place + 1) * each])
        lines += [_beside(_lines(one), _lines(other)) for one, other in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _texts(batch: Any) -> Sequence[str]:
    """Those of a batch ``[texts, labels]``."""
    texts = batch[0] if isinstance(batch, (list, tuple)) else batch
    if not (isinstance(texts, (list, tuple)) and all(isinstance(one, str) for one in texts)):
        raise ValueError(
            f"text_page: expected a generator of texts, found one that yields a {type(texts).__name__}; of tokens, "
            "load it with output='text'"
        )
    return texts


def _lines(text: str | None) -> list[str]:
    """A text in lines of the page, with what doesn't print escaped; an empty one as two quotes."""
    if text is None:
        return []
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return wrap(shown, _WIDTH) or ["''"]


def _beside(left: Sequence[str], right: Sequence[str]) -> str:
    pairs = zip_longest(left, right, fillvalue="")
    return "\n".join([*(f"    {one:<{_WIDTH}}    {other}".rstrip() for one, other in pairs), ""])
