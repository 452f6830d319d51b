"""The supply: samples that come again are remembered, which changes what they cost and nothing else."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import MixLoader
from onthefly.generators.supply import Memo, Supply
from onthefly.schedule import Linear
from onthefly.testing import CountingGenerator
from tests import laws

SHAPE = (1, 8, 8)
EPOCHS = 4
ROOM = 3 * (64 * 4 + 8)  # bytes of three samples and their labels


def own_collate(samples: list[Any]) -> Any:
    return default_collate(samples)


COLLATES = pytest.mark.parametrize("collate", [None, own_collate])
MIXES: dict[str, dict[str, Any]] = {
    "uniform": {"balance": "uniform", "ratio": 0.8},
    "natural": {"balance": "natural", "ratio": 0.5},
    "changing": {"balance": "uniform", "ratio": Linear(1, 0.2), "epochs": EPOCHS},
}


@pytest.fixture(params=MIXES)
def mix(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MIXES[request.param]


def wrapped(images: TensorDataset, made: Any, collate: Any = None, **options: Any) -> MixLoader[Any]:
    plain = DataLoader(images, 8, shuffle=True, collate_fn=collate)
    return onthefly.wrap(plain, made, device="cpu", tag=True, **options)


def memo_of(loader: MixLoader[Any]) -> Memo:
    supply = loader.mix.collate._supply  # type: ignore[union-attr]
    assert isinstance(supply, Supply)
    return supply.memo


@COLLATES
@pytest.mark.parametrize("times", [2, 5])
def test_each_sample_is_made_once(images: TensorDataset, mix: dict[str, Any], times: int, collate: Any) -> None:
    gen = CountingGenerator(SHAPE, 4).reused(times)
    loader = wrapped(images, gen, collate, **mix)
    compared = gen.samples
    slots = laws.stream(laws.deliver(loader, EPOCHS))
    made = np.bincount(slots["label"][slots["synthetic"]], minlength=4)
    distinct = loader.planned("the test").reuse.distinct(made)
    assert gen.samples - compared == distinct.sum() < made.sum()
    keys = gen.keys[compared:]
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(slots["key"][slots["synthetic"]].tolist())
    stats = loader.stats()
    assert stats.fresh.tolist() == distinct.tolist()
    assert (stats.reused + stats.fresh).tolist() == stats.synthetic.tolist() == made.tolist()


@COLLATES
@pytest.mark.parametrize("room", [1, ROOM])
def test_what_is_delivered_does_not_depend_on_it(
    images: TensorDataset, generators: dict[str, Any], mix: dict[str, Any], collate: Any, room: int
) -> None:
    vae = generators["vae"]
    expected = laws.deliver(wrapped(images, vae.reused(3), collate, **mix), EPOCHS)
    loader = wrapped(images, vae.reused(3, cache_bytes=room), collate, **mix)
    most = 0
    found = []
    for batch in (batch for _ in range(EPOCHS) for batch in loader):
        found.append(laws.Delivered(*batch))
        most = max(most, memo_of(loader).bytes)
    assert all(one.same(two) for one, two in zip(found, expected, strict=True))
    assert most <= room
    if room == 1:
        stats = loader.stats()
        assert stats.fresh.tolist() == stats.synthetic.tolist()
        assert len(memo_of(loader)) == 0


@COLLATES
def test_what_comes_no_more_is_forgotten(images: TensorDataset, mix: dict[str, Any], collate: Any) -> None:
    loader = wrapped(images, CountingGenerator(SHAPE, 4).reused(3), collate, **mix)
    window = loader.planned("the test").reuse.window.sum()
    awaited: set[int] = set()
    plan = loader.planned("the test")
    for epoch in range(EPOCHS):
        slots = plan.epoch(epoch)
        for step, _ in enumerate(loader):
            some = slots[8 * step : 8 * (step + 1)]
            mine = some[some.synthetic]
            awaited = (awaited | set(mine.key.tolist())) - set(mine.key[mine.last].tolist())
            memo = memo_of(loader)
            assert set(memo._kept) == awaited
            assert memo.bytes == len(memo) * (64 * 4 + 8)
            assert len(memo) <= window


@COLLATES
def test_after_a_state_was_loaded_the_rest_is_the_same(
    images: TensorDataset, mix: dict[str, Any], collate: Any
) -> None:
    def make(**changed: Any) -> MixLoader[Any]:
        return wrapped(images, CountingGenerator(SHAPE, 4).reused(3), collate, **mix, **changed)

    laws.law_5_resume(make, 2)
    laws.law_9_honest(make, 2)


@COLLATES
def test_what_a_user_does_to_a_batch_is_not_remembered(images: TensorDataset, collate: Any) -> None:
    make = CountingGenerator(SHAPE, 4).reused(4)
    expected = laws.deliver(wrapped(images, make, collate, ratio=1), 2)
    loader = wrapped(images, make, collate, ratio=1)
    for batch, other in zip(passes(loader, 2), expected, strict=True):
        assert laws.Delivered(*batch).same(other)
        batch[0].mul_(0)
        batch[1].add_(7)


def passes(loader: MixLoader[Any], epochs: int) -> Iterator[Any]:
    for _ in range(epochs):
        yield from loader


@COLLATES
def test_samples_of_any_structure(images: TensorDataset, collate: Any) -> None:
    class Dicts(torch.utils.data.Dataset[Any]):
        targets = images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            return {"x": images[row][0], "name": "real", "y": int(images[row][1])}

    made = CountingGenerator(SHAPE, 4).map(lambda image, label: {"x": image, "name": f"made {int(label)}", "y": label})
    loader, plain = (
        onthefly.wrap(DataLoader(Dicts(), 8, shuffle=True, collate_fn=collate), one, ratio=0.8, tag=True, device="cpu")
        for one in (made.reused(3), made.reused(3, cache_bytes=1))
    )
    for batch, other in zip(passes(loader, 3), passes(plain, 3), strict=True):
        fakes = batch["mix"].synthetic.tolist()
        assert [name.startswith("made") for name in batch["name"]] == fakes
        assert batch["name"] == other["name"]
        assert torch.equal(batch["x"], other["x"])
        assert torch.equal(batch["y"], other["y"])
    assert loader.stats().reused.sum() > 20
    assert plain.stats().reused.sum() == 0


def test_stats_show_what_was_reused(images: TensorDataset) -> None:
    loader = wrapped(images, CountingGenerator(SHAPE, 4).reused(3), ratio=0.8)
    list(passes(loader, 3))
    rows = str(loader.stats()).splitlines()
    assert rows[0].split() == ["class", "real", "synthetic", "fresh", "reused"]
    assert len({len(row) for row in rows[:-1]}) == 1


class TestMemo:
    def test_those_go_that_were_used_longest_ago(self) -> None:
        memo = Memo(12)
        for key in (1, 2, 3):
            memo.keep(key, torch.tensor([float(key)]))
        memo.keep(1, memo.get(1))
        memo.keep(4, torch.tensor([4.0]))
        assert [memo.get(key) is not None for key in (1, 2, 3, 4)] == [True, False, True, True]
        assert (memo.bytes, len(memo)) == (12, 3)

    def test_what_is_too_large_is_not_kept(self) -> None:
        memo = Memo(12)
        memo.keep(1, torch.zeros(2))
        memo.keep(2, torch.zeros(4))
        assert (memo.bytes, len(memo)) == (0, 0)

    def test_a_part_of_a_batch_takes_no_more_than_its_own_room(self) -> None:
        memo, batch = Memo(1000), torch.zeros(100)
        memo.keep(1, [batch[3], "name"])
        assert memo.get(1)[0].untyped_storage().nbytes() == 4
        memo.drop(1)
        memo.drop(1)
        assert (memo.bytes, len(memo)) == (0, 0)


def test_what_is_skipped_is_forgotten_too(images: TensorDataset) -> None:
    """Passes that are left early skip the last uses of many samples."""
    plain = DataLoader(images, 8, shuffle=True)
    loader = onthefly.wrap(plain, CountingGenerator((1, 8, 8), 4).reused(4), ratio=1, balance="natural", device="cpu")
    assert loader.mix is not None
    for _ in range(30):
        next(iter(loader))
    memo = loader.mix.collate._supply.memo  # type: ignore[union-attr]
    assert 0 < len(memo) <= loader.planned("test").reuse.window.sum()


def test_arrays_are_remembered_in_memory_of_their_own(images: TensorDataset) -> None:
    def collate(samples: Any) -> Any:
        for image, _ in samples:
            image *= 0.5
        return [np.stack([image for image, _ in samples]), [label for _, label in samples]]

    arrays = [(image.numpy().copy(), int(label)) for image, label in images]
    made = CountingGenerator((1, 8, 8), 4).map(lambda image, label: (image.numpy(), int(label)))
    seen: dict[int, Any] = {}
    plain = DataLoader(arrays, 8, shuffle=True, collate_fn=collate)
    labels = images.tensors[1]
    for pixels, _, info in onthefly.wrap(plain, made.reused(4), ratio=1, labels=labels, device="cpu", tag=True):
        for key, image in zip(info.key.tolist(), pixels, strict=True):
            assert np.array_equal(seen.setdefault(key, image.copy()), image)
    assert len(seen) < len(images)
