"""The seam: what comes of `sample`, `map` and `relabel`."""

from typing import Any

import pytest
import torch
from torch import Tensor

from onthefly.data.spec import Spec
from onthefly.generators import FrozenGenerator
from onthefly.testing import CountingGenerator, FaultyGenerator
from tests.conftest import OF_IMAGES

SHAPE = (1, 4, 4)
LABELS, KEYS = torch.tensor([0, 2, 1]), torch.tensor([5, 6, 7])


def counting(classes: Any = 3) -> CountingGenerator:
    return CountingGenerator(SHAPE, classes)


def class_of(images: Tensor) -> list[int]:
    """The class that the fake generator wrote into its images."""
    return (images[:, 0, 0, 0] * 3).round().int().tolist()


class Pairs(FrozenGenerator):
    """A generator that makes whole samples itself."""

    spec = Spec.image(SHAPE, 3)

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return {"image": torch.zeros(len(labels), *SHAPE), "target": (labels, keys)}


def test_a_tensor_is_delivered_with_its_labels() -> None:
    images, labels = counting().batch(LABELS, KEYS)
    assert class_of(images) == labels.tolist() == [0, 2, 1]
    items = counting().items(LABELS, KEYS)
    assert [item[1].item() for item in items] == [0, 2, 1]
    assert torch.equal(items[1][0], images[1])


def test_anything_else_is_delivered_as_it_is() -> None:
    batch = Pairs().batch(LABELS, KEYS)
    assert batch["target"] == [LABELS, KEYS]
    assert Pairs().items(LABELS, KEYS)[2]["target"] == [torch.tensor(1), torch.tensor(7)]


def test_map_makes_any_structure_of_a_sample_and_its_label() -> None:
    mapped = counting().map(lambda image, label: {"x": image * 2, "y": label, "name": "abc"[int(label)]})
    batch = mapped.batch(LABELS, KEYS)
    assert batch["name"] == ["a", "c", "b"]
    assert torch.equal(batch["x"], counting().sample(LABELS, KEYS) * 2)
    assert batch["y"].tolist() == [0, 2, 1]


def test_map_of_a_map_gets_the_label_too() -> None:
    twice = counting().map(lambda image, label: image + 1).map(lambda image, label: (image + label, label))
    images, labels = twice.batch(LABELS, KEYS)
    assert torch.allclose(images, counting().sample(LABELS, KEYS) + 1 + LABELS[:, None, None, None])
    assert labels.tolist() == [0, 2, 1]


def test_mapped_samples_may_vary_in_shape_where_they_stay_a_list() -> None:
    mapped = counting().map(lambda image, label: image[:, : int(label) + 1])
    assert [item.shape[1] for item in mapped.items(LABELS, KEYS)] == [1, 3, 2]


@pytest.mark.parametrize(
    ("table", "classes", "expected"),
    [
        ({"eel": "cat", "cat": "eel", "dog": "dog"}, ("cat", "dog", "eel"), [2, 0, 1]),
        ({0: 2, 1: 1, 2: 0}, None, [2, 0, 1]),
        ({"a": "cat", "b": "cat", "c": "cat"}, None, [0, 0, 0]),
    ],
)
def test_relabelled_classes(table: Any, classes: Any, expected: list[int]) -> None:
    gen = counting(("cat", "dog", "eel")).relabel(table, classes)
    images, labels = gen.batch(LABELS, KEYS)
    assert class_of(images) == expected
    assert labels.tolist() == [0, 2, 1]
    assert gen.makes.all()


def test_one_class_made_of_several_by_the_key_alone() -> None:
    gen = counting().relabel({0: (0, 1), 1: 2})
    keys = torch.arange(2000)
    made = class_of(gen.sample(torch.zeros(2000, dtype=torch.int64), keys))
    assert made.count(0) + made.count(1) == 2000
    assert abs(made.count(0) - 1000) < 120
    assert class_of(gen.sample(torch.zeros(1, dtype=torch.int64), keys[7:8])) == made[7:8]


def test_what_a_table_leaves_out_cannot_be_made() -> None:
    gen = counting(("cat", "dog", "eel")).relabel({"cat": "cat"}, ("cat", "cow"))
    assert gen.makes.tolist() == [True, False]
    assert gen.map(lambda image, label: image).makes.tolist() == [True, False]


def test_relabelling_a_mapped_generator_keeps_the_map() -> None:
    gen = counting().map(lambda image, label: (image, label * 10)).relabel({0: 2})
    images, labels = gen.batch(torch.tensor([0]), torch.tensor([1]))
    assert class_of(images) == [2]
    assert labels.tolist() == [0]


