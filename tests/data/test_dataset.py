"""The half in the workers, and the two halves joined by hand."""

import pickle
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

from onthefly import HostCollate, MixPlan, SyntheticMixDataset
from onthefly.data.dataset import HostBatch

ROWS = [0, 0, 0, 1, 1, 2]


class Counting(list[Any]):
    """A list that counts how often it is asked for many at once."""

    asked = 0

    def __getitems__(self, rows: list[int]) -> list[Any]:
        self.asked += 1
        return [self[row] for row in rows]


def plan(**changed: Any) -> MixPlan:
    return MixPlan(ROWS, **{"batch_size": 3, "balance": "uniform", "ratio": {1: 0.5, 2: 1.0}, **changed})


def host_batches(dataset: Any, collate_fn: Any = default_collate, **changed: Any) -> list[HostBatch]:
    mixed = SyntheticMixDataset(dataset, plan(**changed))
    return list(DataLoader(mixed, batch_size=3, sampler=mixed.sampler, collate_fn=HostCollate(collate_fn)))


def test_real_rows_are_collated_and_synthetic_slots_stay_numbers() -> None:
    batches = host_batches([(f"row {row}", label) for row, label in enumerate(ROWS)])
    for batch in batches:
        slots = batch.slots
        assert batch.collated
        assert (slots.key[slots.synthetic] >= 0).all()
        real = [f"row {row}" for row in slots.index[~slots.synthetic]]
        assert (list(batch.real[0]) if real else []) == real
    assert sum(batch.slots.synthetic.sum() for batch in batches) == 3


def test_another_collate_runs_here_only_if_nothing_is_synthetic() -> None:
    def collate(samples: list[Any]) -> str:
        return "+".join(samples)

    assert all(batch.real.count("+") == 2 for batch in host_batches(list("abcdef"), collate, ratio=0))
    for batch in host_batches(list("abcdef"), collate):
        assert batch.collated != batch.slots.synthetic.any()
        assert batch.real is None or isinstance(batch.real, list if batch.slots.synthetic.any() else str)


def test_sources_travel_beside_the_batch() -> None:
    for batch in host_batches(list("abcdef"), sources=True):
        slots = batch.slots
        expected = ["abcdef"[row] for row in slots.index[slots.synthetic]]
        assert (batch.sources or []) == expected


def test_a_dataset_that_reads_many_at_once_is_asked_once_a_batch() -> None:
    data = Counting("abcdef")
    assert len(host_batches(data, ratio=0)) == 2
    assert data.asked == 2
    assert len(host_batches(Subset(data, list(range(6))), ratio=0)) == 2  # type: ignore[arg-type]


def test_it_is_the_dataset_otherwise() -> None:
    data = Counting("abcdef")
    data.classes = ("x", "y", "z")  # type: ignore[attr-defined]
    mixed = SyntheticMixDataset(data, plan())
    assert (len(mixed), mixed[2], mixed.classes, mixed.asked) == (6, "c", ("x", "y", "z"), 0)
    with pytest.raises(AttributeError):
        mixed.nothing  # noqa: B018


def test_a_worker_s_copy_has_no_plan() -> None:
    mixed = SyntheticMixDataset(list("abcdef"), plan())
    items = list(mixed.sampler)[:3]
    copy = pickle.loads(pickle.dumps(mixed))
    assert copy.__getitems__(items)[1] == mixed.__getitems__(items)[1]
    with pytest.raises(RuntimeError, match="main process"):
        copy.sampler  # noqa: B018


@pytest.mark.parametrize(
    "use", [iter, len, lambda batch: batch[0], lambda batch: batch.to("cpu"), lambda batch: tuple(batch)]
)
def test_an_unfilled_batch_says_so_loudly(use: Any, refused: Any) -> None:
    batch = host_batches(list("abcdef"))[0]
    refused(lambda: use(batch), "HostBatch", "not filled", "DeviceCollate(generator)", error=TypeError)


def test_a_rebuilt_loader_says_so_loudly(refused: Any) -> None:
    mixed = SyntheticMixDataset(list("abcdef"), plan())
    loader = DataLoader(mixed, batch_size=3, collate_fn=HostCollate())
    refused(lambda: next(iter(loader)), "HostCollate", "sampler=mixed.sampler", error=TypeError)


@pytest.mark.parametrize("size", [2, 4])
def test_slots_that_were_grouped_anew_say_so_loudly(size: int, refused: Any) -> None:
    mixed = SyntheticMixDataset(list("abcdef"), plan())
    loader = DataLoader(mixed, batch_size=size, sampler=mixed.sampler, collate_fn=HostCollate())
    words = "SyntheticMixDataset: expected the slots of one batch", f"found {size}", "batch_size=..."
    refused(lambda: next(iter(loader)), *words, error=RuntimeError)


def test_a_plan_of_other_data_is_refused(refused: Any) -> None:
    refused(lambda: SyntheticMixDataset(list("abc"), plan()), "dataset's 3 samples", "one of 6", "MixPlan")


def test_pinning_reaches_every_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 1)
    batch = host_batches(TensorDataset(torch.zeros(6, 2), torch.zeros(6)), ratio=0)[0].pin_memory()
    assert [part.unique().item() for part in batch.real] == [1, 1]


def test_what_a_worker_is_told_to_write_reaches_the_user_s_dataset() -> None:
    class Opened(list[Any]):
        offset = 0

        def __getitem__(self, row: Any) -> Any:
            return super().__getitem__(row) + self.offset

    def init(worker: int) -> None:
        info = torch.utils.data.get_worker_info()
        assert info is not None
        info.dataset.offset = 10 * (worker + 1)

    mixed = SyntheticMixDataset(Opened(range(6)), plan(ratio=0))
    loader = DataLoader(mixed, 3, sampler=mixed.sampler, collate_fn=HostCollate(), num_workers=1, worker_init_fn=init)
    assert torch.cat([batch.real for batch in loader]).min() >= 10


def test_the_first_epoch_set_after_a_state_was_loaded_means_that_state_s_and_others_follow() -> None:
    sampler = SyntheticMixDataset(ROWS, plan()).sampler
    for counted_from in (0, 4):
        sampler.resume(4, 1)
        sampler.set_epoch(counted_from)
        assert sampler.next_pass() == (4, 1)
        sampler.aim(4, 1)
        sampler.handed_out(4, 2)
        sampler.set_epoch(counted_from + 1)
        assert sampler.next_pass() == (5, 0)


def test_an_epoch_that_was_is_delivered_again_with_a_warning() -> None:
    sampler = SyntheticMixDataset(ROWS, plan()).sampler
    sampler.set_epoch(3)
    sampler.aim(3, 0)
    with pytest.warns(UserWarning, match="expected an epoch from 3 on"):
        sampler.set_epoch(1)
    assert sampler.next_pass() == (1, 0)
