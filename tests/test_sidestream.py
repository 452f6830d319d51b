"""The side stream, and a loader that makes the next batch ready before it hands out this one: nothing of it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

import onthefly
from onthefly import MixLoader, augment
from onthefly.generators import deferred
from onthefly.schedule import Linear
from onthefly.sidestream import SideStream
from onthefly.testing import CountingGenerator
from tests import laws

SHAPE = (1, 8, 8)
EPOCHS = 2


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CUDA device, with workers."""
    monkeypatch.setattr(MixLoader, "looks_ahead", True)


def wrapped(data: Any, workers: int = 2, **options: Any) -> MixLoader[Any]:
    plain = DataLoader(data, 8, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    options = {"ratio": 0.6, "augment": augment.image(SHAPE), "tag": True} | options
    return onthefly.wrap(plain, CountingGenerator(SHAPE, 4), device="cpu", **options)


@pytest.mark.usefixtures("ahead")
class TestALoaderThatLooksAhead:
    def test_delivers_what_one_does_that_does_not(self, images: TensorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
        found = laws.deliver(wrapped(images), EPOCHS)
        monkeypatch.setattr(MixLoader, "looks_ahead", False)
        expected = laws.deliver(wrapped(images, workers=0), EPOCHS)
        assert all(one.same(two) for one, two in zip(found, expected, strict=True))

    def test_resumes_after_the_batch_that_was_handed_out(self, images: TensorDataset) -> None:
        def make(**changed: Any) -> MixLoader[Any]:
            return wrapped(images, **{"workers": 2, "ratio": Linear(0.2, 1), "epochs": EPOCHS, **changed})

        laws.law_5_resume(make, EPOCHS)

    def test_counts_what_it_hands_out(self, images: TensorDataset) -> None:
        loader = wrapped(images)
        for done, _ in enumerate(loader, 1):
            stats = loader.stats()
            assert stats.batches == done
            assert loader.state_dict()["step"] == done
            assert stats.real.sum() + stats.synthetic.sum() == min(8 * done, len(images))

    def test_raises_an_error_in_place_of_its_own_batch(self, images: TensorDataset) -> None:
        loader = wrapped(Failing(images), labels=images.tensors[1], ratio=0.1, balance="natural")
        iterator, outcomes = iter(loader), []
        for _ in range(len(loader)):
            try:
                outcomes.append(len(next(iterator)[0]))
            except RuntimeError as error:
                assert "row 3" in str(error)
                outcomes.append(None)
            assert loader.state_dict()["step"] == len(outcomes)
        with pytest.raises(StopIteration):
            next(iterator)
        bad = [step for step, slots in enumerate(batches_of(loader)) if 3 in slots.index[~slots.synthetic]]
        assert [step for step, outcome in enumerate(outcomes) if outcome is None] == bad
        assert len(bad) >= 1

    def test_begins_anew_when_a_pass_is_left(self, images: TensorDataset) -> None:
        loader, whole = wrapped(images), laws.deliver(wrapped(images), 3)
        steps = len(loader)
        for epoch in range(3):
            for batch, expected in zip(loader, whole[epoch * steps :][:2], strict=False):
                assert laws.Delivered(*batch).same(expected)

    def test_augments_batches_that_come_as_they_come_the_same(
        self, images: TensorDataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def delivered() -> list[Any]:
            torch.manual_seed(3)
            plain = DataLoader(images, 8, shuffle=True, num_workers=2)
            loader = onthefly.wrap(plain, augment=augment.image(SHAPE), device="cpu")
            found = list(loader)
            assert loader.stats().real.sum() == len(images)
            return found

        found = delivered()
        monkeypatch.setattr(MixLoader, "looks_ahead", False)
        assert all(torch.equal(one[0], two[0]) for one, two in zip(found, delivered(), strict=True))


class Failing(Dataset[Any]):
    """Row 3 can't be read, once the loader is there."""

    def __init__(self, images: TensorDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        if row == 3 and torch.utils.data.get_worker_info() is not None:
            raise RuntimeError("row 3")
        image, label = self.images[row]
        return image, int(label)


def batches_of(loader: MixLoader[Any]) -> Iterator[Any]:
    slots = loader.planned("the test").epoch(0)
    return (slots[8 * step : 8 * (step + 1)] for step in range(len(loader)))


def test_where_it_pays_the_loader_looks_ahead(images: TensorDataset) -> None:
    assert not wrapped(images).looks_ahead
    on_cuda = wrapped(images)
    assert on_cuda.mix is not None
    on_cuda.mix.collate.device = torch.device("cuda")
    assert on_cuda.looks_ahead
    without_workers = wrapped(images, workers=0)
    assert without_workers.mix is not None
    without_workers.mix.collate.device = torch.device("cuda")
    assert not without_workers.looks_ahead


class FakeCuda:
    """Notes in which order streams are made to wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.made = 0
        self.main, self.current = FakeStream(self, "main"), None
        monkeypatch.setattr(torch.cuda, "Stream", self._stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: self.current or self.main)
        monkeypatch.setattr(torch.cuda, "stream", self._entered)

    def _stream(self, _: torch.device) -> "FakeStream":
        self.made += 1
        return FakeStream(self, "side")

    @contextmanager
    def _entered(self, stream: "FakeStream") -> Iterator[None]:
        self.current = stream
        yield
        self.current = None


class FakeStream:
    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: "FakeStream") -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> "FakeStream":
        self.cuda.log.append(f"event in {self.name}")
        return self

    def wait_event(self, event: "FakeStream") -> None:
        self.cuda.log.append(f"{self.name} waits for the event in {event.name}")

    def synchronize(self) -> None:
        self.cuda.log.append("the process waits for the event")


class FakeTensor(Tensor):
    device = torch.device("cuda")  # type: ignore[assignment]

    def record_stream(self, stream: Any) -> None:
        stream.cuda.log.append(f"{stream.name} uses the result")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


def test_streams_wait_both_ways_and_one_serves_all(cuda: FakeCuda) -> None:
    side = SideStream(torch.device("cuda"))

    def work() -> Any:
        assert cuda.current is not None
        cuda.log.append("work")
        return {"x": [torch.zeros(1).as_subclass(FakeTensor)], "n": 3}

    started = side.start(work, work)
    assert cuda.log == ["side waits for main", "work", "event in side"]
    del cuda.log[:]
    assert started.take()["n"] == 3
    assert cuda.log == ["main waits for the event in side", "main uses the result"]
    side.start(work, work)
    assert cuda.made == 1


def test_what_work_raises_is_raised_where_it_is_taken(cuda: FakeCuda) -> None:
    for device in ("cuda", "cpu"):
        started = SideStream(torch.device(device)).start(lambda: 1 // 0, lambda: 1)
        with pytest.raises(ZeroDivisionError):
            started.take()


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that values arrive in is pinned, which needs a device."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **kind: empty(*shape, **kind))


@pytest.mark.usefixtures("arriving")
def test_values_are_checked_when_the_result_is_taken_and_then_all_is_done_again(cuda: FakeCuda) -> None:
    def refuse(values: list[float]) -> None:
        cuda.log.append("checked")
        raise ValueError(f"found {values}")

    def again() -> str:
        assert deferred.waiting() is None
        return "done again"

    values = torch.tensor([2.0]).as_subclass(FakeTensor)
    started = SideStream(torch.device("cuda")).start(lambda: deferred.expect(values, refuse), again)
    assert "checked" not in cuda.log
    assert started.take() == "done again"
    assert cuda.log[-2:] == ["the process waits for the event", "checked"]
    with pytest.raises(ValueError, match=r"found \[2\.0\]"):
        deferred.expect(torch.tensor([2.0]), refuse)


@pytest.mark.usefixtures("ahead", "arriving", "cuda")
class TestSamplesThatGoWrongWhereChecksWait:
    """As on a CUDA device, though all of it is on the CPU."""

    @pytest.fixture(autouse=True)
    def waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deferred, "_DEVICE", "cpu")

    def loader(self, images: TensorDataset, reuse: int, bad: set[int], policy: Any) -> MixLoader[Any]:
        made = Spoilt(bad)
        made.on_fault = policy
        plain = DataLoader(images, 8, shuffle=True)
        loader = onthefly.wrap(plain, made.reused(reuse), ratio=0.7, tag=True, device="cpu")
        assert loader.mix is not None
        loader.mix.__dict__["side"] = SideStream(torch.device("cuda"))
        return loader

    def bad_keys(self, images: TensorDataset, reuse: int) -> dict[int, int]:
        """A key of batch 1, which may come again, and one of batch 3; and how often each comes in two epochs."""
        plan = self.loader(images, reuse, set(), "raise").planned("the test")
        keys = plan.epoch(0).key
        chosen = [int(keys[8 * step : 8 * step + 8][keys[8 * step : 8 * step + 8] >= 0][0]) for step in (1, 3)]
        delivered = torch.tensor([*plan.epoch(0).key.tolist(), *plan.epoch(1).key.tolist()])
        return {key: int((delivered == key).sum()) for key in chosen}

    @pytest.mark.parametrize("reuse", [1, 3])
    def test_they_are_an_error_of_their_own_batch(self, images: TensorDataset, reuse: int) -> None:
        bad = self.bad_keys(images, reuse)
        loader = self.loader(images, reuse, set(bad), "raise")
        steps, failed = len(loader), []
        slots = [loader.planned("the test").epoch(epoch).key for epoch in range(2)]
        batches = [set(keys[start : start + 8].tolist()) for keys in slots for start in range(0, len(keys), 8)]
        expected = [place % steps for place, keys in enumerate(batches) if keys & set(bad)]
        for _ in range(2):
            iterator = iter(loader)
            for step in range(steps):
                try:
                    batch = next(iterator)
                    assert batch[0].isfinite().all()
                except ValueError as error:
                    assert "expected finite values" in str(error)
                    failed.append(step)
            assert next(iterator, None) is None
        assert failed == expected

    @pytest.mark.parametrize("reuse", [1, 3])
    def test_their_slots_are_filled_where_that_was_asked_for(self, images: TensorDataset, reuse: int) -> None:
        bad = self.bad_keys(images, reuse)
        loader = self.loader(images, reuse, set(bad), "real")
        with pytest.warns(UserWarning, match="a sample of class .* went wrong"):
            batches = laws.deliver(loader, 2)
        assert all(batch.images.isfinite().all() for batch in batches)
        assert loader.stats().refilled.sum() == sum(bad.values())


class Spoilt(CountingGenerator):
    """Some of its samples, and no others, hold NaN."""

    batch_size = 1000

    def __init__(self, bad: set[int]) -> None:
        super().__init__(SHAPE, 4)
        self.bad = bad

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        images = super().sample(labels, keys)
        images[torch.tensor([key in self.bad for key in keys.tolist()])] = torch.nan
        return images
