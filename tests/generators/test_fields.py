"""Samples of several fields: through a mix, as the dict or the tuple that a dataset yields."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import onthefly
from onthefly.data.spec import Field, Spec
from onthefly.generators import FrozenGenerator, with_fields
from onthefly.testing import CountingGenerator
from tests import laws

CLASSES = ("cat", "dog", "eel")
COUNTS = (20, 6, 3)


class Captions(FrozenGenerator):
    """A sentence about the class, one of two."""

    def __init__(self, classes: Any = CLASSES) -> None:
        self.spec = Spec({"caption": Field((), "str")}, CountingGenerator((1, 8, 8), classes).classes)

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> list[str]:
        pairs = zip(labels.tolist(), keys.tolist(), strict=True)
        return [("a {}", "one more {}")[key % 2].format(self.classes.name(label)) for label, key in pairs]


class Pictures(Dataset[Any]):
    """Real images with their captions."""

    classes = CLASSES

    def __init__(self, form: str) -> None:
        self.form, self.targets = form, [label for label, count in enumerate(COUNTS) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        label = self.targets[row]
        image, caption = torch.full((1, 8, 8), row / 100), f"the {CLASSES[label]} number {row}"
        if self.form == "dict":
            return {"image": image, "caption": caption, "label": label}
        return image, caption, label


def generator() -> FrozenGenerator:
    return with_fields(image=CountingGenerator((1, 8, 8), CLASSES), caption=Captions())


def as_tuple(sample: Any, label: Tensor) -> Any:
    return sample["image"], sample["caption"], label


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("form", ["dict", "tuple"])
def test_a_mix_delivers_what_the_dataset_yields(form: str, workers: int) -> None:
    made = generator() if form == "dict" else generator().map(as_tuple)
    plain = DataLoader(Pictures(form), batch_size=6, shuffle=True, num_workers=workers)
    loader = onthefly.wrap(plain, made, balance="uniform", ratio=0.5, tag=True, device="cpu")
    texts = 0
    for batch in loader:
        image, caption, label, info = batch.values() if form == "dict" else batch
        assert type(batch) is (dict if form == "dict" else list)
        assert image.shape == (len(label), 1, 8, 8)
        for place, text in enumerate(caption):
            name, is_synthetic = CLASSES[label[place]], bool(info.synthetic[place])
            assert text.startswith(("a ", "one more ") if is_synthetic else "the ")
            assert name in text
            texts += is_synthetic
    assert texts > 5


def test_fields_are_of_one_key() -> None:
    both, labels, keys = generator(), torch.tensor([0, 1, 2, 1]), torch.tensor([5, 6, 7, 8])
    together = both.batch(labels, keys)
    alone = both.batch(labels[2:3], keys[2:3])
    assert list(together) == ["image", "caption", "label"]
    assert torch.equal(alone["image"][0], together["image"][2])
    assert alone["caption"][0] == together["caption"][2] == "one more eel"


def test_hermetic() -> None:
    def make() -> Any:
        plain = DataLoader(Pictures("tuple"), batch_size=6, shuffle=True)
        return onthefly.wrap(plain, generator().map(as_tuple), balance="uniform", ratio=0.5, device="cpu")

    laws.law_6_hermetic(make, generator())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: with_fields(caption=Captions()), ("two fields or more", "['caption']")),
        (lambda: with_fields(image=Captions(), label=Captions()), ("none of them called label",)),
        (
            lambda: with_fields(image=CountingGenerator((1, 8, 8), ("cat", "cow")), caption=Captions()),
            ("same classes", "cow", "of caption", "relabel"),
        ),
    ],
)
def test_bad_input(call: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(call, "with_fields: expected", "found", *words)
