"""`wrap`, and the loader it makes, as a DataLoader."""

import copy
import pickle
import time
import warnings
from collections import UserDict, namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler, Subset, TensorDataset
from torchvision import transforms, tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.functional import normalize, to_pil_image, to_tensor
from torchvision.tv_tensors import BoundingBoxes

import onthefly
from onthefly import HostCollate, MixLoader, augment
from onthefly.balance import Balance
from onthefly.data.sampler import PlanSampler
from onthefly.generators import FrozenGenerator, save
from onthefly.schedule import Cosine, Fill, Linear, Schedule
from onthefly.testing import CountingGenerator

SHAPE = (1, 8, 8)


def counting(classes: Any = 4) -> CountingGenerator:
    return CountingGenerator(SHAPE, classes)


def wrap(loader: Any, *arguments: Any, **options: Any) -> MixLoader[Any]:
    return onthefly.wrap(loader, *arguments, device="cpu", **options)


def tell(batch: Any) -> list[Any]:
    return [part.tolist() if torch.is_tensor(part) else part for part in batch]


def test_it_is_a_dataloader_with_the_settings_of_the_old_one(images: TensorDataset) -> None:
    def init(worker: int) -> None:
        pass

    plain = DataLoader(
        images,
        batch_size=5,
        shuffle=True,
        num_workers=1,
        drop_last=True,
        timeout=9,
        worker_init_fn=init,
        prefetch_factor=3,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    loader = wrap(plain, counting())
    assert isinstance(loader, DataLoader)
    assert len(loader) == len(plain) == 7
    names = (
        "batch_size",
        "num_workers",
        "drop_last",
        "timeout",
        "worker_init_fn",
        "prefetch_factor",
        "persistent_workers",
    )
    assert [getattr(loader, name) for name in names] == [getattr(plain, name) for name in names]
    assert loader.multiprocessing_context is plain.multiprocessing_context
    assert isinstance(loader.sampler, PlanSampler)
    assert loader.dataset.tensors is images.tensors  # type: ignore[attr-defined]
    assert len(loader.dataset) == len(images)  # type: ignore[arg-type]


def test_a_mixloader_without_a_mix_is_a_dataloader(images: TensorDataset) -> None:
    torch.manual_seed(0)
    expected = [tell(batch) for batch in DataLoader(images, 5, shuffle=True, num_workers=2)]
    torch.manual_seed(0)
    loader: MixLoader[Any] = MixLoader(images, 5, shuffle=True, num_workers=2)
    assert [tell(batch) for batch in loader] == expected


def test_a_checkpoint_s_path_is_enough(plain: Any, generators: dict[str, Any]) -> None:
    path = save(generators["vae"], "vae.safetensors")  # type: ignore[arg-type]
    for form in (path, str(path)):
        images, labels = next(iter(wrap(plain, form)))
        expected = next(iter(wrap(plain, generators["vae"])))
        assert torch.equal(images, expected[0])
        assert torch.equal(labels, expected[1])


@pytest.mark.parametrize("together", [1, 3, 7, 100])
def test_only_the_synthetic_slots_are_asked_of_the_generator_and_as_many_together_as_suits_it(
    plain: Any, together: int
) -> None:
    gen = counting()
    gen.batch_size = together
    loader = wrap(plain, gen, ratio=0.5)
    gen.calls, gen.samples, gen.keys = 0, 0, []
    for _ in loader:
        pass
    assert gen.calls == -(-gen.samples // together)
    assert gen.samples == loader.stats().synthetic.sum()
    assert len(set(gen.keys)) == gen.samples


def test_balance_without_a_generator_is_oversampling(plain: Any, images: TensorDataset) -> None:
    loader = wrap(plain, balance="uniform")
    labels = torch.cat([labels for _, labels in loader])
    assert (labels.bincount() - len(images) / 4).abs().max() < 1
    assert loader.stats().synthetic.sum() == 0


def test_the_default_fills_what_is_missing_and_half_at_most(plain: Any) -> None:
    loader = wrap(plain, counting())
    for _ in range(4):
        list(loader)
    stats = loader.stats()
    assert stats.synthetic[0] == 0
    assert (stats.synthetic <= stats.real + 1).all()
    assert stats.synthetic[3] == pytest.approx(stats.real[3], abs=1)


def test_stats_print_as_a_table(plain: Any) -> None:
    loader = wrap(plain, counting(("cat", "dog", "eel", "a long name")), labels=None)
    list(loader)
    rows = str(loader.stats()).splitlines()
    assert rows[0].split() == ["class", "real", "synthetic"]
    assert len({len(row) for row in rows[:-1]}) == 1
    assert rows[-1].endswith("in 5 batches")


def test_stats_of_a_loader_without_a_plan(plain: Any, images: TensorDataset) -> None:
    loader = wrap(plain)
    list(loader)
    stats = loader.stats()
    assert (stats.classes.names, stats.real.tolist(), stats.batches) == (("all",), [len(images)], len(plain))


class TestEpochs:
    def test_iterating_again_is_the_next_epoch_even_after_a_break(self, plain: Any) -> None:
        loader, other = wrap(plain, counting()), wrap(plain, counting())
        first = [tell(batch) for batch in loader]
        next(iter(loader))
        third = [tell(batch) for batch in loader]
        other.set_epoch(0)
        assert [tell(batch) for batch in other] == first
        other.set_epoch(2)
        assert [tell(batch) for batch in other] == third
        assert first != third

    def test_making_an_iterator_alone_is_no_pass(self, plain: Any) -> None:
        loader = wrap(plain, counting())
        iter(loader)
        iter(loader)
        expected = [tell(batch) for batch in wrap(plain, counting())]
        assert [tell(batch) for batch in loader] == expected

    @pytest.mark.parametrize("workers", [0, 2])
    def test_an_epoch_set_before_the_first_batch_re_aims(self, images: TensorDataset, workers: int) -> None:
        plain = DataLoader(images, 8, shuffle=True, num_workers=workers)
        loader, other = wrap(plain, counting()), wrap(plain, counting())
        iterator = iter(loader)
        loader.set_epoch(3)
        other.set_epoch(3)
        assert tell(next(iterator)) == tell(next(iter(other)))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_two_live_iterators_are_both_right(self, images: TensorDataset, workers: int) -> None:
        loader = wrap(DataLoader(images, 8, shuffle=True, num_workers=workers), counting())
        one, two = iter(loader), iter(loader)
        expected = [tell(batch) for batch in wrap(DataLoader(images, 8, shuffle=True), counting())]
        assert [(tell(a), tell(b)) for a, b in zip(one, two, strict=True)] == [(batch, batch) for batch in expected]

    def test_the_sampler_s_own_set_epoch(self, plain: Any) -> None:
        loader, other = wrap(plain, counting()), wrap(plain, counting())
        loader.sampler.set_epoch(2)  # type: ignore[attr-defined]
        other.set_epoch(2)
        assert tell(next(iter(loader))) == tell(next(iter(other)))

    def test_set_epoch_reaches_a_plain_loader_s_sampler(self, images: TensorDataset) -> None:
        sampler = torch.utils.data.DistributedSampler(images, num_replicas=2, rank=0)
        wrap(DataLoader(images, 8, sampler=sampler)).set_epoch(5)
        assert sampler.epoch == 5

    def test_length_is_always_the_whole_epoch(self, plain: Any) -> None:
        loader = wrap(plain, counting())
        iterator = iter(loader)
        next(iterator)
        assert len(loader) == len(iterator) == 5

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_state_loaded_before_the_first_batch_re_aims(self, images: TensorDataset, workers: int) -> None:
        plain = DataLoader(images, 8, shuffle=True, num_workers=workers)
        first, again = wrap(plain, counting()), wrap(plain, counting())
        batches = iter(first)
        next(batches), next(batches)
        iterator = iter(again)
        again.load_state_dict(first.state_dict())
        assert [tell(batch) for batch in iterator] == [tell(batch) for batch in batches]

    def test_an_epoch_that_cannot_be_planned_is_no_batch(self, plain: Any, refused: Any) -> None:
        loader = wrap(plain, counting(), epochs=1)
        list(loader)
        for _ in range(2):
            iterator = iter(loader)
            refused(lambda iterator=iterator: next(iterator), "epoch from 0 to 0", "found 1", "loader.set_epoch(e)")
            refused(lambda iterator=iterator: next(iterator), "found 1")
        assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (1, 0)

    def test_set_epoch_reaches_a_plain_loader_s_batch_sampler(self, images: TensorDataset) -> None:
        class Buckets(BatchSampler):
            epoch = 0

            def set_epoch(self, epoch: int) -> None:
                self.epoch = epoch

        buckets = Buckets(SequentialSampler(images), 8, drop_last=False)
        wrap(DataLoader(images, batch_sampler=buckets)).set_epoch(5)
        assert buckets.epoch == 5

    def test_training_has_an_end(self, plain: Any, refused: Any) -> None:
        loader = wrap(plain, counting(), ratio=Cosine(1, 0), epochs=1)
        list(loader)
        refused(lambda: list(loader), "epoch from 0 to 0", "found 1")


class Failing(Dataset[Any]):
    def __init__(self, rows: set[int]) -> None:
        self.rows, self.targets = rows, [0] * 12

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> Any:
        if row in self.rows:
            raise KeyError(f"row {row}")
        return torch.zeros(*SHAPE), 0


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_costs_its_own_batch_only(workers: int) -> None:
    loader = wrap(
        DataLoader(Failing(set()), 4, shuffle=True, num_workers=workers),
        counting(1),
        balance="natural",
        ratio=0.2,
        epochs=9,
    )
    loader.dataset.dataset.rows = {3}  # type: ignore[attr-defined]
    iterator, outcomes = iter(loader), []
    while True:
        try:
            outcomes.append(len(next(iterator)[1]))
        except StopIteration:
            break
        except KeyError as error:
            assert "row 3" in str(error)
            outcomes.append(None)
    assert len(outcomes) == 3
    assert outcomes.count(None) <= 1
    assert loader.state_dict()["step"] == 3


def test_an_error_of_the_generator_costs_its_own_batch_only(plain: Any) -> None:
    inner = counting()
    inner.batch_size = 8  # a batch
    gen = onthefly.testing.FaultyGenerator(inner, "raise", call=3)  # the first call is wrap's own
    iterator = iter(wrap(plain, gen, ratio=1))
    next(iterator)
    next(iterator)
    with pytest.raises(RuntimeError, match="on purpose"):
        next(iterator)
    assert len(list(iterator)) == 2


def test_augmentation_alone_needs_no_generator(plain: Any) -> None:
    loader = wrap(plain, augment=lambda batch: [batch[0] + 1, batch[1]])
    torch.manual_seed(0)
    expected = [images + 1 for images, _ in plain]
    torch.manual_seed(0)
    assert all(torch.equal(images, one) for (images, _), one in zip(loader, expected, strict=True))


def test_augmentation_differs_from_batch_to_batch_and_from_epoch_to_epoch(images: TensorDataset) -> None:
    plain = DataLoader(images, len(images))
    loader = wrap(plain, augment=augment.image(SHAPE))
    one, two = (next(iter(loader))[0] for _ in range(2))
    assert not torch.equal(one, two)
    assert torch.equal(one, next(iter(wrap(plain, augment=augment.image(SHAPE))))[0])
    assert not torch.equal(one, next(iter(wrap(plain, augment=augment.image(SHAPE), seed=1)))[0])


def test_batches_of_dicts_and_of_more_parts(images: TensorDataset) -> None:
    class Dicts(Dataset[Any]):
        targets = images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            image, label = images[row]
            return {"x": image, "info": ("row", row, float(row)), "y": int(label)}

    gen = counting().map(lambda image, label: {"x": image, "info": ("made", -1, 0.0), "y": label})
    for batch in wrap(DataLoader(Dicts(), 8, shuffle=True), gen, tag=True):
        kinds, rows, _ = batch["info"]
        assert [kind == "made" for kind in kinds] == batch["mix"].synthetic.tolist() == (rows == -1).tolist()
        assert batch["y"].tolist() == batch["mix"].label.tolist()


def test_classes_are_matched_by_name_and_what_cannot_be_made_stays_real(images: TensorDataset) -> None:
    class Named(Dataset[Any]):
        classes, targets = ("cat", "dog", "eel", "fox"), images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            return images[row]

    gen = counting(("fox", "cat", "eel"))
    with pytest.warns(UserWarning, match="can't make dog"):
        loader = wrap(DataLoader(Named(), 8, shuffle=True), gen, ratio=0.5, tag=True)
    for pixels, labels, info in loader:
        fakes = info.synthetic
        assert not (labels[fakes] == 1).any()
        made = (pixels[fakes, 0, 0, 0] * 3).round().int().tolist()
        assert [("fox", "cat", "eel")[number] for number in made] == [Named.classes[label] for label in labels[fakes]]
    assert loader.stats().synthetic[[0, 2, 3]].all()


def test_a_lone_normalize_is_found_and_synthetic_images_follow_it(images: TensorDataset) -> None:
    class Photos(Dataset[Any]):
        transform = transforms.Compose([transforms.Normalize((0.5,), (0.25,))])
        targets = images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            return self.transform(images[row][0]), int(images[row][1])

    gen = counting()
    for pixels, labels, info in wrap(DataLoader(Photos(), 8, shuffle=True), gen, tag=True):
        fakes = info.synthetic
        expected = (gen.sample(labels[fakes], info.key[fakes]) - 0.5) / 0.25
        assert torch.allclose(pixels[fakes], expected, atol=1e-5)
        assert torch.equal(
            pixels[~fakes], transforms.Normalize((0.5,), (0.25,))(images.tensors[0][info.source[~fakes]])
        )


def test_a_weight_undoes_the_balance(plain: Any, images: TensorDataset) -> None:
    loader = wrap(plain, counting(), tag=True)
    total = torch.zeros(4)
    for _ in range(4):
        for *_, info in loader:
            total += torch.zeros(4).index_add_(0, info.label, info.weight)
    natural = images.tensors[1].bincount() / len(images)
    assert torch.allclose(total / total.sum(), natural, atol=0.01)


def test_labels_given_by_the_user_are_what_is_balanced(images: TensorDataset) -> None:
    groups = torch.arange(len(images)) % 2
    generator = counting(2).map(lambda image, group: (image, group + 2))
    loader = wrap(DataLoader(images, 8, shuffle=True), generator, labels=groups, ratio=0.5, tag=True)
    info = next(iter(loader))[2]
    assert info.label.bincount().tolist() == [4, 4]
    assert torch.equal(groups[info.source[~info.synthetic]], info.label[~info.synthetic])


def test_subsets_and_scanned_labels(images: TensorDataset) -> None:
    part = Subset(images, list(range(0, 37, 2)))
    found = wrap(DataLoader(part, 4, shuffle=True), counting(), tag=True)
    scanned = wrap(DataLoader(part, 4, shuffle=True), counting(), labels="scan", tag=True)
    assert found.stats().classes == scanned.stats().classes
    for (x, y, info), (x_scanned, *_) in zip(found, scanned, strict=True):
        assert torch.equal(x, x_scanned)
        assert torch.equal(y, info.label)


def test_what_comes_of_wrap_can_be_pickled_and_copied(plain: Any) -> None:
    loader = wrap(plain, counting(), ratio=Fill(0.9))
    next(iter(loader))
    expected = [tell(batch) for batch in copy.deepcopy(loader)]
    assert [tell(batch) for batch in pickle.loads(pickle.dumps(loader))] == expected
    assert [tell(batch) for batch in loader] == expected


def test_wrapping_reads_a_few_samples_and_draws_nothing(images: TensorDataset) -> None:
    reads: list[int] = []

    class Random(Dataset[Any]):
        targets = images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            reads.append(row)
            return torch.rand(*SHAPE), self.targets[row]

    state = torch.random.get_rng_state()
    wrap(DataLoader(Random(), 8, shuffle=True), counting())
    assert torch.equal(state, torch.random.get_rng_state())
    assert 0 < len(reads) <= 8


def test_iterators_hand_on_the_attributes_of_torch_s_own(images: TensorDataset) -> None:
    iterator = iter(wrap(DataLoader(images, 8, shuffle=True, num_workers=1), counting()))
    assert len(iterator._workers) == 1
    assert iter(iterator) is iterator


def test_no_warnings_where_nothing_is_wrong(plain: Any, generator: FrozenGenerator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(wrap(plain, generator, augment=augment.image(SHAPE)))


def test_the_host_half_keeps_the_user_s_collate(images: TensorDataset) -> None:
    def collate(samples: list[Any]) -> Any:
        return torch.utils.data.default_collate(samples)

    loader = wrap(DataLoader(images, 8, shuffle=True, collate_fn=collate), counting())
    assert isinstance(loader.collate_fn, HostCollate)
    assert loader.collate_fn.collate_fn is collate


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_may_be_asked_for_by_a_batch_sampler(images: TensorDataset, drop_last: bool) -> None:
    batches = BatchSampler(RandomSampler(images), 5, drop_last)
    plain = DataLoader(images, batch_sampler=batches)
    loader, other = wrap(plain, counting()), wrap(DataLoader(images, 5, shuffle=True, drop_last=drop_last), counting())
    assert [tell(batch) for batch in loader] == [tell(batch) for batch in other]
    torch.manual_seed(0)
    expected = [tell(batch) for batch in plain]
    torch.manual_seed(0)
    assert [tell(batch) for batch in wrap(plain)] == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_augments_can_be_pickled_in_the_middle(images: TensorDataset, workers: int) -> None:
    plain = DataLoader(images, 8, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    loader = wrap(plain, counting(), augment=augment.image(SHAPE))
    list(loader)
    again = pickle.loads(pickle.dumps(loader))
    assert [tell(batch) for batch in again] == [tell(batch) for batch in loader]


def _by_name(samples: list[Any]) -> Any:
    return {"name": [f"image {number}" for number in range(len(samples))], "x": torch.stack([x for x, _ in samples])}


@pytest.mark.parametrize(
    "collate",
    [_by_name, lambda samples: tuple(zip(*samples, strict=True)), lambda samples: UserDict(_by_name(samples))],
)
def test_stats_without_a_plan_count_whatever_a_batch_looks_like(images: TensorDataset, collate: Any) -> None:
    loader = wrap(DataLoader(images, 8, collate_fn=collate))
    list(loader)
    assert (loader.stats().real.tolist(), loader.stats().batches) == ([37], 5)
    assert str(loader.stats()).count("all") == 1


def test_a_batch_that_augmentation_loses_is_not_counted(plain: Any) -> None:
    loader = wrap(plain, augment=lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(iter(loader))
    assert loader.stats().batches == 0


@pytest.mark.parametrize("zero", [{0: 0}, {}, Linear(0, 0), Fill(0), 0 * Fill()])
def test_a_ratio_of_zero_however_it_is_written_is_the_plain_loader(plain: Any, zero: Any) -> None:
    loader = wrap(plain, counting(), balance="natural", ratio=zero)
    assert loader.plan is None
    assert loader.sampler is plain.sampler


def test_a_state_fits_whatever_balance_it_is_of(plain: Any) -> None:
    class Mine(Balance):
        def weights(self, real: Any) -> Any:
            return np.ones(len(real))

    state = wrap(plain, counting(), balance=Mine(), ratio=0.5).state_dict()
    wrap(plain, counting(), balance=Mine(), ratio=np.float64(0.5)).load_state_dict(state)


@pytest.mark.parametrize("step", [-2, 1.5])
def test_a_state_of_no_place_is_refused(plain: Any, step: Any, refused: Any) -> None:
    loader = wrap(plain, counting())
    refused(lambda: loader.load_state_dict({**loader.state_dict(), "step": step}), "state: expected step", str(step))


class Photos(Dataset[Any]):
    """Pictures as PIL has them, or as arrays."""

    def __init__(self, images: TensorDataset, make: Any, **said: Any) -> None:
        self.images, self.make, self.targets = images, make, images.tensors[1]
        self.__dict__.update(said)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        return self.make(self.images[row][0]), int(self.targets[row])


def to_normalised(samples: list[Any]) -> Any:
    images = torch.stack([normalize(to_tensor(picture), [0.5], [0.25]) for picture, _ in samples])
    return images, torch.tensor([label for _, label in samples])


@pytest.mark.parametrize("options", [{}, {"normalized": (0.5, 0.25)}])
def test_a_collate_that_normalises_does_so_once(images: TensorDataset, options: Any) -> None:
    plain = DataLoader(Photos(images, to_pil_image), 8, shuffle=True, collate_fn=to_normalised)
    nothing = dict.fromkeys(("flip", "rotate", "translate", "scale", "shear", "crop", "gaussian"), 0)
    same = augment.image(SHAPE, brightness=0, contrast=0, **nothing)
    gen = counting()
    expected = list(wrap(plain, gen, tag=True, **options))
    for x, _, info in expected:
        made = normalize(gen.sample(info.label, info.key.clamp(min=0)), [0.5], [0.25])
        assert torch.allclose(x[info.synthetic], made[info.synthetic], atol=0.02)
    augmented = wrap(plain, gen, tag=True, augment=same, **options) if options else expected
    assert all(torch.allclose(one[0], two[0], atol=1e-5) for one, two in zip(expected, augmented, strict=True))


def test_a_collate_that_normalises_must_be_told_of_where_kornia_augments(images: TensorDataset, refused: Any) -> None:
    plain = DataLoader(Photos(images, to_pil_image), 8, shuffle=True, collate_fn=to_normalised)
    for generator in (None, counting()):
        refused(lambda made=generator: wrap(plain, made, augment=augment.image(SHAPE)), "[0, 1]", "normalized=")


def test_arrays_out_of_range_are_seen(images: TensorDataset, refused: Any) -> None:
    photos = Photos(images, lambda image: ((image - 0.5) / 0.25).numpy())
    plain = DataLoader(photos, 8, shuffle=True)
    refused(lambda: wrap(plain, counting()), "dataset: expected images in [0, 1]", "normalized=")
    refused(lambda: wrap(plain, augment=augment.image(SHAPE)), "dataset: expected images in [0, 1]", "normalized=")
    for x, _, info in wrap(plain, counting(), normalized=(0.5, 0.25), tag=True):
        assert x[info.synthetic].min() < -0.5 or not info.synthetic.any()


def test_labels_that_the_dataset_changes_are_seen(images: TensorDataset, refused: Any) -> None:
    class Turned(Photos):
        def __getitem__(self, row: int) -> Any:
            return self.images[row][0], 3 - int(self.targets[row])

    plain = DataLoader(Turned(images, None), 8, shuffle=True)
    words = ("labels: expected dataset[", "as synthetic samples do, found", "labels='scan'", "generator.map")
    refused(lambda: wrap(plain, counting()), *words)
    named = counting().map(lambda image, label: (image, label))
    refused(lambda: wrap(plain, named), *words)
    for _, y, info in wrap(plain, counting(), labels="scan", tag=True):
        assert torch.equal(y, info.label)
    turned = counting().map(lambda image, label: (image, 3 - label))
    for _, y, info in wrap(plain, turned, tag=True):
        assert torch.equal(y, 3 - info.label)


def test_regression_on_whole_numbers_is_seen(images: TensorDataset, refused: Any) -> None:
    plain = DataLoader(images, 8, shuffle=True)
    refused(lambda: wrap(plain, counting(1), labels=0), "labels: expected dataset[", "class 0", "generator.map")
    wrap(plain, counting(1).map(lambda image, label: (image, image.sum().long())), labels=0, ratio=0.5)


def test_kornia_and_bytes(images: TensorDataset, refused: Any) -> None:
    photos = Photos(images, lambda image: (image * 255).byte())
    refused(
        lambda: wrap(DataLoader(photos, 8), augment=augment.image(SHAPE)),
        "augment: expected images float[N, C, H, W]",
        "found [uint8[8, 1, 8, 8], int64[8]]",
        "ToDtype",
    )


def test_a_mask_that_an_augmentation_leaves_behind_is_spoken_of(images: TensorDataset) -> None:
    class Masked(Photos):
        def __getitem__(self, row: int) -> Any:
            return self.images[row][0], torch.zeros(8, 8, dtype=torch.int64)

    plain = DataLoader(Masked(images, None), 8, shuffle=True)
    with pytest.warns(UserWarning, match=r"moves the image, but not \[1\] of the same size"):
        wrap(plain, augment=augment.image(SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrap(plain, augment=K.ColorJitter(0.1))
        wrap(plain, augment=K.AugmentationSequential(K.RandomHorizontalFlip(), data_keys=["input", "mask"]))


def as_pairs(samples: list[Any]) -> Any:
    return [sample[0] for sample in samples], [sample[1] for sample in samples]


@pytest.mark.parametrize(
    ("make", "generator", "words"),
    [
        (to_pil_image, CountingGenerator((3, 8, 8), 4), ("[0]: expected an image of L, found an image of RGB",)),
        (lambda image: image, CountingGenerator((3, 8, 8), 4), ("float32[1, *, *]", "float32[3, *, *]")),
        (lambda image: (image * 255).byte(), CountingGenerator(SHAPE, 4), ("uint8[1, *, *]", "float32[1, *, *]")),
        (lambda image: {"x": image}, CountingGenerator(SHAPE, 4), ("{'x': float32[1, 8, 8]}",)),
        (to_pil_image, CountingGenerator(SHAPE, 4).map(lambda x, y: (2 * x - 1, y)), ("[0, 1]", "value_range=(-1, 1)")),
    ],
)
def test_samples_for_another_collate_are_compared_part_by_part(
    images: TensorDataset, make: Any, generator: Any, words: tuple[str, ...], refused: Any
) -> None:
    plain = DataLoader(Photos(images, make), 8, shuffle=True, collate_fn=as_pairs)
    refused(lambda: wrap(plain, generator), "generator", "expected", "found", *words)


class Whole(CountingGenerator):
    """Makes whole samples, labels and all, under its own numbers."""

    def sample(self, labels: Any, keys: Any, sources: Any = None) -> Any:
        return {"label": labels, "image": super().sample(labels, keys)}


class Named(Dataset[Any]):
    """Samples by name, of named classes."""

    classes = ("cat", "dog", "eel", "fox")

    def __init__(self, images: TensorDataset) -> None:
        self.images, self.targets = images, images.tensors[1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        return {"image": self.images[row][0], "label": int(self.targets[row])}


def test_a_generator_with_labels_of_its_own_is_seen(images: TensorDataset, refused: Any) -> None:
    plain = DataLoader(Named(images), 8, shuffle=True)
    turned = Whole(SHAPE, ("fox", "eel", "dog", "cat"))
    words = ("generator: expected its samples of class 0 to hold 0 at ['label']", "found 3", "generator.map")
    refused(lambda: wrap(plain, turned), *words)
    mapped = turned.map(lambda sample, label: {**sample, "label": label})
    for batch in wrap(plain, mapped, tag=True, ratio=0.5):
        assert torch.equal(batch["label"], batch["mix"].label)
        made = (batch["image"][batch["mix"].synthetic, 0, 0, 0] * 4).round().long()
        assert torch.equal(made, 3 - batch["mix"].label[batch["mix"].synthetic])


def test_labels_that_are_the_dataset_s_own_keep_their_names(images: TensorDataset) -> None:
    plain = DataLoader(Named(images), 8, shuffle=True)
    gen = counting(("fox", "eel", "dog", "cat")).map(lambda image, label: {"image": image, "label": label})
    for one, two in zip(wrap(plain, gen), wrap(plain, gen, labels=images.tensors[1]), strict=True):
        assert torch.equal(one["image"], two["image"])


def test_batches_that_are_all_synthetic_look_like_the_others(images: TensorDataset) -> None:
    class Pairs(Named):
        def __getitem__(self, row: int) -> Any:
            return Pair(*self.images[row])

    gen = Whole(SHAPE, Named.classes)
    for batch in wrap(DataLoader(Named(images), 8, shuffle=True), gen, ratio=Linear(1, 0), epochs=2):
        assert list(batch) == ["image", "label"]
    gen = counting(Named.classes)
    for batch in wrap(DataLoader(Pairs(images), 8, shuffle=True), gen, ratio=Linear(1, 0), epochs=2):
        assert type(batch) is Pair


Pair = namedtuple("Pair", "image label")


def test_torchvision_s_tensors_are_what_another_collate_gets(images: TensorDataset) -> None:
    class Boxed(Named):
        def __getitem__(self, row: int) -> Any:
            boxes = BoundingBoxes([[0, 0, 2, 2]], format="XYXY", canvas_size=(8, 8))  # type: ignore[call-overload]
            return {"image": tv_tensors.Image(self.images[row][0]), "boxes": boxes}

    def flipped(samples: list[Any]) -> Any:
        return [v2.RandomHorizontalFlip(p=1.0)(sample)["boxes"].tolist() for sample in samples]

    gen = counting().map(lambda image, label: {"boxes": torch.tensor([[0, 0, 2, 2]]), "image": image})
    for boxes in wrap(DataLoader(Boxed(images), 8, shuffle=True, collate_fn=flipped), gen, ratio=0.5):
        assert boxes == [[[6, 0, 8, 2]]] * len(boxes)


def two_views(images: TensorDataset) -> Any:
    class Views(Dataset[Any]):
        transform = transforms.Normalize((0.5,), (0.25,))
        targets = images.tensors[1]

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, row: int) -> Any:
            view = self.transform(images[row][0])
            return view, view.flip(-1), int(self.targets[row])

    return DataLoader(Views(), 8, shuffle=True)


def test_two_normalised_views_are_augmented_by_their_keys(images: TensorDataset) -> None:
    pipeline = K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), data_keys=["input", "input"])
    plain = two_views(images)
    augmented, same = wrap(plain, balance="uniform", augment=pipeline), wrap(plain, balance="uniform")
    for (one, two, _), (a, b, _) in zip(augmented, same, strict=True):
        assert torch.allclose(one, a.flip(-1), atol=1e-5)
        assert torch.allclose(two, b.flip(-1), atol=1e-5)


def test_what_is_ambiguous_is_refused_at_once_and_can_be_left_as_it_is(images: TensorDataset, refused: Any) -> None:
    gen = counting().map(lambda image, label: (image, image.flip(-1), label))
    refused(lambda: wrap(two_views(images), gen), "normalized: expected one image", "normalized=False")
    normalised = gen.map(lambda sample, label: ((sample[0] - 0.5) / 0.25, (sample[1] - 0.5) / 0.25, label))
    for one, two, _ in wrap(two_views(images), normalised, normalized=False, augment=lambda batch: batch):
        assert torch.equal(one, two.flip(-1))
    refused(lambda: wrap(two_views(images), augment=augment.image(SHAPE)), "augment: expected one image", "data_keys")


def test_a_state_tells_mixes_apart_whatever_numbers_they_are_written_with(plain: Any, refused: Any) -> None:
    state = wrap(plain, counting(), ratio={np.int64(1): 0.5}).state_dict()
    wrap(plain, counting(), ratio={1: np.float32(0.5)}).load_state_dict(state)
    other = wrap(plain, counting(), ratio={np.int64(2): 0.5})
    refused(lambda: other.load_state_dict(state), "ratio: expected", "found")


@dataclass(frozen=True)
class Table(Schedule):
    ratios: Any

    def __call__(self, progress: Any, label: Any, census: Any) -> Any:
        return np.full(len(label), self.ratios[0])

    changes = False


@pytest.mark.parametrize("kind", [list, np.array])
def test_a_schedule_of_one_s_own_may_hold_anything(plain: Any, kind: Any, refused: Any) -> None:
    state = wrap(plain, counting(), ratio={0: Table(kind([0.5])), 1: Table(kind([0.9]))}).state_dict()
    other = wrap(plain, counting(), ratio={0: Table(kind([0.5])), 1: Table(kind([0.8]))})
    refused(lambda: other.load_state_dict(state), "ratio: expected", "found")


def test_stats_of_zipped_batches_of_a_batch_sampler_of_one_s_own(images: TensorDataset) -> None:
    class Buckets(BatchSampler):
        """Batches that grow."""

        def __iter__(self) -> Any:
            yield from ([0], [1, 2], [3, 4, 5], list(range(6, 37)))

    buckets = Buckets(SequentialSampler(images), 5, drop_last=False)
    for collate in (None, lambda samples: tuple(zip(*samples, strict=True))):
        loader = wrap(DataLoader(images, batch_sampler=buckets, collate_fn=collate))
        counted = [int(loader.stats().real[0]) for _ in loader]
        assert counted == [1, 3, 6, 37]


class Slow(Dataset[Any]):
    """Row 3 takes a while, the first time."""

    targets = torch.arange(8) % 2

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __len__(self) -> int:
        return 8

    def __getitem__(self, row: int) -> Any:
        if row == 3 and not self.flag.exists():
            self.flag.touch()
            time.sleep(2)
        return torch.full((1, 4, 4), row / 10), int(self.targets[row])


def test_a_timeout_that_is_caught_costs_no_batch(tmp_path: Path) -> None:
    def wrap() -> MixLoader[Any]:
        plain = DataLoader(Slow(tmp_path / "flag"), 1, shuffle=True, num_workers=1, timeout=1)
        return onthefly.wrap(plain, balance="uniform", device="cpu")

    loader, expected = wrap(), [batch[0] for batch in wrap()]
    (tmp_path / "flag").unlink()
    batches, came = iter(loader), []
    while len(came) < 5:
        try:
            came.append(next(batches)[0])
        except RuntimeError:
            continue
    assert loader.state_dict()["step"] == 5
    again = wrap()
    again.load_state_dict(loader.state_dict())
    came += [batch[0] for batch in again]
    assert all(torch.equal(one, two) for one, two in zip(came, expected, strict=True))


def test_the_state_of_a_loader_without_a_plan_is_its_epoch(plain: Any) -> None:
    first = wrap(plain, augment=lambda batch: batch)
    next(iter(first))
    second = wrap(plain, augment=lambda batch: batch)
    with pytest.warns(UserWarning, match="1 batches of this epoch were delivered, and the next pass begins it again"):
        second.load_state_dict(first.state_dict())
    assert len(list(second)) == len(plain)
    second.load_state_dict(second.state_dict())
    assert (second.state_dict()["epoch"], second.state_dict()["step"]) == (1, 0)


def test_the_states_of_a_loader_with_a_plan_and_of_one_without_are_told_apart(plain: Any, refused: Any) -> None:
    planned, unplanned = wrap(plain, counting()), wrap(plain)
    refused(lambda: planned.load_state_dict(unplanned.state_dict()), "state: expected over, totals too")
    refused(lambda: unplanned.load_state_dict(planned.state_dict()), "state: it belongs to another mix", "None")


@pytest.mark.parametrize("workers", [0, 1])
def test_augmentation_that_a_rebuilt_loader_lacks_is_missed(images: TensorDataset, workers: int, refused: Any) -> None:
    loader = wrap(DataLoader(images, 8), augment=lambda batch: [batch[0] + 1, batch[1]])
    rebuilt = DataLoader(loader.dataset, 8, num_workers=workers, collate_fn=loader.collate_fn)
    batch = next(iter(rebuilt))
    for use in (list, len, lambda batch: batch[0], lambda batch: "labels" in batch, lambda batch: dict(**batch)):
        refused(lambda use=use: use(batch), "WholeBatch", "not augmented", "balance='uniform'", error=TypeError)
    assert torch.equal(next(iter(loader))[0], batch.real[0] + 1)


def test_a_batch_of_real_samples_on_its_way_is_pinned(images: TensorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    loader = wrap(DataLoader(images, 8), augment=lambda batch: batch)
    batch = loader.collate_fn([images[0], images[1]])
    assert torch.equal(batch.pin_memory().real[1], torch.stack([images[0][1], images[1][1]]) + 1)


def test_accelerate_is_to_leave_alone_what_has_a_device_half(plain: Any) -> None:
    kept, left = (wrap(plain, counting()), wrap(plain, augment=lambda batch: batch)), wrap(plain)
    assert all(loader._is_accelerate_prepared for loader in kept)
    assert not left._is_accelerate_prepared
    assert [loader.use_stateful_dataloader for loader in (*kept, left)] == [True, False, False]
    stream = wrap(lambda: iter(plain), augment=lambda batch: batch)
    assert stream._is_accelerate_prepared
