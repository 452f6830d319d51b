"""Several processes: their batches laid side by side are the stream of one, whatever their number."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader
from onthefly.data import sampler
from onthefly.data.processes import DisagreementError, disagreements
from onthefly.mixing.ranks import Shard
from onthefly.schedule import Fill, Linear
from onthefly.testing import CountingGenerator
from tests import laws

GLOBAL = 24
EPOCHS = 2
WORKER = Path(__file__).with_name("rank_worker.py")
MIXES: dict[str, dict[str, Any]] = {
    "default": {},
    "changing": {"balance": "uniform", "ratio": Fill(cap=0.9) * Linear(0.2, 1)},
    "natural": {"balance": "natural", "ratio": 0.4},
}


def wrap(
    images: TensorDataset, rank: int, world: int, *, reuse: int = 1, workers: int = 0, **mix: Any
) -> MixLoader[Any]:
    generator = CountingGenerator((1, 8, 8), 4).reused(reuse)
    plain = DataLoader(images, GLOBAL // world, shuffle=True, num_workers=workers)
    options = {"epochs": EPOCHS, "device": "cpu", "tag": True, "shard": (rank, world), **mix}
    return onthefly.wrap(plain, generator, **options)


def side_by_side(ranks: list[list[laws.Delivered]]) -> list[dict[str, np.ndarray]]:
    """Each global batch, from those of all ranks."""
    assert len({len(batches) for batches in ranks}) == 1, "ranks have unequal numbers of steps"
    return [laws.stream(list(step)) for step in zip(*ranks, strict=True)]


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_side_by_side_they_are_the_stream_of_one(images: TensorDataset, name: str, world: int) -> None:
    alone = laws.deliver(wrap(images, 0, 1, **MIXES[name]), EPOCHS)
    ranks = [laws.deliver(wrap(images, rank, world, **MIXES[name]), EPOCHS) for rank in range(world)]
    for number, (found, expected) in enumerate(zip(side_by_side(ranks), alone, strict=True)):
        for field, values in laws.stream([expected]).items():
            assert np.array_equal(found[field], values), field
        pixels = torch.cat([rank[number].images for rank in ranks])
        assert torch.equal(pixels, expected.images)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_changes_nothing(images: TensorDataset, world: int, workers: int) -> None:
    for rank in range(world):
        expected = laws.deliver(wrap(images, rank, world, **MIXES["changing"]), EPOCHS)
        found = laws.deliver(wrap(images, rank, world, workers=workers, **MIXES["changing"]), EPOCHS)
        assert all(one.same(two) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize("world", [2, 3, 4, 8])
def test_with_reuse_a_batch_holds_the_same_slots_and_a_key_stays_where_it_is(images: TensorDataset, world: int) -> None:
    mix = {"balance": "uniform", "ratio": 0.6, "reuse": 3}
    alone = laws.deliver(wrap(images, 0, 1, **mix), EPOCHS)
    ranks = [laws.deliver(wrap(images, rank, world, **mix), EPOCHS) for rank in range(world)]
    for found, expected in zip(side_by_side(ranks), alone, strict=True):
        slots = laws.stream([expected])
        one, two = (sorted(zip(part["label"], part["key"], part["source"], strict=True)) for part in (found, slots))
        assert one == two
    strays = [
        batch.info.key[batch.info.synthetic] % world != rank for rank, batches in enumerate(ranks) for batch in batches
    ]
    assert torch.cat(strays).float().mean() < 0.35  # those that find no room; cut into slices it were 1 - 1 / world


def test_all_have_equally_many_steps_and_what_is_too_short_for_all_is_left_out(images: TensorDataset) -> None:
    few = torch.utils.data.Subset(images, range(GLOBAL + 2))
    lengths = {world: [len(wrap(few, rank, world)) for rank in range(world)] for world in (1, 2, 3, 4)}
    assert lengths == {1: [2], 2: [2, 2], 3: [1, 1, 1], 4: [1, 1, 1, 1]}
    for rank in range(3):
        assert len(laws.deliver(wrap(few, rank, 3))) == 1


@pytest.mark.parametrize(("first", "then"), [(1, 3), (3, 1), (2, 4)])
def test_another_number_of_processes_goes_on_where_the_first_stopped(
    images: TensorDataset, first: int, then: int
) -> None:
    alone = laws.deliver(wrap(images, 0, 1, **MIXES["changing"]), EPOCHS)
    before = wrap(images, 0, first, **MIXES["changing"])
    batches = iter(before)
    next(batches)
    state = before.state_dict()
    ranks = []
    for rank in range(then):
        loader = wrap(images, rank, then, **MIXES["changing"])
        loader.load_state_dict(state)
        ranks.append(laws.deliver(loader, EPOCHS))
    for found, expected in zip(side_by_side(ranks), alone[1:], strict=True):
        assert all(np.array_equal(found[name], values) for name, values in laws.stream([expected]).items())


def test_a_state_of_other_global_batches_is_refused(images: TensorDataset, refused: Any) -> None:
    state = wrap(images, 0, 2).state_dict()
    plain = DataLoader(images, GLOBAL, shuffle=True)
    other = onthefly.wrap(plain, CountingGenerator((1, 8, 8), 4), epochs=EPOCHS, device="cpu", shard=(0, 2))
    refused(lambda: other.load_state_dict(state), "batch_size: expected 48, found 24")


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0.5, 2), (0, 0)])
def test_shards_that_cannot_be(images: TensorDataset, shard: Any, refused: Any) -> None:
    refused(lambda: Shard(*shard), "shard: expected (rank, world_size)", repr(shard[0]))


def test_what_differs_is_named() -> None:
    assert disagreements({"seed": 0, "ratio": 1}, {"seed": 1, "ratio": 1}) == ["seed: expected 0, found 1"]


def launch(world: int, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the worker in several processes that talk to each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={world}", f"--master-port={port}"]
    return subprocess.run(
        [*torchrun, str(WORKER), str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parent.parent,
    )


def launched(world: int, out: Path, what: str) -> list[Any]:
    """What each of several processes wrote down."""
    done = launch(world, out, what)
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(world)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return list(launched(1, tmp_path_factory.mktemp("alone"), "deliver")[0])


@pytest.mark.parametrize("world", [2, 3])
def test_real_processes(tmp_path: Path, world: int, alone: list[Any]) -> None:
    """Their loaders are older than the process group; there is feedback after the first epoch, and a stop and a start
    in the second."""
    ranks = launched(world, tmp_path, "deliver")
    assert len({len(rank) for rank in ranks}) == 1
    for number, expected in enumerate(alone):
        for field in ("label", "key", "source", "pixels"):
            assert [value for rank in ranks for value in rank[number][field]] == expected[field]


def test_processes_keep_to_a_budget_together(tmp_path: Path) -> None:
    """One takes longer to make samples than the other; both use them as often as that one needs."""
    one, other = launched(2, tmp_path, "budget")
    assert one["log"] == other["log"] != []
    assert one["log"][0]["epoch"] == 1
    assert one["reused"] > 0 < other["reused"]


def test_processes_that_disagree_are_all_told_at_the_first_step(tmp_path: Path) -> None:
    for told in launched(2, tmp_path, "disagree"):
        assert all("ranks: expected all 2 processes to deliver the same mix" in message for message in told.values())
        assert "seed: expected 0, found 1" in told["seed"]
        assert "epoch: expected 0, found 1" in told["epoch"]
        assert "log: expected" in told["feedback"]
        assert "0.6" in told["feedback"]


def test_a_state_loaded_before_the_others_are_known_is_not_counted_in_their_batches(
    images: TensorDataset, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    plain = DataLoader(images, 8, shuffle=True)
    loader, again = (onthefly.wrap(plain, CountingGenerator((1, 8, 8), 4), device="cpu") for _ in range(2))
    next(iter(loader))
    again.load_state_dict(loader.state_dict())
    monkeypatch.setattr(sampler, "this_shard", lambda: Shard(0, 2))
    monkeypatch.setattr(sampler, "check_agreement", lambda mine: None)
    refused(lambda: next(iter(again)), "global batches of 16", "found 8", "once the process group exists")


def test_processes_that_disagree_lose_no_epoch(images: TensorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def disagree(mine: Any) -> None:
        raise DisagreementError

    loader = onthefly.wrap(DataLoader(images, 8, shuffle=True), CountingGenerator((1, 8, 8), 4), device="cpu")
    monkeypatch.setattr(sampler, "this_shard", lambda: Shard(0, 2))
    monkeypatch.setattr(sampler, "check_agreement", disagree)
    for _ in range(2):
        with pytest.raises(DisagreementError):
            next(iter(loader))
    assert loader.epoch == 0
    assert loader.position.reached() == (0, 0)
