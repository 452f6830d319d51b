"""Prompts of any lengths side by side, ending together."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Padded(NamedTuple):
    """Prompts in one tensor.

    Attributes:
        tokens: ``int64[N, L]``, padded on the left.
        mask: ``bool[N, L]``, what are tokens; None for all.
    """

    tokens: Tensor
    mask: Tensor | None


def side_by_side(prompts: Sequence[Sequence[int]], device: torch.device) -> Padded:
    """Prompts, padded where they are shorter than the longest.

    >>> side_by_side([[5, 6, 7], [8]], torch.device("cpu")).tokens
    tensor([[5, 6, 7],
            [0, 0, 8]])
    """
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths, default=1)
    if 0 in lengths:
        raise ValueError(
            "prompts: expected at least one token each, found an empty one; write the model's token that begins a text"
        )
    rows = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    tokens = torch.tensor(rows, dtype=torch.int64).reshape(len(prompts), longest)
    if len(set(lengths)) < 2:
        return Padded(tokens.to(device), None)
    mask = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]
    return Padded(tokens.to(device), mask.to(device))


def checked(tokens: Tensor, mask: Tensor | None) -> Padded:
    """Prompts in a tensor, refused if they are of another type, or padded on the right."""
    if tokens.ndim != 2 or tokens.dtype != torch.int64 or not tokens.shape[1]:
        raise ValueError(
            f"prompts: expected int64[N, L] of at least one token each, found {tokens.dtype}{list(tokens.shape)}; "
            "write lists of tokens"
        )
    if mask is not None and mask.shape != tokens.shape:
        raise ValueError(
            f"mask: expected the shape of the prompts, {list(tokens.shape)}, found {list(mask.shape)}; write "
            "tokens != the padding token"
        )
    if mask is not None and not mask[:, -1].all():
        raise ValueError(
            "mask: expected prompts padded on the left, found one whose last token is padding; set the tokenizer's "
            "padding_side='left'"
        )
    return Padded(tokens, None if mask is None else mask.bool())
