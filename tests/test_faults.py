"""Generators that go wrong in training: real samples in their slots where that was asked for, and only there."""

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import DeviceCollate, HostCollate, MixLoader, MixPlan, SyntheticMixDataset, augment
from onthefly.generators import FrozenGenerator, load, save
from onthefly.generators.faults import find_faults
from onthefly.mixing.keys import Purpose
from onthefly.testing import CountingGenerator, FaultyGenerator
from tests import laws

EPOCHS = 2
WAYS = ("raise", "nan", "range", "shape", "count")
TOLD = "ignore:generator. a sample of class:UserWarning"


def wrong(keys: Tensor) -> Tensor:
    """One key in four; none of those that ``wrap`` tries."""
    return (keys % 4 == 3) & (keys > 3)


def counting(classes: int = 4) -> CountingGenerator:
    return CountingGenerator((1, 8, 8), classes)


def faulty(fault: Any = "nan", policy: Any = "real", where: Callable[[Tensor], Tensor] = wrong) -> FaultyGenerator:
    made = FaultyGenerator(counting(), fault, where=where)
    made.on_fault = policy
    return made


def as_list(samples: list[Any]) -> Any:
    """A collate function of the user's."""
    return tuple(default_collate(samples))


def wrapped(
    images: TensorDataset, generator: FrozenGenerator, collate_fn: Any = None, workers: int = 0, **mix: Any
) -> MixLoader[Any]:
    options = {"ratio": 0.6, "epochs": EPOCHS, "tag": True, "device": "cpu", **mix}
    plain = DataLoader(images, 8, shuffle=True, num_workers=workers, collate_fn=collate_fn)
    return onthefly.wrap(plain, generator, **options)


def maker(images: TensorDataset, **options: Any) -> laws.Make:
    """A fresh loader with a fresh faulty generator; its one warning is not of interest."""
    return lambda **changed: wrapped(images, faulty(options.pop("fault", "nan")), **{**options, **changed})


