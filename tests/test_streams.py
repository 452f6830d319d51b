"""Streams: `wrap` around whatever yields batches."""

import copy
import io
import itertools
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
    get_worker_info,
)

import onthefly
from onthefly import MixLoader, augment
from onthefly.generators import FrozenGenerator
from onthefly.schedule import Feedback, Fill, Linear
from onthefly.testing import CountingGenerator, FaultyGenerator
from tests import laws
from tests.data.test_source import Faulty, Told

SHAPE = (1, 8, 8)
COUNTS = {0: 23, 1: 9, 2: 4, 3: 1}
EPOCHS = 2


def counting(classes: Any = 4) -> CountingGenerator:
    return CountingGenerator(SHAPE, classes)


def wrap(loader: Any, *arguments: Any, **options: Any) -> MixLoader[Any]:
    return onthefly.wrap(loader, *arguments, device="cpu", **options)


def tell(batch: Any) -> list[Any]:
    return [part.tolist() if torch.is_tensor(part) else part for part in batch]


class Rows(IterableDataset[Any]):
    """The rows of a data set one after the other, in an order of each epoch's own; every worker has its part."""

    def __init__(self, images: TensorDataset) -> None:
        self.images, self.epoch = images, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.epoch)).tolist()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        yield from (self.images[row] for row in order[first::step])


class Looping(DataLoader[Any]):
    """A DataLoader that goes over its data as it likes."""

    def __iter__(self) -> Any:
        return iter(list(super().__iter__())[::-1])


class Placed:
    """Batches that know their place, as some libraries' loaders do."""

    def __init__(self, images: TensorDataset) -> None:
        self.images, self.batch, self.epoch, self.loaded = images, 0, 0, False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        self.batch, self.loaded = self.batch if self.loaded else 0, False
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.epoch))
        while self.batch * 8 < len(order):
            self.batch += 1
            yield list(self.images[order[self.batch * 8 - 8 : self.batch * 8]])

    def state_dict(self) -> Any:
        return {"batch": self.batch, "epoch": self.epoch}

    def load_state_dict(self, state: Any) -> None:
        self.batch, self.epoch, self.loaded = state["batch"], state["epoch"], True


def listed(images: TensorDataset) -> list[Any]:
    return list(DataLoader(images, 8))


SOURCES: dict[str, Any] = {
    "iterable": lambda images: DataLoader(Rows(images), 8),
    "workers": lambda images: DataLoader(Rows(images), 8, num_workers=2),
    "batch sampler": lambda images: DataLoader(images, batch_sampler=[range(20), range(20, 25), range(25, 37)]),
    "batches of its own": lambda images: DataLoader(listed(images), batch_size=None),  # type: ignore[arg-type]
    "list": listed,
    "function": lambda images: lambda: (batch for batch in listed(images)),
    "subclass": lambda images: Looping(images, 8),
    "placed": Placed,
}
MIXES: dict[str, dict[str, Any]] = {
    "natural": {"ratio": 0.4},
    "filled": {"balance": "uniform", "ratio": Fill(cap=0.9), "counts": COUNTS},
    "changing": {"balance": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, "ratio": {1: 0.5, 3: Linear(0, 1)}, "length": 4},
    "topped up": {"ratio": Linear(0.2, 0.7), "top_up": True, "length": 4},
    "topped up to the balance": {"counts": COUNTS, "top_up": True, "length": 3},
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, images: TensorDataset) -> Any:
    return lambda: SOURCES[request.param](images)


