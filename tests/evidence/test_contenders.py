"""What is measured delivers what it should: the right shapes, the right share of synthetic samples."""

from contextlib import closing
from itertools import islice
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import onthefly
from onthefly.evidence.contender import Contender
from onthefly.evidence.contenders import contenders_of
from onthefly.evidence.parts import augmentation, fetching, generation
from onthefly.evidence.subject import Subject
from onthefly.testing import CountingGenerator

SHAPE = (1, 8, 8)
FLAT = TensorDataset(torch.full((120, *SHAPE), 0.25), torch.arange(120) % 3)  # synthetic ones are noise
NAMES = ["plain", "plain + augment", "plain + fused", "mix", "mix 0.1", "mix 0.25", "mix 0.5"]
ALTERNATIVES = ["in __getitem__", "by hand", "from files", "timm"]


def nothing(batch: Any) -> Any:
    return batch


def wrapped(data: Any = FLAT, *, workers: int = 0, **options: Any) -> Any:
    loader = DataLoader(data, 20, shuffle=True, num_workers=workers)
    generator = CountingGenerator(SHAPE, classes=3)
    return onthefly.wrap(loader, generator, **{"ratio": 0.2, "augment": nothing, "device": "cpu"} | options)


def made_of(loader: Any, share: float = 0.25, seconds: float = 1.0) -> dict[str, Any]:
    folder = Path("pictures")
    folder.mkdir()
    return {name: make() for name, make in contenders_of(Subject(loader), share, folder, seconds)}


def batches(contender: Contender, count: int) -> list[Any]:
    with closing(contender.open()) as opened:
        return list(islice(opened, count))


def synthetic(images: torch.Tensor) -> int:
    return int((images.flatten(1).std(dim=1) > 0.01).sum())


@pytest.mark.parametrize("workers", [0, 2])
def test_every_contender_delivers_its_share(workers: int) -> None:
    made, before = made_of(wrapped(workers=workers)), set(active_children())
    assert list(made) == NAMES + ALTERNATIVES
    shares = {"mix": 0.2, "mix 0.1": 0.1, "mix 0.25": 0.25, "mix 0.5": 0.5}
    shares |= dict.fromkeys(("in __getitem__", "by hand", "from files"), 0.25)
    for name, contender in made.items():
        if isinstance(contender, str):
            assert name == "plain + fused", name
            continue
        found = batches(contender, 12)  # two passes
        assert set(active_children()) == before, name  # its workers went with it
        assert [(images.shape, labels.shape) for images, labels in found] == [((20, *SHAPE), (20,))] * 12
        if name != "timm":  # which normalises
            share = sum(synthetic(images) for images, _ in found) / 240
            assert share == pytest.approx(shares.get(name, 0.0), abs=0.011), name
            assert all((labels >= 0).all() and (labels < 3).all() for _, labels in found)


def test_a_mix_counts_what_its_generator_makes() -> None:
    made = made_of(wrapped())
    for name, share in (("mix", 0.2), ("mix 0.5", 0.5)):
        before = made[name].made()
        batches(made[name], 6)
        assert made[name].made() - before == pytest.approx(120 * share, abs=3)


def test_normalised_images_stay_so_in_every_contender() -> None:
    class Bright(Dataset[Any]):
        targets = FLAT.tensors[1]

        def __len__(self) -> int:
            return len(FLAT)

        def __getitem__(self, row: int) -> Any:
            return (FLAT[row][0] - 0.5) / 0.1, int(FLAT[row][1])

    for name, contender in made_of(wrapped(Bright(), normalized=(0.5, 0.1), augment=None)).items():
        if name in ("mix 0.25", "in __getitem__", "by hand", "from files"):
            (images, _) = batches(contender, 1)[0]
            assert images.min() < -4, name
            assert images.max() > 4, name


def test_what_there_is_none_of_says_why() -> None:
    made = made_of(wrapped(augment=None))
    assert "no augmentation" in made["plain + augment"]
    Path("pictures").rename("others")
    lone = made_of(onthefly.wrap(DataLoader(FLAT, 20, shuffle=True), augment=nothing, device="cpu"))
    assert {name for name, one in lone.items() if isinstance(one, Contender)} == {
        "plain",
        "plain + augment",
        "mix",
        "timm",
    }
    assert "pass one to wrap()" in lone["mix 0.5"]


