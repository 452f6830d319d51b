"""Where there is nothing to mix, a `MixLoader` does what a `DataLoader` does: without a mix, and with an empty one."""

import copy
import os
import pickle
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from onthefly import MixLoader
from tests.drop_in import NullLoader, outcomes, wrapped

WAYS = {"no mix": MixLoader, "null mix": NullLoader, "wrapped": wrapped}


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


class Rows(Dataset[int]):
    """Twelve numbers; asked for some of them, it does something else."""

    def __init__(self, **unlike: Any) -> None:
        self.said, self.unlike = 0, {int(name[1:]): act for name, act in unlike.items()}

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> int:
        self.unlike.get(row, lambda: None)()
        return row + self.said


def fail(error: Exception) -> Any:
    def act() -> None:
        raise error

    return act


def told(loader: Any) -> list[Any]:
    """What comes of each batch of a pass, errors too."""
    batches, found = iter(loader), []
    while True:
        try:
            batch = next(batches)
            found.append(batch.tolist() if isinstance(batch, Tensor) else batch)
        except StopIteration:
            return found
        except Exception as error:  # noqa: BLE001
            found.append((type(error), str(error)))


SETTINGS: list[dict[str, Any]] = [
    {"batch_size": 5},
    {"batch_size": 5, "drop_last": True},
    {"batch_size": 5, "shuffle": True},
    {"batch_size": 5, "sampler": [3, 1, 4, 1, 5, 9]},
    {"batch_sampler": [[0], [5, 3], [7, 8, 9]]},
    {"batch_size": 5, "shuffle": True, "num_workers": 2, "multiprocessing_context": "fork"},
    {"batch_size": 2, "num_workers": 2, "prefetch_factor": 1, "in_order": False, "timeout": 60},
    {"batch_size": 2, "num_workers": 2, "persistent_workers": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_batches_order_and_random_numbers_are_the_same(make: Any, settings: dict[str, Any]) -> None:
    def passes(loader: Any) -> Any:
        torch.manual_seed(3)
        found = [told(loader), told(loader)]
        found = [sorted(one) for one in found] if not settings.get("in_order", True) else found
        return len(loader), found, torch.rand(1).item()

    assert passes(make(Rows(), **settings)) == passes(DataLoader(Rows(), **settings))


def test_a_generator_of_the_user_s_is_the_only_one_drawn_from(make: Any) -> None:
    def passes(make: Any) -> Any:
        torch.manual_seed(3)
        loader = make(Rows(), 5, shuffle=True, num_workers=1, generator=torch.Generator().manual_seed(7))
        return told(loader), told(loader), loader.generator.get_state().tolist(), torch.rand(1).item()

    assert passes(make) == passes(DataLoader)


@pytest.mark.parametrize("workers", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=str)
def test_an_error_keeps_type_and_message_and_comes_at_its_own_batch(make: Any, workers: Any) -> None:
    data = Rows(_3=fail(KeyError("third")), _10=fail(ValueError("tenth")))
    loader, plain = make(data, 2, **workers), DataLoader(data, 2, **workers)
    for _ in range(2):
        found = told(loader)
        assert found == told(plain)
        assert [error[0] for error in (found[1], found[5])] == [KeyError, ValueError]
        assert "third" in found[1][1]
    for persistent in (loader._iterator, plain._iterator):
        if persistent is not None:
            persistent._shutdown_workers()  # an error holds on to them otherwise, until there is garbage collection


@pytest.mark.parametrize("many", [{"batch_size": 2}, {"batch_sampler": [[0, 1], [2]]}], ids=str)
def test_an_error_of_the_collate_or_of_the_sampler_is_the_same(make: Any, many: Any) -> None:
    class Broken(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            yield from (1, 2, 3)
            raise OSError("no more")

    assert told(make(Rows(), collate_fn=lambda rows: 1 / 0, **many)) == told(
        DataLoader(Rows(), collate_fn=lambda rows: 1 / 0, **many)
    )
    batches = iter(make(Rows(), 2, sampler=Broken()))
    assert next(batches).tolist() == [1, 2]
    with pytest.raises(OSError, match="no more"):
        next(batches)


def test_a_timeout_is_told_and_the_batch_comes_later(make: Any) -> None:
    loader = make(Rows(_2=lambda: time.sleep(1.5)), 2, num_workers=1, timeout=1)
    found = told(loader)
    assert found[1] == (RuntimeError, "DataLoader timed out after 1 seconds")
    assert [batch for batch in found if isinstance(batch, list)] == [[row, row + 1] for row in range(0, 12, 2)]


def _say(worker: int) -> None:
    get_worker_info().dataset.said = 100 * (worker + 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(("way", "start"), [*((way, "fork") for way in WAYS), ("wrapped", "spawn")])
def test_workers_are_started_and_told_as_the_user_says(way: str, start: str) -> None:
    loader = WAYS[way](Rows(), 6, num_workers=2, worker_init_fn=_say, multiprocessing_context=start)
    assert [min(batch) // 100 for batch in told(loader)] == [1, 2]
    assert loader.multiprocessing_context.get_start_method() == start


def test_an_error_in_a_worker_s_beginning_is_told(make: Any) -> None:
    batches = iter(make(Rows(), 6, num_workers=1, worker_init_fn=lambda worker: 1 / 0))
    with pytest.raises(ZeroDivisionError, match="Caught ZeroDivisionError in DataLoader worker process 0"):
        next(batches)
    batches._shutdown_workers()


def test_persistent_workers_stay_from_pass_to_pass_and_end_with_the_loader(make: Any) -> None:
    loader = make(Rows(), 2, num_workers=2, persistent_workers=True)
    told(loader)
    kept, workers = loader._iterator, loader._iterator._workers
    next(iter(loader))
    assert told(loader) == told(DataLoader(Rows(), 2))
    assert loader._iterator is kept
    assert loader._iterator._workers is workers
    assert all(worker.is_alive() for worker in workers)
    del loader, kept
    for worker in workers:
        worker.join(10)
    assert not any(worker.is_alive() for worker in workers)


def test_workers_end_with_an_iterator_that_is_left(make: Any) -> None:
    batches = iter(make(Rows(), 2, num_workers=2))
    next(batches)
    workers = batches._workers
    del batches
    for worker in workers:
        worker.join(10)
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_iterator_that_is_over_stays_over(make: Any, workers: int) -> None:
    batches = iter(make(Rows(), 6, num_workers=workers))
    assert len(list(batches)) == 2
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)


@pytest.mark.parametrize(
    "name", ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"]
)
def test_what_a_dataloader_won_t_have_changed_stays(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} attribute should not be set after .*Loader is initialized"):
        setattr(make(Rows()), name, None)


def test_what_a_dataloader_lets_one_change_has_its_effect(make: Any) -> None:
    def changed(make: Any) -> Any:
        loader = make(Rows(), 6)
        loader.collate_fn, loader.num_workers, loader.prefetch_factor = sum, 1, 1
        loader.worker_init_fn, loader.timeout, loader.multiprocessing_context = _say, 60, "fork"
        loader.note = "mine"
        return loader.note, told(loader)

    assert changed(make) == changed(DataLoader)


class Numbers(IterableDataset[int]):
    """Ten numbers, in every worker."""

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[int]:
        return iter(range(10))


@pytest.mark.parametrize("workers", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=str)
def test_a_stream_longer_than_it_said_is_warned_of(make: Any, workers: Any) -> None:
    def warned(loader: Any) -> Any:
        length = len(loader)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            batches = told(loader)
        return length, batches, [str(one.message).split("object at")[0] for one in caught]

    length, batches, said = warned(make(Numbers(), 1, **workers))
    assert (length, len(batches)) == (10, 20 if workers else 10)
    assert len(said) == (10 if workers else 0)
    assert (length, batches, said) == warned(DataLoader(Numbers(), 1, **workers))


def test_types_may_be_written_after_it() -> None:
    loader = MixLoader[list[int]](Rows(), 2)
    assert isinstance(loader, MixLoader)
    assert told(loader) == told(DataLoader(Rows(), 2))

    class Mine(MixLoader[int]):
        pass

    assert len(Mine(Rows(), 5)) == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
@pytest.mark.parametrize("workers", [{}, {"num_workers": 1, "persistent_workers": True}], ids=str)
def test_a_copy_is_a_loader_of_its_own(make: Any, copied: Any, workers: Any) -> None:
    loader = make(Rows(), 5, **workers)
    expected = told(loader)
    again = copied(loader)
    assert told(again) == told(loader) == expected
    assert again._iterator is not loader._iterator or not workers
    assert len(again) == 3


class Unsized(Sampler[int]):
    """Raises where others have no length at all."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(7))

    def __len__(self) -> int:
        raise NotImplementedError


class Short(Unsized):
    """Yields more than it says: a batch that can't be the last one is taken for a full one."""

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(("sampler", "counted"), [(Unsized, 7), (Short, 8)])
def test_a_sampler_s_length_is_not_relied_on(make: Any, sampler: Any, counted: int) -> None:
    loader = make(Rows(), 2, sampler=sampler())
    assert told(loader) == told(DataLoader(Rows(), 2, sampler=sampler()))
    assert loader.mix is None or loader.stats().real.sum() == counted


class Box:
    """A batch of a user's own, that moves as most of them do."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def to(self, device: Any) -> "Box":
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("many", [{"batch_size": 2}, {"batch_sampler": [[0, 1], [2]]}], ids=str)
@pytest.mark.parametrize(
    "collate",
    [Box, lambda rows: {"box": [Box(rows)]}, lambda rows: torch.tensor(sum(rows)), lambda rows: None, str, sum],
)
def test_a_batch_may_be_anything(make: Any, collate: Any, many: Any) -> None:
    assert told(make(Rows(), collate_fn=collate, **many)) == told(DataLoader(Rows(), collate_fn=collate, **many))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["MixLoader", "NullLoader"])
def test_pytorch_s_own_tests_pass_as_they_do_with_a_dataloader(name: str, tmp_path: Path) -> None:
    if "ONTHEFLY_TORCH_TESTS" not in os.environ:
        pytest.skip("ONTHEFLY_TORCH_TESTS names no file of PyTorch's tests")
    tests = Path(os.environ["ONTHEFLY_TORCH_TESTS"])
    (tmp_path / "plain").mkdir()
    (tmp_path / "ours").mkdir()
    plain = outcomes(tests, "DataLoader", tmp_path / "plain")
    ours = outcomes(tests, name, tmp_path / "ours")
    assert "passed" in plain.values()
    assert [test for test, outcome in plain.items() if outcome == "passed" != ours.get(test)] == []
