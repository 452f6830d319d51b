"""Threads on the CPU: while a batch is made ready the workers keep their cores, and after it all is as it was."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import threads


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_cores", lambda: set(range(8)))
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(before)


def seen_by(loader: Any) -> set[int]:
    return {int(threads) for _, threads in loader}


def number(batch: Any) -> Any:
    return [batch[0], torch.get_num_threads()]


@pytest.mark.parametrize(("workers", "expected"), [(0, 6), (1, 6), (3, 5), (9, 1)])
def test_each_worker_has_a_core(workers: int, expected: int) -> None:
    with threads.beside_workers(workers):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 6


def test_an_error_changes_nothing() -> None:
    with pytest.raises(ZeroDivisionError), threads.beside_workers(5):
        1 // 0  # noqa: B018
    assert torch.get_num_threads() == 6


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize("balance", ["natural", "uniform"])
def test_a_batch_is_made_ready_beside_the_workers(
    images: TensorDataset, as_stream: bool, balance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrapped(workers: int) -> Any:
        plain = DataLoader(images, 8, shuffle=not as_stream, num_workers=workers)
        stream = DataLoader(plain.dataset, batch_sampler=plain.batch_sampler, num_workers=workers)
        return onthefly.wrap(
            stream if as_stream else plain, balance=None if as_stream else balance, augment=number, device="cpu"
        )

    monkeypatch.setattr(threads, "_cores", lambda: set(range(5)))
    assert seen_by(wrapped(0)) == {6}
    assert seen_by(wrapped(2)) == {3}
    assert torch.get_num_threads() == 6


def test_the_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len(threads._cores()) == len(os.sched_getaffinity(0))