def test_no_gradient_and_grad_mode_as_before() -> None:
    class Trainable(CountingGenerator):
        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            return super().sample(labels, keys) * torch.ones((), requires_grad=True)

    with torch.enable_grad():
        for gen in (Trainable(SHAPE, 3), Trainable(SHAPE, 3).map(lambda image, label: image)):
            made = gen.batch(LABELS, KEYS)
            assert not (made[0] if isinstance(made, list) else made).requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", ("finite", "nan")),
        ("range", ("[0, 1]", "from 2 to")),
        ("shape", ("float32[1, 4, 4]", "float32[1, 4, 3]")),
        ("count", ("3 samples", "found 2")),
    ],
)
def test_faulty_samples_are_refused(fault: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: FaultyGenerator(counting(), fault).batch(LABELS, KEYS), "generator: expected", *words)
    mapped = FaultyGenerator(counting(), fault).map(lambda image, label: image)
    refused(lambda: mapped.batch(LABELS, KEYS), "generator: expected", *words)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"cat": "cow"}, ("relabel", "'cow'")),
        ({"cat": 9}, ("relabel", "9")),
        ({"cat": 0, 1: 0}, ("relabel", "names or of numbers", "classes=")),
    ],
)
def test_bad_tables(table: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: counting(("cat", "dog", "eel")).relabel(table), *words)


class Wrong(FrozenGenerator):
    """Makes whole samples, of which something is wrong."""

    spec = Spec.image(SHAPE, 3)

    def __init__(self, image: Any) -> None:
        self.image = image

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Any:
        return {"image": self.image, "label": labels}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(2, *SHAPE), ("3 samples", "found 2 in ['image']")),
        (torch.tensor(0.0), ("3 samples", "no rows in ['image']")),
        (3, ("3 samples", "no rows in ['image']")),
        (torch.full((3, *SHAPE), torch.nan), ("finite values", "NaN")),
    ],
)
def test_whole_samples_are_checked_too(image: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: Wrong(image).batch(LABELS, KEYS), "generator: expected", *words)


def test_what_a_function_makes_of_samples_is_checked_too(refused: Any) -> None:
    gone = counting().map(lambda image, label: (image / 0, label))
    refused(lambda: gone.batch(LABELS, KEYS), "finite values", "map")
    refused(lambda: gone.items(LABELS, KEYS), "finite values", "map")


def test_several_classes_are_chosen_among_in_one_order() -> None:
    gen = counting(("cat", "car", "bus"))
    keys = torch.arange(20)
    drawn = [
        class_of(gen.relabel({"vehicle": several}).sample(torch.zeros(20, dtype=torch.int64), keys))
        for several in (("car", "bus"), {"bus", "car"}, range(1, 3))
    ]
    assert drawn[0] == drawn[1] == drawn[2]
    assert set(drawn[0]) == {1, 2}


def test_a_class_that_the_table_leaves_out_is_not_made(refused: Any) -> None:
    gen = counting().relabel({1: 2}, classes=("x", "y"))
    assert gen.makes.tolist() == [False, True]
    assert gen.relabel({"a": "x", "b": ("x", "y")}).makes.tolist() == [False, True]
    refused(lambda: gen.sample(torch.tensor([1, 0]), torch.tensor([0, 1])), "relabel: expected", "found x")


@pytest.mark.parametrize(
    ("labels", "keys", "words"),
    [
        (torch.tensor([0.0]), torch.tensor([1]), ("labels int64[N]", "float32[1]")),
        (torch.tensor([0]), torch.tensor([1.0]), ("keys int64[N]", "float32[1]")),
        (torch.tensor([[0]]), torch.tensor([[1]]), ("int64[N]", "int64[1, 1]")),
        (torch.tensor([0, 1]), torch.tensor([1]), ("int64[2]", "int64[1]")),
        (torch.tensor([0], device="meta"), torch.tensor([1]), ("on one device", "on meta", "on cpu")),
        (torch.tensor([4]), torch.tensor([1]), ("labels from 0 to 3", "found 4")),
        (torch.tensor([-1]), torch.tensor([1]), ("labels from 0 to 3", "found -1")),
        (torch.tensor([0]), torch.tensor([-1]), ("keys from 0 on", "found -1")),
    ],
)
def test_what_no_sample_can_be_made_for(
    labels: Any, keys: Any, words: tuple[str, ...], generators: dict[str, Any], refused: Any
) -> None:
    for family in OF_IMAGES:
        refused(lambda family=family: generators[family].sample(labels, keys), "sample: expected", *words)
