"""Texts as tokens: any text comes back as it was, and what doesn't fit is refused by its row."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onthefly.data.spec import Field
from onthefly.generators import codings
from onthefly.generators.text import Text

pytest.importorskip("tokenizers")

FIELD = Field((), "str")
TEXTS = ["call me later", "call now to win", "win a prize now, call now", "are you there?", ""]
KNOWN = Text.fit(FIELD, TEXTS, None, vocabulary=280)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), max_size=4))
def test_any_text_comes_back_as_it_was(texts: list[str]) -> None:
    most = max([len(text.encode()) for text in texts], default=0) + 1
    coding = Text(FIELD, KNOWN.merges, most)
    encoded = coding.encode(texts)
    assert encoded.shape == (len(texts), most)
    assert not encoded.numel() or (encoded.min() >= 0 and encoded.max() < coding.tokens)
    assert coding.decode(encoded) == texts


def test_a_card_rebuilds_it() -> None:
    again = codings.from_json(FIELD, json.loads(json.dumps(codings.to_json(KNOWN))))
    assert again.encode(TEXTS).equal(KNOWN.encode(TEXTS))
    assert (again.shape, again.tokens) == (KNOWN.shape, KNOWN.tokens)


@pytest.mark.parametrize("merge", ["a bc", "ab", "", "a b c", "a \u4e2d"])
def test_a_card_with_other_merges_is_refused(merge: str, refused: Any) -> None:
    refused(lambda: Text(FIELD, [merge], 8), "merges", repr(merge), "fit the coding again")


@pytest.mark.parametrize("context", ["x", 0, -1, 2.5, None])
def test_a_card_without_a_length_is_refused(context: Any, refused: Any) -> None:
    data = KNOWN.to_json() | {"context": context}
    refused(lambda: Text.from_json(FIELD, data), "context: expected a whole number", repr(context))


def test_frequent_pieces_are_one_token_and_equal_texts_give_equal_tokens() -> None:
    assert KNOWN.tokens <= 281
    assert (KNOWN.encode(["call now"])[0] != KNOWN.end).sum() < 5
    assert Text.fit(FIELD, TEXTS, None, vocabulary=280).merges == KNOWN.merges


def test_the_context_is_what_the_longest_text_needs() -> None:
    longest = max((KNOWN.encode(TEXTS) != KNOWN.end).sum(dim=1).tolist())
    assert KNOWN.shape == (longest + 1,)


def test_what_nobody_wrote_ends_where_it_ends() -> None:
    tokens = KNOWN.encode(["win"])
    tokens[0, -1] = 0  # after the end
    assert KNOWN.decode(tokens) == ["win"]
    assert KNOWN.decode(tokens.new_tensor([[128, 128]])) == ["\ufffd\ufffd"]  # halves of nothing


def test_a_text_that_is_too_long_is_refused_by_its_row(refused: Any) -> None:
    needs = KNOWN.shape[0]
    refused(
        lambda: Text.fit(FIELD, TEXTS, None, vocabulary=280, context=needs - 1),
        f"at most {needs - 1} tokens",
        "row 2",
        "'win a prize now, call now'",
        f"config={{'context': {needs}}}",
    )
    assert Text.fit(FIELD, TEXTS, None, vocabulary=280, context=needs + 3).shape == (needs + 3,)
    refused(lambda: KNOWN.encode(["x" * 100]), f"at most {needs} tokens", "found 101", "config={'context': 101}")


def test_what_is_no_text_is_refused(refused: Any) -> None:
    refused(lambda: Text.fit(FIELD, ["fine", "half \ud83d"], None), "Unicode", "row 1", "errors='replace'")
    refused(lambda: Text.fit(FIELD, TEXTS, None, vocabulary=100), "256 bytes", "100", "{'vocabulary': 1000}")


def test_no_threads_are_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library warns when a process is forked, as a DataLoader's is, in which it has had threads."""
    seen = []

    class Watched(list[str]):
        def __iter__(self) -> Iterator[str]:
            seen.append(os.environ.get("TOKENIZERS_PARALLELISM"))
            return super().__iter__()

    for before in (None, "true"):
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
        if before is not None:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
        Text.fit(FIELD, Watched(TEXTS), None)
        assert os.environ.get("TOKENIZERS_PARALLELISM") == before
    assert "false" in seen
