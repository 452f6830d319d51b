"""The source of a stream: opened anew for every pass, at any batch, for any process."""

from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from onthefly.data.source import Source
from onthefly.mixing.ranks import Shard


class Faulty:
    """Numbers, some of which raise; goes on after it."""

    def __init__(self, size: int, wrong: tuple[int, ...] = ()) -> None:
        self.size, self.wrong = size, wrong

    def __iter__(self) -> Iterator[int]:
        return _Numbers(self.size, self.wrong)


class _Numbers(Iterator[int]):
    def __init__(self, size: int, wrong: tuple[int, ...]) -> None:
        self.number, self.size, self.wrong = -1, size, wrong

    def __next__(self) -> int:
        self.number += 1
        if self.number in self.wrong:
            raise KeyError(self.number)
        if self.number >= self.size:
            raise StopIteration
        return self.number


class Placed:
    """Numbers that go on from where a state was taken."""

    def __init__(self, size: int) -> None:
        self.size, self.place, self.loaded, self.reads = size, 0, False, 0

    def __iter__(self) -> Iterator[int]:
        self.place, self.loaded = self.place if self.loaded else 0, False
        while self.place < self.size:
            self.place, self.reads = self.place + 1, self.reads + 1
            yield self.place - 1

    def state_dict(self) -> Any:
        return {"place": self.place}

    def load_state_dict(self, state: Any) -> None:
        self.place, self.loaded = state["place"], True


class Three(Faulty):
    """The class itself is a function that makes batches."""

    def __init__(self) -> None:
        super().__init__(3)


def all_of(batches: Iterator[Any]) -> list[Any]:
    found: list[Any] = []
    while True:
        try:
            found.append(next(batches))
        except StopIteration:
            return found
        except KeyError:
            found.append(None)


@pytest.mark.parametrize("batches", [[0, 1, 2], lambda: iter([0, 1, 2]), range(3), DataLoader([0, 1, 2], None), Three])
def test_every_pass_begins_anew_and_at_any_batch(batches: Any) -> None:
    source = Source(batches)
    for _ in range(2):
        assert [list(source.open(0, step)) for step in range(4)] == [[0, 1, 2], [1, 2], [2], []]


@pytest.mark.parametrize("once", [iter([1]), (one for one in [1]), map(str, [1])])
def test_what_is_used_up_after_one_pass_is_refused(once: Any, refused: Any) -> None:
    words = (type(once).__name__, "used up after one", "wrap(lambda: my_batches()")
    refused(lambda: Source(once), *words, error=TypeError)


def test_what_is_no_source_of_batches_is_refused(refused: Any) -> None:
    refused(lambda: Source(3), "expected a DataLoader, an iterable", "found a int", error=TypeError)  # type: ignore[arg-type]


def test_its_length_is_that_of_the_batches_unless_said(refused: Any) -> None:
    assert len(Source([1, 2, 3])) == 3
    assert len(Source([1, 2, 3], length=2)) == Source([1, 2, 3], length=2).known_length == 2
    assert len(Source([1, 2, 3], shard=Shard(0, 2), sharded=False)) == 1
    unknown = Source(lambda: [1])
    assert unknown.known_length is None
    refused(lambda: len(unknown), "function has no len()", "pass length=", error=TypeError)
    unknown = Source(DataLoader(Endless(), None))
    assert unknown.known_length is None
    refused(lambda: len(unknown), "DataLoader has no len()", "pass length=", error=TypeError)


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield from iter(int, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_length_ends_a_pass(workers: int) -> None:
    source = Source(DataLoader(Endless(), None, num_workers=workers), length=4)
    assert [len(list(source.open(0, step))) for step in (0, 1, 4)] == [4, 3, 0]


@pytest.mark.parametrize("step", range(6))
def test_an_error_costs_its_own_batch_and_a_pass_that_begins_later_has_it_behind_it(step: int) -> None:
    source = Source(Faulty(5, wrong=(1, 3)))
    opened = source.open(0, step)
    assert all_of(opened) == [0, None, 2, None, 4][step:]
    assert opened.step == 5


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_take_turns_where_all_have_the_same_batches(rank: int) -> None:
    source = Source(range(7), shard=Shard(rank, 2), sharded=False)
    assert [list(source.open(0, step)) for step in (0, 1, 3)] == [[rank, 2 + rank, 4 + rank], [2 + rank, 4 + rank], []]
    faulty = Source(Faulty(8, wrong=(2,)), shard=Shard(rank, 2), sharded=False)
    for step in range(4):
        assert all_of(faulty.open(0, step)) == [rank, None, 4 + rank, 6 + rank][step:]


def test_processes_with_batches_of_their_own_need_a_length(refused: Any) -> None:
    refused(lambda: Source([1], shard=Shard(1, 2)), "2 processes", "sharded=None", "sharded=True", "False")
    refused(lambda: Source([1], shard=Shard(1, 2), sharded=True), "length=None", "pass length=")
    source = Source(range(5), shard=Shard(1, 2), sharded=True, length=3)
    assert list(source.open(0, 0)) == [0, 1, 2]
    assert list(source.open(0, 2)) == [2]


@pytest.mark.parametrize("sharded", [True, False])
def test_a_shard_that_ends_early_is_told(sharded: bool, refused: Any) -> None:
    opened = Source(range(5), shard=Shard(1, 2), sharded=sharded, length=6).open(3, 0)
    got = 5 if sharded else 2
    assert [next(opened) for _ in range(got)] == ([0, 1, 2, 3, 4] if sharded else [1, 3])
    words = ("length: expected 6 batches in epoch 3", "2 processes", f"found {got} on rank 1", "length of the shortest")
    refused(lambda: next(opened), *words)


@pytest.mark.parametrize("step", range(6))
def test_a_source_that_knows_its_place_is_put_there(step: int) -> None:
    first = Source(Placed(5))
    opened = first.open(0, 0)
    for _ in range(step):
        next(opened)
    placed = Placed(5)
    again = Source(placed)
    again.resume(first.state(), 0, step)
    assert again.state() == first.state() == {"place": step}  # saved again before it goes on
    assert list(again.open(0, step)) == list(opened)
    assert placed.reads == 5 - step
    assert list(again.open(1, 0)) == [0, 1, 2, 3, 4]


def test_another_place_than_that_of_its_state_is_gone_to_batch_by_batch() -> None:
    source = Source(Placed(5))
    source.resume({"place": 3}, 0, 3)
    assert list(source.open(2, 0)) == [0, 1, 2, 3, 4]


def test_a_state_of_another_kind_of_source_is_refused(refused: Any) -> None:
    source = Source([1, 2])
    assert source.state() is None
    refused(lambda: source.resume({"place": 1}, 0, 1), "state:", "load_state_dict", "found a list", "same kind")


class Told:
    """Notes the epochs that it is told of."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


class Numbers(Told, Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> int:
        return row


class ToldSampler(Told, SequentialSampler):
    pass


class ToldBatches(Told, BatchSampler):
    pass


class ToldLoader(Told, DataLoader[Any]):
    pass


@pytest.mark.parametrize("made", [False, True])
def test_every_part_is_told_the_epoch(made: bool) -> None:
    data = Numbers()
    sampler = ToldSampler(data)
    batches = ToldBatches(sampler, 2, False)
    loader = ToldLoader(data, batch_sampler=batches)
    source = Source(lambda: loader) if made else Source(loader)
    for epoch in (0, 3):
        list(source.open(epoch, 0))
    assert [part.epochs for part in (data, sampler, batches, loader)] == [[0, 3]] * 4
