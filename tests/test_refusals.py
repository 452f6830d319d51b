"""Bad input: every error names the object, what was expected, what was found, and what to type."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import onthefly
from onthefly import augment
from onthefly.balance import Balance
from onthefly.data.labels import labels_of
from onthefly.schedule import Fill, Linear
from onthefly.testing import CountingGenerator

SHAPE = (1, 8, 8)


def counting(classes: Any = 2, shape: Any = SHAPE) -> CountingGenerator:
    return CountingGenerator(shape, classes)


class Data(Dataset[Any]):
    """Twenty images, of which the last four are of class 1."""

    def __init__(self, image: torch.Tensor | None = None, **said: Any) -> None:
        self.image = torch.full(SHAPE, 0.5) if image is None else image
        self.__dict__.update({"targets": [0] * 16 + [1] * 4, **said})

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        return self.image, self.targets[row]


def wrap(generator: Any = None, data: Any = None, loader: dict[str, Any] | None = None, **options: Any) -> Any:
    settings = {"batch_size": 5, "shuffle": True, **(loader or {})}
    settings = {name: value for name, value in settings.items() if value is not ...}
    made = counting() if generator is None else generator
    return onthefly.wrap(DataLoader(Data() if data is None else data, **settings), made, device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 1.5}, ("ratio", "from 0 to 1", "1.5")),
        ({"ratio": -0.1}, ("ratio", "-0.1")),
        ({"ratio": float("nan")}, ("ratio", "nan")),
        ({"ratio": {"cat": 0.5}}, ("ratio", "'cat'")),
        ({"ratio": Linear(0, 1)}, ("ratio", "Linear", "epochs=")),
        ({"balance": {0: 0.4, 1: 0.4}}, ("balance", "sum to 1", "0.8")),
        ({"balance": {"cat": 1.0}}, ("balance", "'cat'")),
        ({"balance": "equal"}, ("balance", "'equal'", "'uniform'")),
        ({"labels": [0, 1]}, ("labels", "20 samples", "(2,)")),
        ({"labels": [-1] * 20}, ("labels", "-1 at row 0")),
        ({"labels": list(range(20))}, ("generator", "2 unnamed classes", "20 unnamed classes", "relabel")),
        ({"normalized": 0.5}, ("normalized", "(mean, std)")),
        ({"augment": "flip"}, ("augment", "'flip'")),
        ({"ratio": {"cat": Linear(0, 1)}, "epochs": 2}, ("ratio", "'cat'", "class number")),
        ({"ratio": True}, ("ratio", "True")),
        ({"balance": {0: 0.5}}, ("balance", "sum to 1", "give 1 a share too")),
        ({"balance": {0: "a"}}, ("balance", "'a'")),
        ({"seed": None}, ("seed", "None")),
        ({"seed": 1.7}, ("seed", "1.7")),
        ({"epochs": float("nan")}, ("epochs", "nan")),
        ({"labels": "scann"}, ("labels", "'scann'", "labels='scan'")),
    ],
)
def test_options(options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: wrap(**options), "expected" if "epochs=" not in words else "", *words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(targets=[]), ("dataset", "at least one sample", "empty Data")),
        (Data(targets=None), ("labels", "Data doesn't say", "labels=", "labels='scan'")),
        (Data(image=torch.full(SHAPE, -2.0)), ("dataset", "[0, 1]", "-2", "normalized=(mean, std)")),
        (Data(targets=[0] * 20, classes=("a", "b")), ("no real sample of b", "ratio={'b': 1.0")),
        (Data(classes=("a", "b", "c")), ("different numbers of classes", "a, b, c", "2 unnamed", "relabel")),
    ],
)
def test_data(data: Any, words: tuple[str, ...], refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if data.targets is None:
        monkeypatch.setattr(Data, "__len__", lambda self: 20)
    refused(lambda: onthefly.wrap(DataLoader(data, 5, shuffle=len(data) > 0), counting(), device="cpu"), *words)


@pytest.mark.filterwarnings("ignore:wrap")
def test_a_class_without_real_samples_is_allowed_if_all_synthetic() -> None:
    for ratio in ({"b": 1.0}, Fill(cap=1.0), 1):
        loader = wrap(data=Data(targets=[0] * 20, classes=("a", "b")), ratio=ratio)
        list(loader)
        assert loader.stats().real[1] == 0
        assert loader.stats().synthetic[1] == 10


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (counting(shape=(3, 8, 8)), ("[0]: expected float32[1, 8, 8], found float32[3, 8, 8]", "generator.map")),
        (counting(shape=(1, 9, 8)), ("[0]: expected float32[1, 8, 8], found float32[1, 9, 8]",)),
        (counting().map(lambda image, label: (image.double(), label)), ("float32[1, 8, 8]", "float64[1, 8, 8]")),
        (counting().map(lambda image, label: (image, label.float())), ("[1]: expected int64[], found float32[]",)),
        (counting().map(lambda image, label: image), ("[1]: expected int64[], found nothing",)),
        (counting().map(lambda image, label: (2 * image - 1, label)), ("[0, 1]", "from -", "value_range=(-1, 1)")),
        (counting(5), ("different numbers of classes", "2 unnamed", "5 unnamed", "relabel")),
    ],
)
def test_generators_that_make_something_else(generator: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: wrap(generator), "generator", "expected", "found", *words)


def test_generators_that_share_no_class_name(refused: Any) -> None:
    refused(
        lambda: wrap(counting(("cat", "dog")), Data(classes=("bus", "car"))),
        "share no class name",
        "bus, car",
        "cat, dog",
        "relabel",
    )


def test_real_images_out_of_range_are_refused_for_kornia_too(refused: Any) -> None:
    loader = DataLoader(Data(image=torch.full(SHAPE, 3.0)), 5, shuffle=True)
    refused(
        lambda: onthefly.wrap(loader, augment=augment.image(SHAPE), device="cpu"),
        "[0, 1]",
        "from 3 to 3",
        "normalized=",
    )
    wrong = {"normalized": ((0.5,), (1.0,))}
    refused(lambda: onthefly.wrap(loader, counting(), device="cpu", **wrong), "undone", "normalized=(mean, std)")


DATA = Data()


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        ({"sampler": WeightedRandomSampler([1.0] * 20, 20)}, ("WeightedRandomSampler", "would be lost", "balance=")),
        ({"sampler": RandomSampler(DATA, replacement=True)}, ("RandomSampler", "would be lost", "balance=")),
        ({"sampler": RandomSampler(DATA, num_samples=7)}, ("RandomSampler", "would be lost", "balance=")),
        ({"sampler": DistributedSampler(DATA, 2, 0)}, ("DistributedSampler", "would be lost", "balance=")),
        ({"sampler": list(range(20))}, ("list", "would be lost", "balance=")),
        ({"in_order": False, "num_workers": 1, "shuffle": True}, ("in_order=True", "False")),
    ],
)
def test_samplers_that_a_plan_would_replace(loader: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: wrap(data=DATA, loader={"shuffle": ..., **loader}), *words)


def test_a_batch_sampler_that_a_plan_would_replace(refused: Any) -> None:
    class Buckets(BatchSampler):
        pass

    buckets = Buckets(SequentialSampler(DATA), 4, drop_last=False)
    loader = {"batch_sampler": buckets, "shuffle": ..., "batch_size": ...}
    refused(lambda: wrap(data=DATA, loader=loader, balance="uniform"), "Buckets", "would be lost", "batch_size=")
    plain = onthefly.wrap(DataLoader(DATA, batch_sampler=buckets), device="cpu")
    assert [len(labels) for _, labels in plain] == [4] * 5


class Endless:
    def __getitem__(self, row: int) -> Any:
        return row


@pytest.mark.parametrize(
    ("loader", "error", "words"),
    [
        (3, TypeError, ("DataLoader", "a int", "DataLoader(dataset, ...)")),
        (iter([1, 2]), TypeError, ("every epoch can go through again", "list_iterator", "lambda:")),
        (onthefly.wrap(DataLoader(DATA, 4), device="cpu"), TypeError, ("a wrapped one", "made from")),
    ],
)
def test_loaders_that_cannot_be_wrapped(loader: Any, error: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: onthefly.wrap(loader, counting(), device="cpu"), "wrap", "expected", *words, error=error)


@pytest.mark.parametrize(
    ("generator", "error", "words"),
    [
        (nn.Linear(1, 1), TypeError, ("FrozenGenerator", "a Linear", "from_module")),
        (7, TypeError, ("FrozenGenerator", "a int", "load one")),
        ("missing.safetensors", FileNotFoundError, ("no file missing.safetensors",)),
        ("weights.pkl", ValueError, ("expected safetensors", "pickle", "from_module")),
    ],
)
def test_what_is_no_generator(generator: Any, error: Any, words: tuple[str, ...], refused: Any) -> None:
    with open("weights.pkl", "wb") as file:  # noqa: PTH123
        file.write(b"\x80\x04.")
    refused(lambda: wrap(generator), *words, error=error)


def test_a_ratio_without_a_generator(refused: Any) -> None:
    loader = DataLoader(DATA, 4, shuffle=True)
    refused(
        lambda: onthefly.wrap(loader, ratio=0.5, device="cpu"), "ratio", "expected a generator", "None", "generator="
    )
    assert len(list(onthefly.wrap(loader, ratio=0, device="cpu"))) == 5


def test_an_unshuffled_loader_looks_like_validation() -> None:
    with pytest.warns(UserWarning, match=r"isn't shuffled.*shuffle=True"):
        wrap(loader={"shuffle": False})


def test_a_mix_without_a_synthetic_slot_says_so() -> None:
    with pytest.warns(UserWarning, match=r"no synthetic sample is planned.*ratio=0.3"):
        wrap(data=Data(targets=[0, 1] * 10))


def test_a_state_with_parts_missing(refused: Any) -> None:
    words = "state: expected log, over, settings, step, totals too", "state_dict()"
    refused(lambda: wrap().load_state_dict({"epoch": 0}), *words)


def test_tensordatasets_of_regression_are_one_group() -> None:
    data = TensorDataset(torch.rand(20, *SHAPE), torch.rand(20))
    gen = counting(1).map(lambda image, label: (image, label.float()))
    loader = wrap(gen, data, ratio=0.5, labels=0)
    list(loader)
    assert loader.stats().synthetic.tolist() == [10]


def test_a_dataset_without_a_length(refused: Any) -> None:
    loader = DataLoader(DATA, 4)
    loader.__dict__["dataset"] = Endless()
    words = "dataset: expected", "Endless without __len__"
    refused(lambda: onthefly.wrap(loader, balance="uniform", device="cpu"), *words, error=TypeError)


def test_a_class_named_twice(refused: Any) -> None:
    data = Data(classes=("a", "b"))
    refused(lambda: wrap(data=data, balance={"a": 0.25, 0: 0.25, "b": 0.5}), "balance: expected each class once")


def test_a_balance_of_nothing(refused: Any) -> None:
    class Nothing(Balance):
        def weights(self, real: Any) -> Any:
            return 0.0 * real

    refused(lambda: wrap(balance=Nothing()), "balance: expected weights", "not all 0", "Nothing")


def test_a_default_that_is_asked_for_needs_a_generator(refused: Any) -> None:
    loader = DataLoader(DATA, 4, shuffle=True)
    refused(lambda: onthefly.wrap(loader, ratio=Fill(cap=0.5), device="cpu"), "ratio: expected a generator", "Fill")


def test_labels_as_objects() -> None:
    data = Data(targets=np.array(["cat"] * 16 + ["dog"] * 4, dtype=object))
    assert labels_of(data).classes.names == ("cat", "dog")
