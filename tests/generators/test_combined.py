"""Several generators as one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import MixLoader
from onthefly.generators import save
from onthefly.generators.combined import CombinedGenerator
from onthefly.mixing.classes import Classes
from onthefly.schedule import Cosine, Fill, Linear
from onthefly.testing import CountingGenerator
from tests import laws
from tests.test_laws import maker

SHAPE = (1, 8, 8)
LABELS, KEYS = torch.tensor([2, 0, 1, 2, 0]), torch.arange(5) + 100


class Shade(CountingGenerator):
    """Makes images of one shade each, and knows which of them it was asked for."""

    def __init__(self, shade: float, classes: Any = 4) -> None:
        super().__init__(SHAPE, classes)
        self.shade, self.labels = shade, []

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        self.labels += labels.tolist()
        return super().sample(labels, keys) * 0 + self.shade


class Darker(CountingGenerator):
    """Makes a darker image of a real one, whichever form it comes in."""

    wants_source = True

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        super().sample(labels, keys)
        assert len(sources[0] if isinstance(sources[0], Tensor) else sources) == len(keys)
        images = sources[0] if isinstance(sources[0], Tensor) else torch.stack([source[0] for source in sources])
        return images / 2


def shades(samples: Tensor) -> list[float]:
    return [round(float(sample.mean()), 3) for sample in samples]


def test_each_slot_is_asked_of_its_generator_alone_and_once() -> None:
    one, two = Shade(0.1), Shade(0.2)
    both = CombinedGenerator({0: one, 2: one, 1: two}, 4)
    assert both.makes.tolist() == [True, True, True, False]
    assert shades(both.sample(LABELS, KEYS)) == [0.1, 0.1, 0.2, 0.1, 0.1]
    assert (one.labels, one.keys) == ([2, 0, 2, 0], [100, 101, 103, 104])
    assert (two.labels, two.keys) == ([1], [102])
    images, labels = both.batch(LABELS, KEYS)
    assert shades(images) == [0.1, 0.1, 0.2, 0.1, 0.1]
    assert labels.tolist() == LABELS.tolist()
    items = both.items(LABELS, KEYS)
    assert [(round(float(image.mean()), 3), int(label)) for image, label in items] == [
        (0.1, 2),
        (0.1, 0),
        (0.2, 1),
        (0.1, 2),
        (0.1, 0),
    ]
    assert (one.calls, two.calls) == (3, 3)


def test_a_class_is_found_by_name_or_number_or_is_the_only_one(refused: Any) -> None:
    known = Classes.of(("cat", "dog", "eel"))
    by_name, by_number, only = Shade(0.1, ("eel", "cat")), Shade(0.2, 3), Shade(0.3, 1)
    both = CombinedGenerator({"cat": by_name, 1: by_number, "eel": only}, known)
    both.sample(torch.arange(3), KEYS[:3])
    assert (by_name.labels, by_number.labels, only.labels) == ([1], [1], [0])
    words = ("has class dog", "classes cow, cat", "generator.relabel({'dog': its class})")
    refused(lambda: CombinedGenerator({"dog": Shade(0.1, ("cow", "cat"))}, known), *words)
    refused(lambda: CombinedGenerator({"dog": Shade(0.1, 2)}, known), "has class dog", "2 unnamed classes")


@pytest.mark.parametrize("table", [{}, {"cat": Shade(0.1, 2), 0: Shade(0.1, 2)}])
def test_each_class_is_given_once(table: Any, refused: Any) -> None:
    refused(lambda: CombinedGenerator(table, ("cat", "dog")), "{class: generator}", "each class once")


def test_unknown_classes_and_unlike_samples_are_refused(refused: Any) -> None:
    refused(lambda: CombinedGenerator({"cow": Shade(0.1, 2)}, ("cat", "dog")), "unknown class 'cow'")
    other = CountingGenerator((1, 9, 9), 4)
    refused(lambda: CombinedGenerator({0: Shade(0.1), 1: other}, 4), "alike", "[1, 8, 8]", "[1, 9, 9]")


def test_a_class_that_nobody_makes_is_refused(refused: Any) -> None:
    both = CombinedGenerator({0: Shade(0.1), 1: Shade(0.2)}, 4)
    refused(lambda: both.sample(torch.tensor([3]), KEYS[:1]), "one of the generators makes", "found 3")


def test_mapped_generators_of_any_structure() -> None:
    def as_dict(image: Tensor, label: Tensor) -> Any:
        return {"x": image, "name": f"class {int(label)}", "y": label}

    one, two = Shade(0.1).map(as_dict), Shade(0.2).map(as_dict)
    both = CombinedGenerator({0: one, 1: two, 2: one}, 4)
    for batch in (both.batch(LABELS, KEYS), both.sample(LABELS, KEYS), default_collate(both.items(LABELS, KEYS))):
        assert batch["y"].tolist() == LABELS.tolist()
        assert list(batch["name"]) == [f"class {label}" for label in LABELS.tolist()]
        assert shades(batch["x"]) == [0.1, 0.1, 0.2, 0.1, 0.1]


def test_each_class_has_the_reuse_of_its_generator() -> None:
    both = CombinedGenerator({0: Shade(0.1).reused(4), 1: Shade(0.2), 3: Shade(0.3).reused(2, cache_bytes=5)}, 4)
    assert both.uses.tolist() == [4, 1, 1, 2]
    assert both.cache_bytes == 1 << 30


def wrapped(images: TensorDataset, table: Any, collate: Any = None, **options: Any) -> MixLoader[Any]:
    plain = DataLoader(images, 8, shuffle=True, collate_fn=collate)
    return onthefly.wrap(plain, table, **{"device": "cpu", "tag": True, **options})


def own_collate(samples: list[Any]) -> Any:
    return default_collate(samples)


COLLATES = pytest.mark.parametrize("collate", [None, own_collate])


@COLLATES
def test_through_wrap_each_class_is_made_by_its_own(images: TensorDataset, collate: Any) -> None:
    one, two = Shade(0.1), Shade(0.2)
    with pytest.warns(UserWarning, match="can't make 3"):
        loader = wrapped(images, {0: one, 1: two, 2: one}, collate, ratio=0.5)
    for x, y, info in loader:
        fakes = info.synthetic
        assert shades(x[fakes]) == [0.2 if label == 1 else 0.1 for label in y[fakes].tolist()]
    assert loader.stats().synthetic.tolist()[3] == 0
    assert loader.stats().synthetic[:3].all()


@COLLATES
def test_checkpoints_beside_objects(images: TensorDataset, generators: dict[str, Any], collate: Any) -> None:
    path = save(generators["vae"], "vae.safetensors")
    shade = Shade(0.2)
    loader = wrapped(images, {0: path, 1: shade, 2: str(path), 3: shade}, collate, ratio=0.5)
    for x, y, info in loader:
        fakes = info.synthetic
        expected = generators["vae"].sample(info.label[fakes], info.key[fakes])
        by_path = y[fakes] % 2 == 0
        assert torch.allclose(x[fakes][by_path], expected[by_path], atol=1e-5)
        assert set(shades(x[fakes][~by_path])) <= {0.2}


@COLLATES
def test_only_those_that_want_sources_get_them(images: TensorDataset, collate: Any) -> None:
    table = {0: Shade(0.1), 1: Darker(SHAPE, 4), 2: Shade(0.2), 3: Darker(SHAPE, 4)}
    for x, y, info in wrapped(images, table, collate, ratio=0.5):
        for image, label, source in zip(
            x[info.synthetic], y[info.synthetic].tolist(), info.source[info.synthetic].tolist(), strict=True
        ):
            assert images[source][1] == label
            expected = images[source][0] / 2 if label % 2 else torch.full(SHAPE, 0.1 if label == 0 else 0.2)
            assert torch.allclose(image, expected)


@COLLATES
def test_reuse_differs_among_classes(images: TensorDataset, collate: Any) -> None:
    often, once = CountingGenerator(SHAPE, 4).reused(4), CountingGenerator(SHAPE, 4)
    loader = wrapped(images, {0: often, 1: once, 2: often, 3: once}, collate, ratio=0.8)
    batches = laws.deliver(loader, 12)
    slots = laws.stream(batches)
    made = np.bincount(slots["label"][slots["synthetic"]], minlength=4)
    distinct = loader.planned("the test").reuse.distinct(made)
    keys = [set(slots["key"][slots["synthetic"] & (slots["label"] == number)].tolist()) for number in range(4)]
    assert [len(some) for some in keys] == distinct.tolist() == loader.stats().fresh.tolist()
    assert distinct[[1, 3]].tolist() == made[[1, 3]].tolist()
    assert (distinct[[0, 2]] < made[[0, 2]] / 2).all()


def test_generators_whose_samples_differ_are_seen_by_wrap(images: TensorDataset, refused: Any) -> None:
    other = CountingGenerator(SHAPE, 4).map(lambda image, label: (image, label, label))
    for collate in (None, own_collate):
        table = {
            0: CountingGenerator(SHAPE, 4),
            1: other,
            2: CountingGenerator(SHAPE, 4),
            3: CountingGenerator(SHAPE, 4),
        }
        refused(lambda table=table, collate=collate: wrapped(images, table, collate), "generator: ", "generator.map")


MIXES: dict[str, dict[str, Any]] = {
    "default": {},
    "natural": {"balance": "natural", "ratio": 0.3},
    "changing": {"balance": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, "ratio": Fill(cap=0.9) * Cosine(1, 0.2, until=0.9)},
    "by class": {"ratio": {1: 0.5, 3: Linear(0, 1)}},
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("collate", [None, own_collate])
def test_laws(images: TensorDataset, generators: dict[str, Any], mix: str, collate: Any) -> None:
    table = {0: generators["vae"], 1: generators["gan"], 2: generators["vae"].reused(2), 3: generators["fake"]}

    def make(**changed: Any) -> MixLoader[Any]:
        return wrapped(images, table, collate, **{"epochs": 3, **MIXES[mix], **changed})

    laws.law_2_exact(make, 3)
    laws.law_7_sample_is_its_key(make, CombinedGenerator(table, 4))
    laws.law_9_honest(make, 3)


def test_5_resume(images: TensorDataset, generators: dict[str, Any]) -> None:
    table = {0: generators["vae"].reused(2), 1: generators["gan"], 2: generators["gan"], 3: generators["fake"]}
    laws.law_5_resume(maker(images, table, ratio=0.6), 2)  # type: ignore[arg-type]
