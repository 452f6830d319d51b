"""Processor and memory: of this process and the workers that it began meanwhile, and of nobody else's."""

import json
import mmap
import time
from collections.abc import Iterator
from multiprocessing import Process, get_context

import pytest
import torch

from onthefly.evidence.machine import cores, machine_of
from onthefly.evidence.usage import Usage, memory_in_words

CPU = torch.device("cpu")


def work() -> None:
    held = bytearray(50_000_000)
    while time.process_time() < 60:
        held[:1000] = held[1000:2000]


@pytest.fixture
def worker() -> Iterator[Process]:
    process = get_context("fork").Process(target=work, daemon=True)
    yield process
    process.kill()
    process.join()


def test_workers_begun_since_count(worker: Process) -> None:
    usage = Usage(CPU)
    usage.begin()
    worker.start()
    begin = time.process_time()
    while usage.cpu_seconds < 0.3 + time.process_time() - begin:  # what this process alone doesn't take
        time.sleep(0.05)
    alone = Usage(CPU)
    alone.begin()
    usage.look()
    alone.look()
    assert usage.peak_bytes > alone.peak_bytes + 40_000_000
    worker.kill()
    worker.join()
    assert usage.cpu_seconds < 60


def test_workers_of_somebody_else_do_not(worker: Process) -> None:
    worker.start()
    usage = Usage(CPU)
    usage.begin()
    begin = time.process_time()
    time.sleep(0.3)
    assert usage.cpu_seconds <= time.process_time() - begin + 0.01


def test_the_memory_is_the_highest_seen() -> None:
    usage = Usage(CPU)
    usage.begin()
    usage.look()
    before = usage.peak_bytes
    time.sleep(0.03)
    held = mmap.mmap(-1, 80_000_000)  # memory that is new to the process, unlike what it has freed before
    for page in range(0, len(held), mmap.PAGESIZE):
        held[page] = 1
    usage.look()
    held.close()
    time.sleep(0.03)
    usage.look()
    assert usage.peak_bytes > before + 60_000_000
    assert "resident" in memory_in_words(CPU)
    assert "max_memory_allocated" in memory_in_words(torch.device("cuda"))


def test_the_machine_is_told_in_plain_values() -> None:
    found = machine_of(CPU)
    assert json.loads(json.dumps(found)) == found
    assert found["cores"] == cores() >= 1
    assert found["device"] == "CPU"
