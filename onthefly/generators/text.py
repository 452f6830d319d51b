"""Texts as tokens: the pieces of words that are frequent in the texts a language model is trained on.

Byte-pair encoding (Sennrich, Haddow and Birch, ACL 2016) of bytes (Radford et al., "Language models are unsupervised
multitask learners", 2019), by the library ``tokenizers``. The 256 bytes are tokens themselves, so that any text can be
written in them, and no text is ever "unknown".
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from onthefly.data.spec import Field
from onthefly.extras import require
from onthefly.generators.coding import Coding
from onthefly.mixing.given import at_least_one

_LEAST = 2  # times that a pair must occur to become a token
_SHOWN = 40  # characters of a text in a message
_THREADS = "TOKENIZERS_PARALLELISM"  # where the library looks whether it may start threads


class Text(Coding):
    """Texts: whole numbers, one for each token, and a last one that ends a text and fills the rest.

    Args:
        field: of a text.
        merges: pairs of tokens that become one, in order, each "left right", as GPT-2 spells bytes.
        context: the most tokens in a text, its end among them.

    Attributes:
        tokens: how many there are.
        end: the one that ends a text, and that nothing in a text can be.

    >>> greetings = ["hello world", "hello there", "hello, hello"]
    >>> coding = Text.fit(Field((), "str"), greetings, None, vocabulary=260)
    >>> coding.merges
    ('h e', 'l l', 'he ll', 'hell o')
    >>> coding.encode(["hello"])
    tensor([[259, 260, 260, 260, 260, 260, 260, 260]])
    >>> coding.decode(coding.encode(greetings)) == greetings
    True
    """

    kind = "text"
    sees_all = True
    options = ("context", "vocabulary")
    bounded = False

    def __init__(self, field: Field, merges: Sequence[str], context: int) -> None:
        self.field, self.merges, self.shape = field, tuple(merges), (context,)
        self._tokenizer = _tokenizer(self.merges)
        self.end = int(self._tokenizer.get_vocab_size())
        self.tokens = self.end + 1

    @classmethod
    def fit(
        cls, field: Field, samples: Sequence[str], dataset: Any, *, context: int | None = None, vocabulary: int = 1000
    ) -> Self:
        """The tokens that suit some texts.

        Args:
            field: of a text.
            samples: all texts, in the order of the dataset.
            dataset: that they are of.
            context: as above; None for what the longest text needs.
            vocabulary: the most tokens to learn, of which 256 are the bytes.

        Raises:
            ValueError: for a text longer than ``context``, or one that isn't Unicode, with its row.
        """
        _check_unicode(samples)
        coding = cls(field, _learnt(samples, vocabulary), 1)
        lengths = [len(one) + 1 for one in coding._pieces(samples)]
        longest = max(lengths)
        if context is not None and longest > context:
            row = next(row for row, length in enumerate(lengths) if length > context)
            raise ValueError(
                f"text: expected at most {context} tokens with the end, found {lengths[row]} in row {row}, "
                f"{_short(samples[row])}; write config={{'context': {longest}}}, which the longest one needs, or leave "
                "it out"
            )
        coding.shape = (longest if context is None else at_least_one(context, "context"),)
        return coding

    def encode(self, samples: Sequence[str]) -> Tensor:
        """N texts to ``int64[N, context]``.

        Raises:
            ValueError: for a text that is longer.
        """
        (context,) = self.shape
        encoded = torch.full((len(samples), context), self.end)
        for row, pieces in enumerate(self._pieces(samples)):
            if len(pieces) + 1 > context:
                raise ValueError(
                    f"text: expected at most {context} tokens with the end, found {len(pieces) + 1} in "
                    f"{_short(samples[row])}; shorten it, or train with config={{'context': {len(pieces) + 1}}}"
                )
            encoded[row, : len(pieces)] = torch.tensor(pieces, dtype=torch.int64)
        return encoded

    def decode(self, encoded: Tensor) -> list[str]:
        """``int64[N, L]`` to N texts, each up to its first end. Bytes that are no UTF-8 become U+FFFD."""
        rows = (_until(row, self.end) for row in encoded.tolist())
        return [self._tokenizer.decode(row, skip_special_tokens=False) for row in rows]

    def to_json(self) -> dict[str, Any]:
        return {"merges": list(self.merges), "context": self.shape[0]}

    @classmethod
    def from_json(cls, field: Field, data: Mapping[str, Any]) -> Self:
        return cls(field, data["merges"], at_least_one(data["context"], "context"))

    def _pieces(self, texts: Sequence[str]) -> Iterator[list[int]]:
        return (self._tokenizer.encode(text).ids for text in texts)


def _tokenizer(merges: Sequence[str]) -> Any:
    """The library's, with tokens numbered as they come: the bytes, and what the merges make of them."""
    library = require("tokenizers", extra="language")
    numbers = {token: number for number, token in enumerate(_bytes(library))}
    pairs = [_pair(merge, numbers) for merge in merges]
    made = library.Tokenizer(library.models.BPE(vocab=numbers, merges=pairs))
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    return made


def _learnt(texts: Sequence[str], vocabulary: int) -> list[str]:
    library = require("tokenizers", extra="language")
    alphabet = _bytes(library)
    if vocabulary < len(alphabet):
        raise ValueError(
            f"vocabulary: expected at least the {len(alphabet)} bytes, found {vocabulary}; write "
            "config={'vocabulary': 1000}"
        )
    learner = library.trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=_LEAST, initial_alphabet=alphabet, show_progress=False
    )
    made = _tokenizer(())
    with _one_thread():
        made.train_from_iterator(texts, learner)
    return [" ".join(pair) for pair in json.loads(made.to_str())["model"]["merges"]]


def _bytes(library: Any) -> list[str]:
    return sorted(library.pre_tokenizers.ByteLevel.alphabet())


def _pair(merge: str, numbers: dict[str, int]) -> tuple[str, str]:
    """The two tokens that a merge is of; what they become is numbered too."""
    left, _, right = merge.partition(" ")
    if not {left, right} <= numbers.keys():
        raise ValueError(
            f"text: expected merges of tokens that there are by then, found {merge!r}; fit the coding again"
        )
    numbers.setdefault(left + right, len(numbers))
    return left, right


@contextmanager
def _one_thread() -> Iterator[None]:
    """Without threads of the library's: once it has had some, it warns whenever the process is forked, as by a
    DataLoader."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def _check_unicode(texts: Sequence[str]) -> None:
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text: expected Unicode, found {_short(text)} in row {row} ({error.reason}); "
                "read the file with errors='replace'"
            ) from error


def _until(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
