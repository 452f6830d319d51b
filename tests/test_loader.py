"""`wrap`, and the loader it makes, as a DataLoader."""

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import transforms

import onthefly
from onthefly import HostCollate, MixLoader, augment
from onthefly.data.sampler import PlanSampler
from onthefly.generators import FrozenGenerator, save
from onthefly.schedule import Cosine, Fill
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


def test_only_the_synthetic_slots_are_asked_of_the_generator_and_once_a_batch(plain: Any) -> None:
    gen = counting()
    loader = wrap(plain, gen, ratio=0.5)
    gen.calls, gen.samples, gen.keys = 0, 0, []
    for _ in loader:
        pass
    assert gen.calls == len(loader)
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
    gen = onthefly.testing.FaultyGenerator(counting(), "raise", call=3)  # the first call is wrap's own
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
    images = copy.copy(images)
    images.classes = ("cat", "dog", "eel", "fox")  # type: ignore[attr-defined]
    images.targets = images.tensors[1]  # type: ignore[attr-defined]

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
    loader = wrap(DataLoader(images, 8, shuffle=True), counting(2), labels=groups, ratio=0.5, tag=True)
    info = next(iter(loader))[2]
    assert info.label.bincount().tolist() == [4, 4]
    assert torch.equal(groups[info.source[~info.synthetic]], info.label[~info.synthetic])


def test_subsets_and_scanned_labels(images: TensorDataset) -> None:
    part = Subset(images, list(range(0, 37, 2)))
    found = wrap(DataLoader(part, 4, shuffle=True), counting()).stats()
    scanned = wrap(DataLoader(part, 4, shuffle=True), counting(), labels="scan").stats()
    assert found.classes == scanned.classes


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
            return torch.rand(*SHAPE), 0

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
