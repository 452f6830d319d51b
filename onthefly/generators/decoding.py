"""Texts from keys: a causal language model sampled by taking the largest of its logits plus keyed Gumbel noise.

That is sampling from the softmax of the logits (the Gumbel-max trick: Gumbel, 1954; Maddison, Tarlow and Minka, "A*
sampling", NeurIPS 2014), and makes every token a function of the prompt, the key and its position.
"""

import inspect
import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from onthefly.generators.noise import philox
from onthefly.generators.running import numbers
from onthefly.mixing.given import at_least_one

_FIRST_STREAM = 1 << 16  # of the noise of the first token, beyond all others of the same keys
_LOOK_EVERY = 16  # tokens, after which the host looks whether all texts are finished


@torch.no_grad()
def decode_tokens(
    model: nn.Module,
    prompts: Sequence[Sequence[int]] | Tensor,
    keys: Tensor,
    *,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    max_tokens: int,
    eos: int | Collection[int] | None = None,
) -> Tensor:
    """Continue prompts, each by its key: the same prompt and key are the same text, whatever stands beside them.

    Shorter prompts are padded on the left; padding is masked, and positions are counted from a prompt's own first
    token. Nothing is padded where all are equally long. What is computed once is kept (the KV cache), and the host
    waits for the device every 16 tokens.

    Args:
        model: a causal language model of ``transformers``, in eval mode and float32, on the device of ``keys``.
        prompts: N lists of at least one token; or ``int64[N, L]``, padded on the left where ``mask`` says so.
        keys: ``int64[N]``, non-negative.
        mask: ``bool[N, L]``, what of the tensor ``prompts`` are tokens; None for all.
        temperature: what logits are divided by, more than 0: less than 1 for likelier texts.
        top_k: only so many tokens, the likeliest, may be next; None for any.
        top_p: only the likeliest tokens may be next that together have at least this probability; None for any.
        max_tokens: how many to make.
        eos: the token that ends a text, or several that do.

    Returns:
        ``int64[N, max_tokens]``: what follows each prompt. A text that ends sooner is filled up with ``eos``, the first
        of several.

    Raises:
        ValueError: for options outside their range, or a prompt that doesn't fit into the model's context with
            ``max_tokens``.

    >>> from types import SimpleNamespace
    >>> class Next(nn.Module):  # 0, 1, 2, 3, 0, ...
    ...     def forward(self, input_ids, past_key_values=None, use_cache=True):
    ...         logits = 100.0 * nn.functional.one_hot((input_ids + 1) % 4, 4)
    ...         return SimpleNamespace(logits=logits, past_key_values=None)
    >>> decode_tokens(Next(), [[0], [2]], torch.tensor([5, 6]), max_tokens=4, eos=3)
    tensor([[1, 2, 3, 3],
            [3, 3, 3, 3]])
    """
    _check_options(temperature, top_k, top_p, max_tokens)
    prompt = Prompts.of(prompts, mask, keys)
    check_context(model, prompt.tokens.shape[1], max_tokens)
    ends = _as_tokens(eos, keys.device)
    made = torch.full((len(keys), max_tokens), _fill(eos), device=keys.device)
    finished = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    reader = _Reader(model, prompt, max_tokens)
    asked = prompt.tokens
    with numbers(torch.float32, keys.device):
        for place in range(max_tokens if len(keys) else 0):
            scores = _kept(reader.read(asked) / temperature, top_k, top_p)
            chosen = (scores + gumbel(keys, scores.shape[1], _FIRST_STREAM + place)).argmax(dim=1)
            made[:, place] = torch.where(finished, made[:, place], chosen)
            finished |= (chosen[:, None] == ends).any(dim=1)
            asked = chosen[:, None]
            if place % _LOOK_EVERY == _LOOK_EVERY - 1 and bool(finished.all()):
                break
    return made