def test_a_collate_function_of_the_users_own() -> None:
    def collate(samples: list[Any]) -> Any:
        return torch.stack([image for image, _ in samples]), torch.tensor([int(label) for _, label in samples])

    loader = DataLoader(FLAT, 20, shuffle=True, collate_fn=collate)
    made = made_of(onthefly.wrap(loader, CountingGenerator(SHAPE, classes=3), ratio=0.2, device="cpu"))
    assert "collate function of its own" in made["by hand"]
    for name in ("in __getitem__", "from files", "mix 0.5"):
        assert sum(synthetic(images) for images, _ in batches(made[name], 6)) == pytest.approx(
            60 if name == "mix 0.5" else 30, abs=2
        )


def test_a_dict_has_no_pictures_on_disk() -> None:
    class Dicts(Dataset[Any]):
        targets = FLAT.tensors[1]

        def __len__(self) -> int:
            return len(FLAT)

        def __getitem__(self, row: int) -> Any:
            return {"image": FLAT[row][0], "label": FLAT[row][1]}

    generator = CountingGenerator(SHAPE, classes=3).map(lambda image, label: {"image": image, "label": label})
    made = made_of(onthefly.wrap(DataLoader(Dicts(), 20, shuffle=True), generator, ratio=0.2, device="cpu"))
    assert "no pictures" in made["from files"]
    assert "pictures and labels" in made["timm"]
    for name in ("in __getitem__", "by hand"):
        found = batches(made[name], 6)
        assert sum(synthetic(batch["image"]) for batch in found) == 30
        assert found[0]["label"].shape == (20,)


def test_streams_and_samplers() -> None:
    stream = onthefly.wrap(
        [(torch.full((20, *SHAPE), 0.25), torch.arange(20) % 3)] * 3,
        CountingGenerator(SHAPE, classes=3),
        ratio=0.2,
        device="cpu",
    )
    made = made_of(stream)
    assert sum(synthetic(images) for images, _ in batches(made["mix 0.5"], 6)) == pytest.approx(60, abs=3)
    assert "stream" in made["in __getitem__"]
    sampler = WeightedRandomSampler([1.0] * 120, 40)
    plain = Subject(onthefly.wrap(DataLoader(FLAT, 20, sampler=sampler), device="cpu")).plain()
    assert len(list(plain)) == 2
    assert plain.sampler is not sampler


def test_a_class_without_real_samples_is_made_at_every_ratio() -> None:
    class Named(TensorDataset):
        classes = ("a", "b", "c", "rare")

    data = Named(*FLAT.tensors)
    generator = CountingGenerator(SHAPE, classes=("a", "b", "c", "rare"))
    loader = onthefly.wrap(DataLoader(data, 20, shuffle=True), generator, ratio={"rare": 1.0, "a": 0.1}, device="cpu")
    images, labels = batches(made_of(loader)["mix 0.1"], 1)[0]
    assert synthetic(images[labels == 3]) == (labels == 3).sum() == 5


def test_labels_are_read_once_and_schedules_stay_in_training() -> None:
    reads = []

    class Counted(Dataset[Any]):
        def __len__(self) -> int:
            return len(FLAT)

        def __getitem__(self, row: int) -> Any:
            reads.append(row)
            return FLAT[row]

    loader = wrapped(Counted(), labels="scan", ratio=onthefly.schedule.Linear(0, 0.5), epochs=2)
    reads.clear()
    contender = made_of(loader)["mix"]
    assert len(reads) < 200  # some examples for each contender, never all samples
    loader.set_epoch(1)
    assert len(batches(contender, 20)) == 20  # more passes than epochs
    found = batches(made_of_again(loader)["mix"], 6)
    assert sum(synthetic(images) for images, _ in found) == pytest.approx(0.375 * 120, abs=3)


def made_of_again(loader: Any) -> dict[str, Any]:
    Path("pictures").rename("older")
    return made_of(loader)


def test_parts_do_their_part_only() -> None:
    loader = wrapped(workers=2, augment=onthefly.augment.image(SHAPE))
    subject = Subject(loader)
    fetch = fetching(subject, "mix 0.5", 0.5)
    host = batches(fetch, 7)
    assert [fetch.size(one) for one in host] == [20] * 7
    assert sum(len(one.real[0]) for one in host[:6]) == pytest.approx(60, abs=3)
    alone = generation(subject, 5, seconds=0.01)
    images, labels = batches(alone, 1)[0]
    assert len(images) == len(labels) == alone.size(None) >= 5
    augmented = augmentation(subject, 0.5)
    first, second = batches(augmented, 2)
    assert first[0].shape == (20, *SHAPE)
    assert not torch.equal(first[0], second[0])
    assert loader.stats().batches == 0
