"""Generators that write texts: a language model, frozen, whose every text is its class and key."""

import copy
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from onthefly.data.spec import Field, Spec
from onthefly.generators.asked import Asked
from onthefly.generators.decoding import decode_tokens
from onthefly.generators.family import Parts
from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.running import Compile, as_dtype, in_pieces
from onthefly.generators.sound import check_asked
from onthefly.generators.text import Text
from onthefly.mixing.given import at_least_one

_OUTPUTS = ("text", "tokens")
_USUAL = 128  # texts at a time, where nobody says


@dataclass(frozen=True)
class Writing:
    """How texts are made: options of ``load``.

    Attributes:
        output: "text" for strings; "tokens" for what they are made of, ``int64[N, max_tokens]``, filled up with the
            token that ends a text.
        temperature: what logits are divided by: less than 1 for likelier texts, which are more alike.
        top_p: only the likeliest tokens may be next that together have at least this probability: 0.9 leaves out the
            unlikeliest.
        top_k: only so many tokens, the likeliest, may be next; None for any.
        max_tokens: where a text is broken off; None for as long as those it was trained on.
    """

    output: str = "text"
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    max_tokens: int | None = None


class LanguageGenerator(NetworkGenerator):
    """A language model, frozen where it stands.

    ``sample`` yields what ``default_collate`` makes of samples ``(text, label)``: ``[texts, labels]``; or, of tokens,
    the tensor alone, with which the loader delivers the labels.

    Args:
        parts: the network, and the coding of its texts.
        writing: how texts are made.

    Attributes:
        coding: between texts and tokens; ``coding.decode(tokens)`` are texts.

    Raises:
        ValueError: for options outside their range.
    """

    batch_size: int | None = _USUAL

    def __init__(self, parts: Parts, writing: Writing) -> None:
        self.coding, self.writing = _text(parts), writing
        self.max_tokens = _length(writing.max_tokens, parts.target.shape[0])
        super().__init__(parts.network, _spec(parts, writing, self.max_tokens), card=parts.card)
        _check_output(writing.output)
        none = torch.empty(0, dtype=torch.int64, device=self.where)
        self._written(none, none)  # options out of range are refused now, not with the first batch

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        check_asked(labels, keys, self.classes)
        size = self.batch_size or _USUAL
        tokens = in_pieces(self._written, (labels, keys), size, padded=False) if len(keys) else self._none(keys)
        return self._given(tokens)

    def at_once(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return self._given(self._written(labels, keys))

    def running(
        self,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype | str | None = None,
        compile: Compile = False,  # noqa: A002 - torch's own word for it
    ) -> Self:
        """The same generator, run in another way.

        Args:
            batch_size: the most texts that are written at a time; None for 128.
            dtype: float32 alone: in fewer digits another token would often be the likeliest.
            compile: False alone: what is computed grows with each token.

        Raises:
            ValueError: for anything else.
        """
        if as_dtype(dtype) != torch.float32:
            raise ValueError(
                "dtype: expected 'float32' for texts, of which bfloat16 would make others, found 'bfloat16'; leave "
                "dtype= out"
            )
        if compile is not False:
            raise ValueError(
                f"compile: expected False for texts, which grow token by token, found {compile!r}; leave it out"
            )
        again = copy.copy(self)
        again.batch_size = _USUAL if batch_size is None else at_least_one(batch_size, "batch_size")
        return again

    def _written(self, labels: Tensor, keys: Tensor) -> Tensor:
        conditions = self.attributes.draw(keys) if self.attributes.size else None
        return decode_tokens(
            Asked(self.network, labels, conditions, self.coding.end),
            keys.new_full((len(keys), 1), self.coding.end),
            keys,
            temperature=self.writing.temperature,
            top_k=self.writing.top_k,
            top_p=None if self.writing.top_p == 1.0 else self.writing.top_p,
            max_tokens=self.max_tokens,
            eos=self.coding.end,
        )

    def _none(self, keys: Tensor) -> Tensor:
        return keys.new_empty((0, self.max_tokens))

    def _given(self, tokens: Tensor) -> Any:
        return tokens if self.writing.output == "tokens" else self.coding.decode(tokens)


def _text(parts: Parts) -> Text:
    if not isinstance(parts.coding, Text):
        raise ValueError(f"language: expected texts, found samples coded as {parts.coding.kind}; choose another family")
    return parts.coding


def _spec(parts: Parts, writing: Writing, length: int) -> Spec:
    if writing.output == "text":
        return parts.spec
    tokens = Field((length,), "int64", (0.0, float(parts.target.tokens - 1)))
    return Spec({"tokens": tokens}, parts.spec.classes, parts.spec.conditions)


def _length(asked: int | None, context: int) -> int:
    if asked is not None and at_least_one(asked, "max_tokens") > context:
        raise ValueError(
            f"max_tokens: expected at most {context}, the longest text that it was trained on, found {asked}; leave "
            "it out"
        )
    return context if asked is None else asked


def _check_output(output: str) -> None:
    if output not in _OUTPUTS:
        raise ValueError(
            f"output: expected {' or '.join(map(repr, _OUTPUTS))}, found {output!r}; leave it out for 'text'"
        )