@pytest.fixture(params=MIXES)
def mix(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MIXES[request.param]


def maker(source: Any, generator: FrozenGenerator | None = None, **mix: Any) -> laws.Make:
    def make(**changed: Any) -> MixLoader[Any]:
        options = {"epochs": EPOCHS, "tag": True, **mix, **changed}
        return wrap(source(), counting() if generator is None else generator, **options)

    return make


def passes(loader: MixLoader[Any], epochs: int = EPOCHS) -> list[list[laws.Delivered]]:
    return [laws.deliver(loader) for _ in range(epochs)]


def test_a_batch_keeps_its_rows_and_its_size_but_for_those_that_are_synthetic(source: Any) -> None:
    plain, loader = source(), wrap(source(), counting(), ratio=0.4, tag=True)
    for epoch in range(EPOCHS):
        for part in (plain, getattr(plain, "dataset", None)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        expected = list(plain() if callable(plain) else plain)
        for (x, y), found in zip(expected, (laws.Delivered(*batch) for batch in loader), strict=True):
            kept = ~found.info.synthetic
            assert torch.equal(found.images[kept], x[kept])
            assert torch.equal(found.labels[kept], y[kept])
            assert torch.equal(found.labels, found.info.label)
            assert sorted(found.labels.tolist()) == sorted(y.tolist())
    stats = loader.stats()
    assert (abs(stats.synthetic - 0.4 * EPOCHS * np.array(list(COUNTS.values()))) < 1).all()
    assert (stats.real + stats.synthetic).tolist() == [EPOCHS * count for count in COUNTS.values()]


def test_its_length(images: TensorDataset) -> None:
    assert len(wrap(DataLoader(images, batch_sampler=[[1, 2], [3]]), counting(), ratio=0.4)) == 2
    assert len(wrap(listed(images), counting(), ratio=0.4, length=3)) == 3
    with pytest.raises(TypeError, match="length="):
        len(wrap(DataLoader(Rows(images), 8), counting(), ratio=0.4))


def test_a_length_cuts_an_endless_source(images: TensorDataset) -> None:
    loader = wrap(lambda: itertools.cycle(listed(images)), counting(), ratio=Linear(0, 1), epochs=2, length=7, tag=True)
    for _ in range(2):
        assert len(list(loader)) == 7
    assert loader.stats().batches == 14
    assert loader.stats().synthetic.sum() == pytest.approx(loader.stats().real.sum(), abs=5)


def loaded(source: Any, epoch: int) -> MixLoader[Any]:
    loader = wrap(source())
    loader.set_epoch(epoch)
    return loader


class TestWithoutAMix:
    """Natural balance, ratio 0, no tags."""

    @pytest.fixture(params=[{}, {"generator": counting(), "ratio": 0, "balance": "natural"}])
    def options(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return dict(request.param)

    def test_batches_are_those_of_the_source(self, source: Any, options: dict[str, Any]) -> None:
        expected = source()
        expected = list(expected() if callable(expected) else expected)
        found = list(wrap(source(), **options))
        assert [type(batch) for batch in found] == [type(batch) for batch in expected]
        assert [tell(batch) for batch in found] == [tell(batch) for batch in expected]

    def test_they_are_the_very_same(self, images: TensorDataset, options: dict[str, Any]) -> None:
        batches = listed(images)
        assert all(one is two for one, two in zip(wrap(batches, **options), batches, strict=True))

    @pytest.mark.parametrize("kind", [DataLoader, Looping])
    def test_seeded_it_draws_what_the_plain_loader_draws(self, images: TensorDataset, kind: Any, options: Any) -> None:
        plain = kind(images, 8, shuffle=True)
        torch.manual_seed(3)
        expected = [tell(batch) for batch in plain]
        torch.manual_seed(3)
        assert [tell(batch) for batch in wrap(plain, **options)] == expected

    def test_augmentation_alone(self, source: Any) -> None:
        loader, pipeline = wrap(source(), augment=augment.image(SHAPE)), augment.image(SHAPE)
        first = [tell(batch) for batch in loader]
        assert first == [tell(batch) for batch in wrap(source(), augment=pipeline)]
        assert first != [tell(batch) for batch in wrap(source())]
        assert loader.stats().real.tolist() == [37]

    def test_its_state_is_the_epoch(self, source: Any) -> None:
        loader, again = wrap(source()), wrap(source())
        list(loader)
        next(iter(loader))
        state = loader.state_dict()
        assert (state["epoch"], state["step"]) == (1, 1)
        with pytest.warns(UserWarning, match="epoch"):
            again.load_state_dict(state)
        again.set_epoch(1)  # a DataLoader as it comes tells its dataset only what it is told
        assert [tell(batch) for batch in again] == [tell(batch) for batch in loaded(source, epoch=1)]

    @pytest.mark.parametrize("kind", [DataLoader, Looping])
    def test_set_epoch_reaches_the_dataset(self, images: TensorDataset, kind: Any, options: dict[str, Any]) -> None:
        rows = Rows(images)
        loader = wrap(kind(rows, 8), **options)
        loader.set_epoch(4)
        next(iter(loader))
        assert rows.epoch == 4

    def test_what_a_stream_alone_needs_is_refused(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(DataLoader(Rows(images), 8), length=3), "length", "leave length out")


class TestEpochs:
    class ToldRows(Told, Rows):
        pass

    class ToldBatches(Told, BatchSampler):
        pass

    class ToldSampler(Told, SequentialSampler):
        pass

    class ToldLoader(Told, DataLoader[Any]):
        pass

    def test_the_loader_and_its_dataset_are_told(self, images: TensorDataset) -> None:
        rows = self.ToldRows(images)
        plain = self.ToldLoader(rows, 8)
        loader = wrap(plain, counting(), ratio=0.4)
        list(loader), list(loader)
        loader.set_epoch(7)
        list(loader)
        assert rows.epochs == plain.epochs == [0, 1, 7]

    def test_samplers_are_told(self, images: TensorDataset) -> None:
        sampler = self.ToldSampler(images)
        batches = self.ToldBatches(sampler, 8, False)
        loader = wrap(DataLoader(images, batch_sampler=batches), counting(), ratio=0.4)
        list(loader)
        loader.set_epoch(5)
        list(loader)
        assert sampler.epochs == batches.epochs == [0, 5]

    def test_an_epoch_set_before_the_first_batch_re_aims(self, images: TensorDataset) -> None:
        rows = self.ToldRows(images)
        loader = wrap(DataLoader(rows, 8), counting(), ratio=0.4)
        iterator = iter(loader)
        loader.set_epoch(3)
        next(iterator)
        assert rows.epochs == [3]
        assert loader.state_dict()["epoch"] == 3

    def test_a_pass_after_a_break_is_the_next(self, images: TensorDataset) -> None:
        rows = self.ToldRows(images)
        loader = wrap(DataLoader(rows, 8), counting(), ratio=0.4)
        next(iter(loader)), next(iter(loader))
        assert rows.epochs == [0, 1]


REPEATABLE = [name for name in SOURCES if name != "workers"]


@pytest.mark.filterwarnings("ignore:length")  # one source has fewer batches than one mix says
@pytest.mark.parametrize(("name", "reuse"), [("list", 3), *((name, 1) for name in REPEATABLE)])
def test_from_any_state_the_rest_is_the_same(images: TensorDataset, mix: dict[str, Any], name: str, reuse: int) -> None:
    if name == "batch sampler" and mix.get("balance"):
        pytest.skip("refused")
    make = maker(lambda: SOURCES[name](images), counting().reused(reuse), **mix)
    expected = passes(make())
    flat = [batch for one in expected for batch in one]
    for step in range(1, len(flat)):
        first, second, third = make(), make(), make()
        list(itertools.islice(endless(first), step))
        second.load_state_dict(copied(first.state_dict()))
        assert second.state_dict().keys() == first.state_dict().keys()
        third.load_state_dict(copied(second.state_dict()))  # saved again before anything is delivered
        again = [laws.Delivered(*batch) for batch in itertools.islice(endless(third), 1)]
        fourth = make()
        fourth.load_state_dict(copied(third.state_dict()))
        again += [laws.Delivered(*batch) for batch in itertools.islice(endless(fourth), len(flat) - step - 1)]
        assert len(again) == len(flat) - step
        assert all(one.same(two) for one, two in zip(again, flat[step:], strict=True)), step


def endless(loader: MixLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def copied(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", REPEATABLE)
@pytest.mark.parametrize("over", [False, True])
def test_after_the_last_batch_of_a_pass_the_next_pass_is_whole(images: TensorDataset, name: str, over: bool) -> None:
    make = maker(lambda: SOURCES[name](images), ratio=0.4, epochs=EPOCHS + 1)
    first, expected = make(), passes(make())
    batches = iter(first)
    list(itertools.islice(batches, len(expected[0])))
    assert next(batches, None) is None or not over
    state = copied(first.state_dict()) if over else None
    if not over:
        other = make()
        list(itertools.islice(other, len(expected[0])))
        state = copied(other.state_dict())
    again = make()
    again.load_state_dict(state)
    found = laws.deliver(again)
    assert all(one.same(two) for one, two in zip(found, expected[1], strict=True))
    assert again.state_dict()["epoch"] == 1
    assert len(laws.deliver(again)) == len(expected[1])
    assert again.state_dict()["epoch"] == 2


def test_an_empty_source_is_an_empty_pass() -> None:
    loader = wrap(list, counting(), ratio=0.4)
    assert list(loader) == list(loader) == []


def test_a_source_that_knows_its_place_is_not_gone_through_again(images: TensorDataset) -> None:
    first, placed = wrap(Placed(images), counting(), ratio=0.4), Placed(images)
    list(itertools.islice(first, 3))
    again = wrap(placed, counting(), ratio=0.4)
    again.load_state_dict(first.state_dict())
    next(iter(again))
    assert placed.batch == 4


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"epochs": 9}, {"ratio": 0.25}, {"balance": "uniform"}, {"length": 4}]
)
def test_a_state_of_another_mix_is_refused(images: TensorDataset, changed: dict[str, Any]) -> None:
    make = maker(lambda: listed(images), ratio=0.5)
    laws.refuses_other_states(make, **changed)


def test_a_state_of_a_planned_mix_is_refused_and_the_other_way_round(images: TensorDataset, refused: Any) -> None:
    stream, planned = wrap(listed(images), counting(), ratio=0.4), wrap(DataLoader(images, 8, shuffle=True), counting())
    for one, other in ((stream, planned), (planned, stream)):
        refused(lambda one=one, other=other: one.load_state_dict(other.state_dict()), "state: expected")


def test_epochs_may_become_more(images: TensorDataset) -> None:
    make = maker(lambda: listed(images), ratio=Linear(0, 1))
    first = make()
    list(first)
    again = make(epochs=4)
    again.load_state_dict(first.state_dict(), longer=True)
    made = [stream["synthetic"].mean() for stream in map(laws.stream, passes(again, 3))]
    assert made == pytest.approx([3 / 8, 5 / 8, 7 / 8], abs=0.06)


class TestProcesses:
    def test_they_take_turns(self, images: TensorDataset) -> None:
        both = [wrap(listed(images), counting(), ratio=0.5, shard=(r, 2), sharded=False, tag=True) for r in range(2)]
        assert [len(loader) for loader in both] == [2, 2]
        for rank, loader in enumerate(both):
            for step, (x, y, info) in enumerate(loader):
                expected = listed(images)[2 * step + rank]
                assert torch.equal(x[~info.synthetic], expected[0][~info.synthetic])
                assert sorted(y.tolist()) == sorted(expected[1].tolist())
        one, two = (set(laws.stream(laws.deliver(loader))["key"].tolist()) - {-1} for loader in both)
        assert one
        assert not one & two

    def test_what_is_not_known_is_asked(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(listed(images), counting(), ratio=0.5, shard=(0, 2)), "sharded=None", "2 processes")
        options = {"ratio": 0.5, "shard": (0, 2), "sharded": True}
        refused(lambda: wrap(listed(images), counting(), **options), "length=None", "pass length=")

    def test_uneven_shards_are_told(self, images: TensorDataset, refused: Any) -> None:
        loader = wrap(listed(images), counting(), ratio=0.5, shard=(1, 2), sharded=True, length=9)
        refused(lambda: list(loader), "length: expected 9 batches", "found 5 on rank 1", "uneven")

    @pytest.mark.parametrize("rank", [0, 1])
    def test_each_resumes_its_own(self, images: TensorDataset, rank: int) -> None:
        make = maker(lambda: listed(images), ratio=0.5, shard=(rank, 2), sharded=False)
        expected = [batch for one in passes(make()) for batch in one]
        first, again = make(), make()
        next(iter(first))
        again.load_state_dict(first.state_dict())
        found = [batch for one in passes(again) for batch in one]
        assert all(one.same(two) for one, two in zip(found, expected[1:], strict=True))


class TestLabels:
    """How the class of a row is told."""

    def test_dicts_by_their_keys(self, images: TensorDataset) -> None:
        batches = [{"pixels": x, "label": y} for x, y in listed(images)]
        made = counting().map(lambda image, label: {"label": label, "pixels": image})
        for batch in wrap(batches, made, ratio=0.4, tag=True):
            assert list(batch) == ["pixels", "label", "mix"]
            assert torch.equal(batch["label"], batch["mix"].label)

    def test_three_parts_by_a_function(self, images: TensorDataset) -> None:
        batches = [(x, [f"row {row}" for row in range(len(y))], y) for x, y in listed(images)]
        made = counting().map(lambda image, label: (image, "made", label))
        for x, names, y, info in wrap(batches, made, ratio=0.4, labels=lambda batch: batch[2], tag=True):
            assert [name == "made" for name in names] == info.synthetic.tolist()
            assert torch.equal(y, info.label)
            assert len(x) == len(y)

    def test_many_hot_targets_by_a_function(self, images: TensorDataset) -> None:
        batches = [[x, torch.eye(4)[y] + torch.eye(4)[0]] for x, y in listed(images)]
        made = counting().map(lambda image, group: (image, torch.eye(4)[group] + torch.eye(4)[0]))
        last = lambda batch: (batch[1] * torch.arange(4)).argmax(1)  # noqa: E731
        for _, y, info in wrap(batches, made, ratio=0.4, labels=last, tag=True):
            assert torch.equal(last([None, y]), info.label)

    def test_names(self, images: TensorDataset) -> None:
        names = ("cat", "dog", "eel", "fox")
        batches = [(x, [names[label] for label in y.tolist()]) for x, y in listed(images)]
        made = counting(names).map(lambda image, label: (image, names[int(label)]))
        for _, y, info in wrap(batches, made, ratio=0.4, tag=True, counts=dict(zip(names, range(1, 5), strict=True))):
            assert [names[label] for label in info.label.tolist()] == list(y)

    def test_one_group(self, images: TensorDataset) -> None:
        batches = [(x, x.mean((1, 2, 3))) for x, _ in listed(images)]
        made = counting(1).map(lambda image, group: (image, image.mean()))
        loader = wrap(batches, made, ratio=0.5, labels=0)
        list(loader)
        assert loader.stats().synthetic.sum() == pytest.approx(37 / 2, abs=1)

    @pytest.mark.parametrize(
        ("change", "options", "words"),
        [
            (lambda x, y: [x], {}, ("found a list", "labels=lambda batch")),
            (lambda x, y: [x, y, y], {}, ("found a list", "labels=lambda batch")),
            (lambda x, y: {"pixels": x}, {}, ("found a dict", "label, labels", "labels=lambda batch")),
            (lambda x, y: [x, y + 1], {}, ("from 0 to 3", "found 4", "counts=")),
            (lambda x, y: [x, y - 1], {}, ("from 0 to 3", "found -1")),
            (lambda x, y: [x, torch.eye(4)[y]], {}, ("shape (8, 4)", "labels=lambda batch")),
            (lambda x, y: [x, y.float()], {}, ("float32", "labels=lambda batch")),
            (lambda x, y: [x, y[1:]], {}, ("batch: expected", "7 rows", "float32[8, 1, 8, 8]", "class of every row")),
            (lambda x, y: [x, y], {"labels": lambda batch: batch[1][:3]}, ("batch: expected", "3 rows", "labels=")),
            (lambda x, y: [x, y], {"labels": lambda batch: batch[1].repeat(2)}, ("batch: expected", "16 rows")),
            (lambda x, y: [x, ["cat"] * len(y)], {}, ("unknown class 'cat'",)),
        ],
    )
    def test_what_does_not_tell_it_is_refused(
        self, images: TensorDataset, change: Any, options: Any, words: Any, refused: Any
    ) -> None:
        loader = wrap([change(x, y) for x, y in listed(images)], counting(), **{"ratio": 0.1, **options})
        refused(lambda: list(loader), "labels", *words)

    @pytest.mark.parametrize("labels", [[0, 1, 2], "scan", 1])
    def test_rows_have_no_numbers(self, images: TensorDataset, labels: Any, refused: Any) -> None:
        refused(lambda: wrap(listed(images), counting(), ratio=0.4, labels=labels), "labels", "rows have no numbers")

    def test_the_classes_must_be_known(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(listed(images), tag=True), "counts: expected to know the classes", "counts={class")
        assert (
            next(iter(wrap(listed(images), tag=True, counts=COUNTS)))[2].label.tolist() == listed(images)[0][1].tolist()
        )


class TestTheFirstBatch:
    """It is compared with what the generator makes."""

    def refuse(self, batches: Any, generator: Any, refused: Any, *words: str, **options: Any) -> None:
        loader = wrap(batches, generator, ratio=0.4, **options)
        for _ in range(2):
            refused(lambda: next(iter(loader)), *words)

    def test_shape(self, images: TensorDataset, refused: Any) -> None:
        made = CountingGenerator((1, 9, 9), 4)
        self.refuse(listed(images), made, refused, "generator: its samples", "[1, 8, 8]", "[1, 9, 9]", "generator.map")

    def test_dtype(self, images: TensorDataset, refused: Any) -> None:
        batches = [(x.double(), y) for x, y in listed(images)]
        self.refuse(batches, counting(), refused, "generator: its samples", "float64", "float32")

    def test_range(self, images: TensorDataset, refused: Any) -> None:
        batches = [(x * 255, y) for x, y in listed(images)]
        self.refuse(batches, counting(), refused, "[0, 1]", "normalized=")

    def test_parts(self, images: TensorDataset, refused: Any) -> None:
        batches = [(x, y, y) for x, y in listed(images)]
        self.refuse(batches, counting(), refused, "generator: its samples", labels=lambda batch: batch[1])

    def test_what_is_the_class(self, images: TensorDataset, refused: Any) -> None:
        made = counting().map(lambda image, label: (image, 3 - label))
        refused(lambda: next(iter(wrap(listed(images), made, ratio=0.4))), "hold", "generator.map")
        turned = [(x, 3 - y) for x, y in listed(images)]
        loader = wrap(turned, counting(), ratio=0.4, labels=lambda batch: 3 - batch[1])
        refused(lambda: next(iter(loader)), "labels: expected", "as synthetic samples do")

    def test_normalisation(self, images: TensorDataset) -> None:
        batches, gen = [((x - 0.5) / 0.25, y) for x, y in listed(images)], counting()
        for (x, _, info), (real, _) in zip(
            wrap(batches, gen, ratio=0.4, normalized=(0.5, 0.25), tag=True), batches, strict=True
        ):
            made = (gen.sample(info.label, info.key.clamp(min=0)) - 0.5) / 0.25
            assert torch.allclose(x[info.synthetic], made[info.synthetic], atol=1e-5)
            assert torch.equal(x[~info.synthetic], real[~info.synthetic])

    def test_kornia_on_what_is_not_in_range(self, images: TensorDataset, refused: Any) -> None:
        batches = [(x * 255, y) for x, y in listed(images)]
        loader = wrap(batches, augment=augment.image(SHAPE), tag=True, counts=COUNTS)
        refused(lambda: next(iter(loader)), "[0, 1]", "normalized=")

    def test_a_batch_of_one_row_will_do(self, images: TensorDataset) -> None:
        loader = wrap(DataLoader(Rows(images), 1), counting(), ratio=0.4)
        assert sum(len(y) for _, y in loader) == 37


class TestErrors:
    def test_those_of_the_source_come_at_their_own_batch(self, images: TensorDataset) -> None:
        class Batches(Faulty):
            def __iter__(self) -> Any:
                return map(listed(images).__getitem__, super().__iter__())

        def outcomes(loader: MixLoader[Any]) -> list[Any]:
            found, batches = [], iter(loader)
            while True:
                try:
                    found.append(tell(next(batches)[:2]))
                except StopIteration:
                    return found
                except KeyError:
                    found.append(None)

        make = maker(lambda: Batches(5, wrong=(0, 3)), ratio=0.4)
        whole = outcomes(make())
        assert [batch is None for batch in whole] == [True, False, False, True, False]
        first, again = make(), make()
        batches = iter(first)
        with pytest.raises(KeyError):
            next(batches)
        next(batches)
        assert first.state_dict()["step"] == 2
        again.load_state_dict(first.state_dict())
        assert outcomes(again) == whole[2:]

    def test_those_of_the_generator_cost_their_own_batch(self, images: TensorDataset) -> None:
        made = FaultyGenerator(counting(), "raise", call=2)  # the first call compares
        batches = iter(wrap(listed(images), made, ratio=0.5))
        next(batches)
        with pytest.raises(RuntimeError, match="on purpose"):
            next(batches)
        assert len(list(batches)) == 3

    def test_a_batch_that_has_no_rows_is_refused(self, images: TensorDataset, refused: Any) -> None:
        batches = [(x, y, torch.tensor(3)) for x, y in listed(images)]
        loader = wrap(batches, counting(), ratio=0.4, labels=lambda batch: batch[1])
        refused(lambda: next(iter(loader)), "batch: expected one whose every part has 8 rows", "rows")


class TestOptions:
    def test_default_ratio_needs_counts(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(listed(images), counting()), "ratio: Fill needs", "counts={class: number}")

    def test_one_shot_iterators_are_refused(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(iter(listed(images)), counting()), "list_iterator", "wrap(lambda", error=TypeError)

    def test_a_balance_is_refused_where_somebody_else_puts_batches_together(
        self, images: TensorDataset, refused: Any
    ) -> None:
        plain = DataLoader(images, batch_sampler=[[0, 1], [2, 3]])
        refused(lambda: wrap(plain, counting(), balance="uniform", ratio=0.5), "batches of list would be lost")
        refused(lambda: wrap(plain, balance="uniform", counts=COUNTS), "batches of list would be lost")

    def test_counts_by_name_or_in_order(self, images: TensorDataset, refused: Any) -> None:
        for counts in (COUNTS, list(COUNTS.values()), np.array(list(COUNTS.values()))):
            loader = wrap(listed(images), counting(), counts=counts, balance="uniform")
            assert loader.stream_plan.counts.tolist() == list(COUNTS.values())  # type: ignore[union-attr]
        refused(lambda: wrap(listed(images), counting(), counts=[1, 2]), "different numbers of classes")

    def test_a_ratio_of_nothing_is_told(self, images: TensorDataset) -> None:
        with pytest.warns(UserWarning, match="no synthetic sample is planned"):
            wrap(listed(images), counting(), counts=COUNTS)

    def test_weights_undo_the_balance(self, images: TensorDataset) -> None:
        loader = wrap(listed(images), counting(), counts=COUNTS, balance="uniform", ratio=1, tag=True)
        total = torch.zeros(4)
        for *_, info in endless_for(loader, 8):
            total += torch.zeros(4).index_add_(0, info.label, info.weight)
        assert torch.allclose(total / total.sum(), torch.tensor(list(COUNTS.values())) / 37, atol=0.01)

    def test_a_mixed_stream_can_be_pickled_and_copied(self, images: TensorDataset) -> None:
        loader = wrap(DataLoader(Rows(images), 8), counting(), ratio=0.4, tag=True)
        list(loader)
        expected = [tell(batch[:2]) for batch in copy.deepcopy(loader)]
        assert [tell(batch[:2]) for batch in pickle.loads(pickle.dumps(loader))] == expected
        assert [tell(batch[:2]) for batch in loader] == expected

    def test_no_warnings_where_nothing_is_wrong(self, source: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            list(wrap(source(), counting(), ratio=0.4, augment=augment.image(SHAPE)))

    def test_one_side_alone_is_augmented(self, images: TensorDataset) -> None:
        darker = {"synthetic": lambda batch: [batch[0] * 0, batch[1]]}
        for (x, _, info), (real, _) in zip(
            wrap(listed(images), counting(), ratio=0.4, augment=darker, tag=True), listed(images), strict=True
        ):
            assert not x[info.synthetic].any()
            assert torch.equal(x[~info.synthetic], real[~info.synthetic])

    def test_topping_up_keeps_the_rows_in_front(self, images: TensorDataset) -> None:
        loader = wrap(listed(images), counting(), ratio=0.5, top_up=True, tag=True)
        for (x, y, info), (real, labels) in zip(loader, listed(images), strict=True):
            assert torch.equal(x[: len(real)], real)
            assert torch.equal(y[: len(real)], labels)
            assert info.synthetic.tolist() == [False] * len(real) + [True] * (len(x) - len(real))
        assert (abs(loader.stats().synthetic - loader.stats().real) < 1).all()


def endless_for(loader: MixLoader[Any], epochs: int) -> Iterator[Any]:
    for _ in range(epochs):
        yield from loader


class Darker(CountingGenerator):
    """Makes a darker image of a real one."""

    wants_source = True

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        super().sample(labels, keys)
        return torch.as_tensor(sources[0] * 0.5)


class TestSources:
    """Generators that make samples of real ones, in streams."""

    def test_they_get_a_row_of_the_class_in_the_same_batch(self, images: TensorDataset) -> None:
        loader = wrap(listed(images), Darker(SHAPE, 4), ratio=0.5, tag=True)
        for (x, _, info), (real, labels) in zip(loader, listed(images), strict=True):
            for made, label in zip(x[info.synthetic], info.label[info.synthetic], strict=True):
                assert any(torch.equal(made, row * 0.5) for row in real[labels == label])
        assert loader.stats().synthetic.sum() > 10

    def test_they_get_images_without_normalisation(self, images: TensorDataset) -> None:
        batches = [((x - 0.5) / 0.25, y) for x, y in listed(images)]
        plain = wrap(listed(images), Darker(SHAPE, 4), ratio=0.5)
        for (x, _), (bright, _) in zip(
            plain, wrap(batches, Darker(SHAPE, 4), ratio=0.5, normalized=(0.5, 0.25)), strict=True
        ):
            assert torch.allclose(bright * 0.25 + 0.5, x, atol=1e-5)

    def test_a_batch_without_a_row_of_the_class_is_refused(self, images: TensorDataset, refused: Any) -> None:
        loader = wrap(listed(images), Darker(SHAPE, 4), balance="uniform", ratio=1)
        refused(lambda: list(loader), "real row of each class", "larger batches", "'natural'")

    def test_samples_are_not_used_again_when_their_source_is_gone(self, images: TensorDataset, refused: Any) -> None:
        made = Darker(SHAPE, 4).reused(3)
        refused(lambda: wrap(listed(images), made, ratio=0.5), "reuse: expected 1", "found 3", "stream")


@pytest.mark.parametrize("times", [2, 4])
def test_reused_samples_are_made_once(images: TensorDataset, times: int) -> None:
    batches = [list(images[torch.randperm(37, generator=torch.Generator().manual_seed(n))[:8]]) for n in range(60)]
    gen = counting().reused(times)
    loader = wrap(batches, gen, ratio=0.5, tag=True)
    delivered = laws.deliver(loader)
    keys = laws.stream(delivered)
    made = keys["key"][keys["synthetic"]].tolist()
    assert gen.keys[4:] == list(dict.fromkeys(made)) or sorted(gen.keys[4:]) == sorted(set(made))
    assert len(set(made)) < len(made) / times + 40
    stats = loader.stats()
    assert stats.fresh.sum() == len(set(made))
    assert stats.reused.sum() == len(made) - len(set(made))
    small = wrap(batches, counting().reused(times, cache_bytes=1), ratio=0.5, tag=True)
    assert all(one.same(two) for one, two in zip(delivered, laws.deliver(small), strict=True))


class TestFeedback:
    def test_it_counts_from_the_next_epoch_on(self, images: TensorDataset) -> None:
        big = [batch for batch in listed(images) for _ in range(4)]
        loader = wrap(big, counting(), ratio=Feedback(0.8, cut=0.5), tag=True)
        loader.feedback([0.9] * 4)
        list(itertools.islice(loader, 2))
        loader.feedback([0.1, 0.9, 0.9, 0.9])
        made = [laws.stream(laws.deliver(loader)) for _ in range(2)]
        shares = [one["synthetic"][one["label"] == 0].mean() for one in made]
        assert shares == pytest.approx([0.4, 0.4], abs=0.02)

    def test_it_is_in_the_state(self, images: TensorDataset) -> None:
        make = maker(lambda: listed(images), ratio=Feedback(0.8))
        loader, again = make(), make()
        loader.feedback([0.9] * 4)
        list(loader)
        loader.feedback([0.1] * 4)
        again.load_state_dict(copied(loader.state_dict()))
        assert all(one.same(two) for one, two in zip(laws.deliver(loader), laws.deliver(again), strict=True))

    def test_a_ratio_that_does_not_listen_refuses(self, images: TensorDataset, refused: Any) -> None:
        refused(lambda: wrap(listed(images), counting(), ratio=0.5).feedback([1] * 4), "feedback", "Feedback(...)")


def test_a_manifest_says_what_the_stream_is_and_is_not_replayed(images: TensorDataset, refused: Any) -> None:
    loader = wrap(listed(images), counting(), ratio=0.4)
    manifest = loader.manifest()
    assert manifest["stream"]["ratio"] == "Constant(ratio=0.4)"
    assert manifest["generator"]["is"] == "CountingGenerator"
    refused(lambda: onthefly.replay(manifest, 0, 0, generator=counting()), "planned mix", "stream", "tag=True")


def test_there_is_no_plan_to_ask_for(images: TensorDataset) -> None:
    loader = wrap(listed(images), counting(), ratio=0.4)
    assert loader.plan is None
    with pytest.raises(RuntimeError, match="found a stream"):
        loader.planned("it")


@pytest.mark.parametrize("name", ["list", "iterable"])
def test_6_hermetic(images: TensorDataset, generators: dict[str, Any], name: str) -> None:
    make = maker(lambda: SOURCES[name](images), generators["vae"], ratio=0.4, augment=augment.image(SHAPE))
    laws.law_6_hermetic(make, generators["vae"])


def test_7_a_sample_is_its_key(images: TensorDataset, generator: FrozenGenerator, mix: dict[str, Any]) -> None:
    laws.law_7_sample_is_its_key(maker(lambda: listed(images), generator, **mix), generator)


def test_8_usable(images: TensorDataset, generator: FrozenGenerator, mix: dict[str, Any]) -> None:
    fresh = lambda: [(x.clone(), y) for x, y in listed(images)]  # noqa: E731
    laws.law_8_usable(maker(fresh, generator, **mix))


def test_9_honest(images: TensorDataset, generators: dict[str, Any], mix: dict[str, Any]) -> None:
    loader = maker(lambda: listed(images), generators["vae"], **mix)()
    real, synthetic = np.zeros((2, 4), np.int64)
    for number, batch in enumerate(laws.Delivered(*batch) for batch in endless_for(loader, EPOCHS)):
        real += np.bincount(batch.labels[~batch.info.synthetic], minlength=4)
        synthetic += np.bincount(batch.labels[batch.info.synthetic], minlength=4)
        stats = loader.stats()
        assert (stats.batches, stats.real.tolist()) == (number + 1, real.tolist())
        assert stats.synthetic.tolist() == stats.fresh.tolist() == synthetic.tolist()


def test_epochs_beyond_training_are_refused(images: TensorDataset, refused: Any) -> None:
    loader = wrap(DataLoader(Rows(images), 8), counting(), ratio=Linear(0, 0.5), epochs=2, length=5)
    refused(lambda: loader.set_epoch(2), "epoch from 0 to 1, found 2")
    for _ in range(2):
        list(loader)
    refused(lambda: next(iter(loader)), "epoch from 0 to 1, found 2")


def test_a_ratio_that_comes_to_one_is_refused_before_it_is_topped_up(images: TensorDataset, refused: Any) -> None:
    options = {"ratio": Linear(0, 1), "epochs": 2, "length": 5, "top_up": True, "balance": "natural"}
    refused(lambda: wrap(DataLoader(Rows(images), 8), counting(), **options), "ratio: expected less than 1", "top_up")


def test_an_epoch_that_was_set_after_a_pass_is_where_a_state_goes_on(images: TensorDataset) -> None:
    make = maker(lambda: DataLoader(Rows(images), 8), ratio=0.4, epochs=5)
    first, again = make(), make()
    list(first)
    first.set_epoch(3)
    again.load_state_dict(first.state_dict())
    assert again.epoch == first.epoch == 3


def test_the_state_of_another_process_or_of_other_processes_is_refused(images: TensorDataset, refused: Any) -> None:
    def make(rank: int, world: int) -> MixLoader[Any]:
        return wrap(listed(images), counting(), ratio=0.4, shard=(rank, world), sharded=False)

    state = make(0, 2).state_dict()
    for rank, world in ((1, 2), (0, 1)):
        refused(
            lambda rank=rank, world=world: make(rank, world).load_state_dict(state),
            f"shard: expected [{rank}, {world}]",
        )


class Shuffled:
    """Batches in an order of its own, which goes on from pass to pass."""

    def __init__(self, images: TensorDataset) -> None:
        self.images, self.draws = images, torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[Any]:
        return iter([list(self.images[rows]) for rows in torch.randperm(37, generator=self.draws).split(8)])

    def state_dict(self) -> Any:
        return {"draws": self.draws.get_state()}

    def load_state_dict(self, state: Any) -> None:
        self.draws.set_state(state["draws"])


def test_a_source_s_own_order_goes_on_after_a_pass(images: TensorDataset) -> None:
    make = maker(lambda: Shuffled(images), ratio=0.4)
    first, again = make(), make()
    list(first)
    again.load_state_dict(copied(first.state_dict()))
    assert all(one.same(two) for one, two in zip(laws.deliver(again), laws.deliver(first), strict=True))


def test_a_pass_shorter_than_its_length_is_told(images: TensorDataset) -> None:
    loader = wrap(listed(images), counting(), ratio=0.4, length=9)
    with pytest.warns(UserWarning, match="length: expected 9 batches in epoch 0, found 5"):
        list(loader)


def test_a_function_that_makes_the_same_iterator_again_is_told(images: TensorDataset, refused: Any) -> None:
    once = iter(listed(images))
    loader = wrap(lambda: once, counting(), ratio=0.4)
    list(loader)
    refused(lambda: list(loader), "anew for every epoch", "list_iterator", error=TypeError)


def test_samples_in_place_of_batches_are_told(images: TensorDataset, refused: Any) -> None:
    refused(lambda: list(wrap(Rows(images), counting(), ratio=0.4)), "rather than batches", "DataLoader(dataset")
