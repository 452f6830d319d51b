"""Pages of texts, whatever way a generator yields them."""

from typing import Any

import pytest
from torch import Tensor

from onthefly.data.spec import Field, Spec
from onthefly.generators import FrozenGenerator
from onthefly.generators.texts import text_page
from onthefly.mixing.classes import Classes
from onthefly.testing import CountingGenerator


class Greetings(FrozenGenerator):
    """Texts alone, without their labels."""

    spec = Spec.text(("hello", "goodbye"))

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return [f"{self.classes.name(label)} {key}" for label, key in zip(labels.tolist(), keys.tolist(), strict=True)]


class Tokens(FrozenGenerator):
    spec = Spec({"tokens": Field((5,), "int64")}, Classes.of(2))

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        return keys[:, None].repeat(1, 5)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_a_generator_may_yield_texts_alone(each: int) -> None:
    page = text_page(Greetings(), "page.png", each=each).read_text()
    found = [line.strip() for line in page.split("\n") if line.strip() and "real" not in line]
    keys = range(2 * each)
    hello, goodbye = [f"hello {key}" for key in keys[:each]], [f"goodbye {key}" for key in keys[each:]]
    assert found == ["hello", *hello, "goodbye", *goodbye]


def test_what_is_no_text_is_refused(refused: Any) -> None:
    refused(lambda: text_page(Tokens(), "page.txt"), "text_page: expected", "texts", "Tensor", "output='text'")
    images = CountingGenerator((1, 4, 4), 2)
    refused(lambda: text_page(images, "page.txt"), "text_page: expected", "texts", "Tensor")
    named = Greetings().map(lambda text, label: {"text": text, "label": label})
    refused(lambda: text_page(named, "page.txt"), "text_page: expected", "texts", "dict")