def planned(loader: MixLoader[Any], epochs: int = EPOCHS) -> dict[str, np.ndarray]:
    plan = loader.planned("the test")
    slots = [plan.epoch(epoch) for epoch in range(epochs)]
    return {name: np.concatenate([getattr(one, name) for one in slots]) for name in ("label", "key", "synthetic")}


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("fault", WAYS)
@pytest.mark.parametrize("collate_fn", [None, as_list])
def test_the_slot_holds_a_real_sample_of_its_class(images: TensorDataset, fault: Any, collate_fn: Any) -> None:
    loader = wrapped(images, faulty(fault), collate_fn)
    batches = laws.deliver(loader, EPOCHS)
    slots, plan = laws.stream(batches), planned(loader)
    pixels = torch.cat([batch.images for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    bad = plan["synthetic"] & (plan["key"] % 4 == 3)
    assert 5 < bad.sum() < plan["synthetic"].sum()
    assert (slots["synthetic"] == (plan["synthetic"] & ~bad)).all()
    assert (slots["key"] == np.where(bad, -1, plan["key"])).all()
    assert (slots["label"] == plan["label"]).all()
    rows = slots["source"][bad]
    assert (images.tensors[1][rows].numpy() == plan["label"][bad]).all()
    assert torch.equal(pixels[bad], images.tensors[0][rows])
    assert torch.equal(labels, torch.from_numpy(plan["label"]))
    made = slots["synthetic"]
    expected = counting().sample(torch.from_numpy(plan["label"][made]), torch.from_numpy(plan["key"][made]))
    assert torch.equal(pixels[made], expected)
    stats = loader.stats()
    for count, mask in ((stats.refilled, bad), (stats.synthetic, made), (stats.real, ~made), (stats.fresh, made)):
        assert count.tolist() == np.bincount(slots["label"][mask], minlength=4).tolist()


@pytest.mark.filterwarnings(TOLD)
def test_the_row_is_picked_by_the_key_and_fairly(images: TensorDataset) -> None:
    plan = wrapped(images, faulty()).planned("the test")
    keys, labels = np.arange(2000), np.zeros(2000, np.int64)
    rows = plan.rows_by_key(Purpose.REFILL, labels, keys)
    assert (rows == np.concatenate([plan.rows_by_key(Purpose.REFILL, labels[:1], key) for key in keys[:, None]])).all()
    used = np.bincount(rows, minlength=37)
    mine = images.tensors[1].numpy() == 0
    assert not used[~mine].any()
    assert used[mine].min() > 2000 / mine.sum() / 2


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("collate_fn", [None, as_list])
def test_the_laws_hold(images: TensorDataset, collate_fn: Any) -> None:
    make = maker(images, collate_fn=collate_fn)
    laws.law_5_resume(make, EPOCHS)
    laws.law_6_hermetic(make, counting())
    laws.law_7_sample_is_its_key(make, counting())
    laws.law_8_usable(make)
    laws.law_9_honest(make, EPOCHS)
    laws.law_5_resume(maker(images, collate_fn=collate_fn, augment=augment.image((1, 8, 8))), EPOCHS)


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("collate_fn", [None, as_list])
def test_workers_change_nothing(images: TensorDataset, collate_fn: Any) -> None:
    expected = laws.deliver(wrapped(images, faulty(), collate_fn), EPOCHS)
    found = laws.deliver(wrapped(images, faulty(), collate_fn, workers=2), EPOCHS)
    assert all(one.same(two) for one, two in zip(found, expected, strict=True))


class Drawing(TensorDataset):
    """A dataset that draws random numbers when it is read."""

    def __getitem__(self, row: Any) -> Any:
        torch.rand(3), np.random.rand(3)
        return super().__getitem__(row)


@pytest.mark.filterwarnings(TOLD)
def test_reading_real_samples_draws_nothing_of_the_user_s(images: TensorDataset) -> None:
    make = maker(Drawing(*images.tensors), labels=images.tensors[1], workers=1)  # a worker has states of its own
    laws.law_6_hermetic(make, counting())


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("collate_fn", [None, as_list])
@pytest.mark.parametrize("ratio", [0.6, 1])
def test_all_of_a_batch_may_go_wrong(images: TensorDataset, collate_fn: Any, ratio: float) -> None:
    loader = wrapped(images, faulty("raise", where=lambda keys: keys > 3), collate_fn, ratio=ratio)
    for batch in laws.deliver(loader):
        assert not batch.info.synthetic.any()
        assert torch.equal(batch.images, images.tensors[0][batch.info.source])
        assert torch.equal(batch.labels, images.tensors[1][batch.info.source])
    assert loader.stats().synthetic.sum() == loader.stats().fresh.sum() == 0
    assert loader.stats().refilled.sum() == planned(loader, 1)["synthetic"].sum()


@pytest.mark.filterwarnings(TOLD)
def test_a_sample_that_is_used_again_goes_wrong_the_same_way(images: TensorDataset) -> None:
    loader = wrapped(images, faulty().reused(3), balance="uniform", ratio=0.5, epochs=4)
    assert isinstance(loader.mix.collate.generator, FaultyGenerator)  # type: ignore[union-attr]
    slots, plan = laws.stream(laws.deliver(loader, 4)), planned(loader, 4)
    bad = slots["key"] != plan["key"]
    assert bad.any()
    rows: dict[int, set[int]] = {}
    for key, row in zip(plan["key"][bad], slots["source"][bad], strict=True):
        rows.setdefault(int(key), set()).add(int(row))
    assert all(len(some) == 1 for some in rows.values())
    assert max(np.unique(plan["key"][bad], return_counts=True)[1]) == 3
    stats = loader.stats()
    assert stats.reused.sum() > 0
    assert stats.refilled.sum() == bad.sum()


@pytest.mark.parametrize("fault", WAYS)
def test_a_fault_is_raised_unless_something_else_was_asked_for(images: TensorDataset, fault: Any) -> None:
    loader = wrapped(images, faulty(fault, "raise"))
    with pytest.raises((ValueError, RuntimeError), match=r"on purpose|generator: expected"):
        laws.deliver(loader)
    assert loader.stats().refilled.sum() == 0


def test_the_first_fault_is_told_and_the_table_counts_the_rest(images: TensorDataset) -> None:
    loader = wrapped(images, faulty("raise"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        laws.deliver(loader, EPOCHS)
    (one,) = told
    assert all(
        word in str(one.message) for word in ("a sample of class", "stats().refilled", "RuntimeError", "on purpose")
    )
    table = str(loader.stats())
    assert "refilled" in table
    assert str(loader.stats().refilled.sum()) in table.splitlines()[-1]
    assert "refilled" not in str(wrapped(images, counting()).stats())


def test_an_error_that_comes_once_costs_nothing(images: TensorDataset) -> None:
    once = FaultyGenerator(counting(), "raise", call=3)
    once.on_fault = "real"
    loader = wrapped(images, once)
    expected = laws.deliver(wrapped(images, counting()))
    assert all(one.same(two) for one, two in zip(laws.deliver(loader), expected, strict=True))
    assert loader.stats().refilled.sum() == 0


def test_what_is_no_fault_of_a_sample_is_raised(images: TensorDataset) -> None:
    def broken(samples: list[Any]) -> Any:
        raise KeyError("the user's own")

    with pytest.raises(KeyError, match="own"):
        next(iter(wrapped(images, faulty(), broken)))

    class Full(CountingGenerator):
        on_fault = "real"

        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            if keys.max() > 3:
                raise torch.OutOfMemoryError("full")
            return super().sample(labels, keys)

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        next(iter(wrapped(images, Full((1, 8, 8), 4))))


def test_a_class_without_real_samples_is_raised(images: TensorDataset, refused: Any) -> None:
    labels = images.tensors[1].clone()
    labels[labels == 1] = 0
    loader = wrapped(
        TensorDataset(images.tensors[0], labels), faulty(), ratio={1: 1.0}, balance="uniform", labels=labels
    )
    refused(lambda: laws.deliver(loader, EPOCHS), "expected a real sample of 1", "the dataset", "train")


@pytest.mark.filterwarnings(TOLD)
def test_each_of_several_generators_keeps_its_own_policy(images: TensorDataset) -> None:
    strict, patient = faulty("raise", "raise"), faulty("raise")
    both = {0: patient, 1: counting(), 2: patient, 3: counting()}
    loader = wrapped(images, both)  # type: ignore[arg-type]
    laws.deliver(loader, EPOCHS)
    assert loader.stats().refilled[[1, 3]].sum() == 0 < loader.stats().refilled[0]
    with pytest.raises(RuntimeError, match="on purpose"):
        laws.deliver(wrapped(images, {**both, 1: strict}), EPOCHS)  # type: ignore[arg-type]


def test_the_policy_shows_through_whatever_is_around(refused: Any) -> None:
    made = faulty()
    mapped = made.relabel({0: (0, 1), 1: 2}).map(lambda image, label: image)
    assert mapped.on_fault == mapped.reused(2).on_fault == "real"
    assert mapped.refills.tolist() == mapped.reused(2).refills.tolist() == [True, True]
    mapped.on_fault = "raise"
    assert made.on_fault == made.inner.on_fault == "raise"
    assert not mapped.refills.any()
    made.on_fault = "ignore"  # type: ignore[assignment]
    refused(lambda: made.refills, "on_fault: expected 'raise' or 'real'", "'ignore'")


@pytest.mark.filterwarnings(TOLD)
def test_by_hand_the_dataset_is_given(images: TensorDataset, refused: Any) -> None:
    mixed = SyntheticMixDataset(images, MixPlan(images.tensors[1].numpy(), batch_size=8, balance="natural", ratio=1))
    host = next(iter(DataLoader(mixed, 8, sampler=mixed.sampler, collate_fn=HostCollate())))
    pixels, labels = DeviceCollate(faulty(), device="cpu", dataset=mixed)(host)
    assert pixels.isfinite().all()
    assert labels.tolist() == host.slots.label.tolist()
    refused(lambda: DeviceCollate(faulty(), device="cpu")(host), "DeviceCollate: expected the dataset", "dataset=mixed")


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("collate_fn", [None, as_list])
def test_of_samples_made_from_others_the_right_sources_are_left(images: TensorDataset, collate_fn: Any) -> None:
    class Inverting(CountingGenerator):
        wants_source, on_fault = True, "real"

        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            if wrong(keys).any():
                raise RuntimeError("on purpose")
            pixels = sources[0] if collate_fn is None else torch.stack([source[0] for source in sources])
            return 1 - pixels

    loader = wrapped(images, Inverting((1, 8, 8), 4), collate_fn, labels=images.tensors[1])
    for batch in laws.deliver(loader, EPOCHS):
        real, fake = images.tensors[0][batch.info.source], batch.info.synthetic[:, None, None, None]
        assert torch.equal(batch.images, torch.where(fake, 1 - real, real))
    plan = planned(loader)
    assert loader.stats().refilled.sum() == wrong(torch.from_numpy(plan["key"][plan["synthetic"]])).sum() > 0


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
def test_a_copy_of_a_loader_fills_too(images: TensorDataset, copied: Callable[[Any], Any]) -> None:
    loader = wrapped(images, faulty())
    again, expected = copied(loader), laws.deliver(loader)
    assert loader.stats().refilled.sum() > 0
    assert all(one.same(two) for one, two in zip(laws.deliver(again), expected, strict=True))


@pytest.mark.filterwarnings(TOLD)
def test_normalised_real_samples_stay_as_they_are(images: TensorDataset) -> None:
    bright = TensorDataset((images.tensors[0] - 0.5) / 0.25, images.tensors[1])
    for batch in laws.deliver(wrapped(bright, faulty(), normalized=(0.5, 0.25)), EPOCHS):
        real = ~batch.info.synthetic
        assert torch.equal(batch.images[real], bright.tensors[0][batch.info.source[real]])


@pytest.mark.filterwarnings(TOLD)
def test_a_refilled_slot_is_replayed(images: TensorDataset, refused: Any) -> None:
    loader = wrapped(images, faulty())
    (first, *_) = [laws.deliver(loader)]
    manifest = json.loads(json.dumps(loader.manifest()))
    assert manifest["generator"]["on_fault"] == "real"
    pixels = torch.cat([batch.images for batch in first])
    for slot, (was, planned_as) in enumerate(
        zip(laws.stream(first)["synthetic"], planned(loader, 1)["synthetic"], strict=True)
    ):
        again, _ = onthefly.replay(manifest, 0, slot, generator=faulty(), dataset=images)
        assert torch.equal(again, pixels[slot])
        if planned_as and not was:
            refused(lambda slot=slot: onthefly.replay(manifest, 0, slot, generator=faulty()), "went wrong", "dataset=")
            with pytest.raises(ValueError, match="finite"):
                onthefly.replay(manifest, 0, slot, generator=faulty(policy="raise"), dataset=images)


@pytest.mark.filterwarnings(TOLD)
def test_a_checkpoint_with_the_policy(images: TensorDataset, generators: dict[str, Any], refused: Any) -> None:
    path = save(generators["vae"], Path("generator.safetensors"))
    made = load(path, on_fault="real")
    assert (made.on_fault, load(path).on_fault) == ("real", "raise")
    assert made.reused(2).refills.all()
    loader = wrapped(images, made, ratio=1)
    (pixels, *_), slot = next(iter(loader)), 2
    assert torch.allclose(onthefly.replay(loader.manifest(), 0, slot)[0], pixels[slot], atol=1e-5)
    refused(lambda: load(path, on_fault="skip"), "on_fault: expected", "'skip'")


@pytest.mark.parametrize("fault", WAYS)
@pytest.mark.parametrize("bad", [set(), {7}, {0, 31}, set(range(32))])
def test_faults_are_found_in_few_calls(fault: Any, bad: set[int]) -> None:
    made = FaultyGenerator(counting(), fault, where=lambda keys: torch.isin(keys, torch.tensor(sorted(bad))))
    found = find_faults(made, torch.arange(32) % 4, torch.arange(32))
    assert found.keys() == bad
    assert made.calls <= min(63, 1 + 10 * len(bad))


def batches_of(images: TensorDataset) -> Callable[[], Iterator[Any]]:
    def batches() -> Iterator[Any]:
        for rows in torch.arange(37).split(10):
            yield images.tensors[0][rows], images.tensors[1][rows]

    return batches


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("top_up", [False, True])
def test_a_stream_fills_with_rows_of_the_same_batch(images: TensorDataset, top_up: bool) -> None:
    def make() -> MixLoader[Any]:
        ratio = {0: 0.7, 1: 0.5}
        return onthefly.wrap(batches_of(images), faulty(), ratio=ratio, tag=True, device="cpu", top_up=top_up)

    loader = make()
    came = [batch for _ in range(EPOCHS) for batch in batches_of(images)()]
    found = laws.deliver(loader, EPOCHS)
    assert loader.stats().refilled.sum() > 0
    for batch, (rows, labels) in zip(found, came, strict=True):
        for place in (~batch.info.synthetic).nonzero()[:, 0]:
            same = (rows == batch.images[place]).flatten(1).all(dim=1)
            assert same.sum() == 1
            assert labels[same] == batch.info.label[place] == batch.labels[place]
    stats = loader.stats()
    assert (stats.real + stats.synthetic).sum() == sum(len(batch.labels) for batch in found)
    assert all(one.same(two) for one, two in zip(laws.deliver(make(), EPOCHS), found, strict=True))
    again = make()
    again.load_state_dict(_state_after(make(), 2))
    assert all(one.same(two) for one, two in zip(laws.deliver(again), found[2:4], strict=True))


def _state_after(loader: MixLoader[Any], steps: int) -> Any:
    list(zip(range(steps), loader, strict=False))
    return loader.state_dict()


def test_a_stream_without_a_row_of_the_class_raises(images: TensorDataset, refused: Any) -> None:
    kept = images.tensors[1] != 2
    few = TensorDataset(images.tensors[0][kept], images.tensors[1][kept])
    batches = lambda: (few[rows] for rows in torch.arange(len(few)).split(10))  # noqa: E731
    options = {"ratio": {2: 0.9}, "balance": "uniform", "device": "cpu"}
    loader = onthefly.wrap(batches, faulty(), **options)  # type: ignore[arg-type]
    refused(lambda: list(loader), "expected a real sample of 2", "its batch")
