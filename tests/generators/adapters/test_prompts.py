"""What is said for a class."""

from typing import Any

import pytest
import torch

from onthefly.generators.adapters.prompts import Prompts


def test_the_key_chooses_among_several() -> None:
    prompts = Prompts({"cat": ("a", "b", "c"), "dog": "d"})
    keys = torch.arange(300)
    chosen = prompts.of_samples(keys % 2, keys)
    assert (chosen[1::2] == 3).all()
    assert chosen[::2].bincount(minlength=3).min() > 30
    assert torch.equal(prompts.of_samples(torch.tensor([0]), keys[4:5]), chosen[4:5])


def test_numbers_and_templates() -> None:
    assert Prompts({1: "b", 0: "a"}).texts == ["a", "b"]
    assert Prompts({"dog": "d", "cat": "c"}, ("cat", "dog")).texts == ["c", "d"]
    assert Prompts("a {}", ("cat", "dog")).classes.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("prompts", "classes", "words"),
    [
        ({"cat": "a"}, ("cat", "dog", "eel"), ("prompts", "found none for dog, eel", "add them")),
        ({0: "a", 2: "b"}, None, ("prompts", "found none for 1")),
        ({"cat": "a", "cow": "b"}, ("cat", "dog"), ("prompts", "'cow'", "cat, dog")),
        ({"cat": []}, None, ("prompts", "'cat'", "[]")),
        ({"cat": 3}, None, ("prompts", "'cat'", "3")),
        ({}, None, ("prompts", "found none", "{'cat': 'a photo of a cat', ...}")),
        ("a photo", ("cat",), ("prompts", "{}", "'a photo'")),
        ("a {}", None, ("classes", "'a {}'", "None", "classes=('cat', 'dog')")),
        (["a {}"], 3, ("classes", "'a {}'", "3")),
        (7, ("cat",), ("prompts", "7")),
    ],
)
def test_bad_input(prompts: Any, classes: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: Prompts(prompts, classes), *words)