def gumbel(keys: Tensor, count: int, stream: int = 0) -> Tensor:
    """Standard Gumbel noise for every key.

    Values are the 65,536 quantiles of the Gumbel distribution at (i + 1/2) / 65,536, from -2.47 to 11.78, so that
    probabilities are off by about 1 / 65,536 at most.

    Args:
        keys: ``int64[N]``, non-negative.
        count: numbers for each.
        stream: distinct streams of one key are independent.

    Returns:
        ``float32[N, count]``; equal keys give equal noise, whatever stands beside them and wherever it is computed.

    >>> gumbel(torch.tensor([4, 5]), 3)[1].equal(gumbel(torch.tensor([5]), 3)[0])
    True
    """
    words = philox(keys, -(-count // 2), stream)
    halves = torch.stack([words & 0xFFFF, words >> 16], dim=-1).flatten(1)[:, :count]
    return _quantiles(keys.device)[halves]


def check_context(model: nn.Module, prompt: int, max_tokens: int) -> None:
    """Refuse a prompt of so many tokens that doesn't fit into a model's context with what is to follow."""
    config = getattr(model, "config", None)
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window"))
    context = min((limit for limit in limits if isinstance(limit, int)), default=None)
    if context is not None and prompt + max_tokens > context:
        room = context - prompt
        way = f"write max_tokens={room} or less" if room > 0 else f"write prompts of fewer than {context} tokens"
        raise ValueError(
            f"max_tokens: expected a prompt and its text within the model's context of {context} tokens, found "
            f"{prompt} + {max_tokens}; {way}"
        )


class Prompts(NamedTuple):
    """Prompts side by side, ending together.

    Attributes:
        tokens: ``int64[N, L]``, padded on the left.
        mask: ``bool[N, L]``, what are tokens; None for all.
    """

    tokens: Tensor
    mask: Tensor | None

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]] | Tensor, mask: Tensor | None, keys: Tensor) -> "Prompts":
        """Prompts as ``decode_tokens`` takes them, on the device of the keys."""
        if len(prompts) != len(keys):
            raise ValueError(f"prompts: expected one for each of {len(keys)} keys, found {len(prompts)}; repeat them")
        if isinstance(prompts, Tensor):
            return cls._of_tensor(prompts, mask)
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths, default=1)
        if min(lengths, default=1) < 1:
            raise ValueError(
                "prompts: expected at least one token each, found an empty one; write the model's token that begins a "
                "text"
            )
        tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], dtype=torch.int64)
        missing = torch.tensor([longest - length for length in lengths])
        filled = torch.arange(longest) >= missing[:, None] if missing.any() else None
        tokens = tokens.reshape(len(keys), longest)
        return cls(tokens.to(keys.device), None if filled is None else filled.to(keys.device))

    @classmethod
    def _of_tensor(cls, tokens: Tensor, mask: Tensor | None) -> "Prompts":
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
        return cls(tokens, None if mask is None else mask.bool())


class _Reader:
    """A model that has read so far, and reads on."""

    def __init__(self, model: nn.Module, prompts: Prompts, more: int) -> None:
        self.model, self.past, self.length = model, None, 0
        known = inspect.signature(model.forward).parameters
        self.options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.padded = prompts.mask is not None
        if prompts.mask is None:
            return
        missing = (~prompts.mask).sum(dim=1)
        keep = nn.functional.pad(prompts.mask, (0, more), value=True)
        self.hidden = torch.zeros(keep.shape, device=keep.device).masked_fill(~keep, torch.finfo(torch.float32).min)
        self.positions = (torch.arange(keep.shape[1], device=keep.device) - missing[:, None]).clamp(min=0)
        self.counted = "position_ids" in known

    def read(self, tokens: Tensor) -> Tensor:
        """Logits ``float32[N, V]`` of what comes after some tokens ``int64[N, l]``."""
        begin, self.length = self.length, self.length + tokens.shape[1]
        options = self.options | (self._padding(begin) if self.padded else {})
        out = self.model(input_ids=tokens, past_key_values=self.past, use_cache=True, **options)
        self.past = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def _padding(self, begin: int) -> dict[str, Tensor]:
        """What tokens may look at, added to the attention: as four dimensions, which models take as they are. A mask of
        two they would look through for padding on the host, token by token."""
        size = (self.length - begin, self.length)
        later = torch.full(size, torch.finfo(torch.float32).min, device=self.hidden.device).triu(begin + 1)
        mask = torch.minimum(self.hidden[:, None, None, : self.length], later)
        positions = {"position_ids": self.positions[:, begin : self.length]} if self.counted else {}
        return {"attention_mask": mask, **positions}


def _kept(scores: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Scores ``[N, V]``, minus infinity for tokens that may not be next."""
    if top_k is not None:
        least = scores.topk(min(top_k, scores.shape[1])).values[:, -1:]
        scores = scores.masked_fill(scores < least, -math.inf)
    if top_p is not None:
        best = scores.sort(dim=1, descending=True).values
        shares = best.softmax(dim=1)
        enough = shares.cumsum(dim=1) - shares >= top_p  # with the likelier ones alone
        enough[:, 0] = False
        least = best.masked_fill(enough, math.inf).amin(dim=1, keepdim=True)
        scores = scores.masked_fill(scores < least, -math.inf)
    return scores


def _check_options(temperature: float, top_k: int | None, top_p: float | None, max_tokens: int) -> None:
    at_least_one(max_tokens, "max_tokens")
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature: expected more than 0, found {temperature!r}: without noise all texts of a class are one; "
            "write temperature=1.0"
        )
    if top_k is not None:
        at_least_one(top_k, "top_k")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: expected a probability in (0, 1], found {top_p!r}; write top_p=0.9")


def _as_tokens(eos: int | Collection[int] | None, device: torch.device) -> Tensor:
    several = [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
    return torch.tensor(several, dtype=torch.int64, device=device)


def _fill(eos: int | Collection[int] | None) -> int:
    return eos if isinstance(eos, int) else next(iter(eos or ()), 0)


@lru_cache
def _quantiles(device: torch.device) -> Tensor:
    """The table, computed once and in Python, so that it is the same on every device."""
    if device.type != "cpu":
        return _quantiles(torch.device("cpu")).to(device)
    return torch.tensor([-math.log(-math.log((2 * i + 1) / 131072)) for i in range(65536)], dtype=torch.float32)
