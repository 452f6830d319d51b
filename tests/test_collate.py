"""The half on the device."""

from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import DeviceCollate, HostCollate, MixInfo, MixPlan, SyntheticMixDataset
from onthefly.data.dataset import HostBatch
from onthefly.generators import FrozenGenerator
from onthefly.testing import CountingGenerator, FaultyGenerator

SHAPE = (1, 4, 4)
LABELS = torch.tensor([0] * 9 + [1] * 3)
IMAGES = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.5
DATA = TensorDataset(IMAGES, LABELS)


def counting() -> CountingGenerator:
    return CountingGenerator(SHAPE, 2)


def hosts(data: Any = DATA, collate_fn: Any = default_collate, **options: Any) -> list[HostBatch]:
    plan = MixPlan(LABELS, **{"batch_size": 6, "balance": "uniform", "ratio": 0.5, **options})
    mixed = SyntheticMixDataset(data, plan)
    return list(DataLoader(mixed, batch_size=6, sampler=mixed.sampler, collate_fn=HostCollate(collate_fn)))


def check_slots(images: Tensor, labels: Tensor, host: HostBatch, generator: FrozenGenerator) -> None:
    """Every slot holds the row, or the sample of the key, that it should."""
    slots = host.slots
    assert labels.tolist() == slots.label.tolist()
    for place, fake in enumerate(slots.synthetic):
        key, label = torch.tensor([slots.key[place]]), torch.tensor([slots.label[place]])
        expected = generator.sample(label, key)[0] if fake else IMAGES[slots.index[place]]
        assert torch.equal(images[place], expected)


@pytest.mark.parametrize("ratio", [0, 0.5, 1])
def test_the_two_halves_joined_by_hand(ratio: float) -> None:
    fill = DeviceCollate(counting(), device="cpu")
    for host in hosts(ratio=ratio):
        batch = fill(host)
        assert type(batch) is list
        check_slots(*batch, host, counting())


def dict_collate(samples: list[Any]) -> dict[str, Any]:
    images, labels = zip(*samples, strict=True)
    assert all(type(label) is int for label in labels)
    return {"pixels": torch.stack(images), "labels": torch.tensor(labels)}


@pytest.mark.parametrize("ratio", [0, 0.5, 1])
def test_another_collate_sees_the_whole_list_in_slot_order(ratio: float) -> None:
    data = [(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)]
    fill = DeviceCollate(counting(), device="cpu", collate_fn=dict_collate, example=data[0])
    for host in hosts(data, dict_collate, ratio=ratio):
        batch = fill(host)
        check_slots(batch["pixels"], batch["labels"], host, counting())


def test_a_padding_collate_of_samples_that_vary_in_length() -> None:
    def pad(samples: list[Any]) -> Any:
        lengths = torch.tensor([len(clip) for clip, _ in samples])
        return torch.nn.utils.rnn.pad_sequence([clip for clip, _ in samples], batch_first=True), lengths

    clips = [(torch.full((3 + int(label),), 0.5), int(label)) for label in LABELS]
    gen = counting().map(lambda image, label: (image.flatten()[: 8 - int(label)], label))
    fill = DeviceCollate(gen, device="cpu", collate_fn=pad, example=clips[0])
    for host in hosts(clips, pad):
        padded, lengths = fill(host)
        expected = [
            8 - label if fake else 3 + label for label, fake in zip(host.slots.label, host.slots.synthetic, strict=True)
        ]
        assert lengths.tolist() == expected
        assert padded.shape == (len(expected), max(expected))


def test_a_detection_list_stays_a_list() -> None:
    samples = [(image, {"boxes": torch.zeros(1 + int(label), 4)}) for image, label in zip(IMAGES, LABELS, strict=True)]
    gen = counting().map(lambda image, label: (image, {"boxes": torch.ones(3, 4)}))
    fill = DeviceCollate(gen, device="cpu", collate_fn=lambda batch: tuple(zip(*batch, strict=True)))
    for host in hosts(samples, lambda batch: tuple(zip(*batch, strict=True))):
        _, targets = fill(host)
        assert [len(target["boxes"]) == 3 for target in targets] == host.slots.synthetic.tolist()


def test_samples_are_made_from_their_sources() -> None:
    class Inverting(CountingGenerator):
        wants_source = True

        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            assert torch.equal(sources[1], labels)
            return 1 - sources[0]

    fill = DeviceCollate(Inverting(SHAPE, 2), device="cpu")
    for host in hosts(sources=True):
        images, _ = fill(host)
        expected = IMAGES[host.slots.index]
        fakes = torch.from_numpy(host.slots.synthetic)[:, None, None, None]
        assert torch.equal(images, torch.where(fakes, 1 - expected, expected))


def test_tags_tell_what_each_slot_is() -> None:
    fill = DeviceCollate(counting(), device="cpu", tag=True, weight=[1.5, 0.5])
    for host in hosts():
        *_, info = fill(host)
        assert isinstance(info, MixInfo)
        assert info.synthetic.tolist() == host.slots.synthetic.tolist()
        assert info.label.tolist() == host.slots.label.tolist()
        assert info.key.tolist() == host.slots.key.tolist()
        assert info.source.tolist() == host.slots.index.tolist()
        assert info.weight.tolist() == [[1.5, 0.5][label] for label in host.slots.label]


@pytest.mark.parametrize(
    ("collate_fn", "where"),
    [
        (lambda samples: {"x": default_collate(samples)}, "mix"),
        (lambda samples: tuple(default_collate(samples)), -1),
        (lambda samples: default_collate([image for image, _ in samples]), 1),
    ],
)
def test_tags_join_any_structure(collate_fn: Any, where: Any) -> None:
    fill = DeviceCollate(counting(), device="cpu", collate_fn=collate_fn, tag=True)
    assert all(isinstance(fill(host)[where], MixInfo) for host in hosts(collate_fn=collate_fn))


NORM = ((0.5,), (0.25,))


def normalised(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


def test_synthetic_images_are_normalised_like_real_ones_which_stay_as_they_are() -> None:
    data = TensorDataset(normalised(IMAGES), LABELS)
    fill, plain = (DeviceCollate(counting(), device="cpu", normalized=norm) for norm in (NORM, None))
    for host in hosts(data):
        fakes = torch.from_numpy(host.slots.synthetic)
        images, raw = fill(host)[0], plain(host)[0]
        assert torch.equal(images[~fakes], normalised(IMAGES)[host.slots.index[host.slots.synthetic == 0]])
        assert torch.allclose(images[fakes], normalised(raw[fakes]))


def test_with_an_augmentation_all_are_augmented_in_unit_range_and_normalised_after() -> None:
    seen: list[Tensor] = []

    def spy(batch: Any) -> Any:
        seen.append(batch[0])
        return [1 - batch[0], batch[1]]

    data = TensorDataset(normalised(IMAGES), LABELS)
    fill = DeviceCollate(counting(), spy, "cpu", normalized=NORM)
    for host in hosts(data):
        images, _ = fill(host)
        assert seen[-1].min() > -1e-6
        assert seen[-1].max() < 1 + 1e-6
        assert torch.allclose(images, normalised(1 - seen[-1]), atol=1e-5)


def test_the_augmentation_is_keyed_by_the_place_in_training() -> None:
    fill = DeviceCollate(counting(), K.RandomGaussianNoise(std=0.1, p=1.0), "cpu")
    first, second = hosts()[:2]
    assert torch.equal(fill(first)[0], fill(first)[0])
    torch.manual_seed(7)
    again = fill(first)[0]
    assert torch.equal(again, DeviceCollate(counting(), K.RandomGaussianNoise(std=0.1, p=1.0), "cpu")(first)[0])
    noise = [fill(host)[0] - DeviceCollate(counting(), device="cpu")(host)[0] for host in (first, second)]
    assert not torch.equal(*noise)


def test_it_refuses_to_run_in_a_worker() -> None:
    mixed = SyntheticMixDataset(DATA, MixPlan(LABELS, batch_size=6, balance="uniform", ratio=0.5))
    fill = DeviceCollate(counting(), device="cpu")
    loader = DataLoader(
        mixed, batch_size=6, sampler=mixed.sampler, num_workers=1, collate_fn=lambda items: fill(HostCollate()(items))
    )
    with pytest.raises(RuntimeError, match=r"DeviceCollate: expected the main process.*collate_fn=HostCollate\(\)"):
        next(iter(loader))


def test_synthetic_slots_without_a_generator(refused: Any) -> None:
    refused(lambda: DeviceCollate(None, device="cpu")(hosts()[0]), "DeviceCollate", "a generator", "None")


@pytest.mark.parametrize("fault", ["nan", "range", "shape", "count", "raise"])
def test_a_faulty_sample_never_reaches_training(fault: Any) -> None:
    fill = DeviceCollate(FaultyGenerator(counting(), fault), device="cpu")
    with pytest.raises((ValueError, RuntimeError), match=r"generator: expected|on purpose"):
        fill(hosts()[0])
    check_slots(*fill(hosts()[1]), hosts()[1], counting())


def test_the_hand_assembled_loader_is_what_wrap_delivers() -> None:
    plan = MixPlan(LABELS, batch_size=6, balance="uniform", ratio=0.5, seed=3)
    mixed = SyntheticMixDataset(DATA, plan)
    loader = DataLoader(mixed, batch_size=6, sampler=mixed.sampler, collate_fn=HostCollate())
    fill = DeviceCollate(counting(), device="cpu")
    wrapped = onthefly.wrap(DataLoader(DATA, 6, shuffle=True), counting(), ratio=0.5, seed=3, device="cpu")
    for epoch in range(3):
        mixed.sampler.set_epoch(epoch)
        for host, expected in zip(loader, wrapped, strict=True):
            assert all(torch.equal(one, two) for one, two in zip(fill(host), expected, strict=True))


Pair = namedtuple("Pair", "image label")


@pytest.mark.parametrize("kind", [Pair, UserDict, OrderedDict])
def test_tags_leave_a_batch_what_it_is(kind: Any) -> None:
    def collate(samples: list[Any]) -> Any:
        images, labels = default_collate(samples)
        return Pair(images, labels) if kind is Pair else kind(image=images, label=labels)

    fill = DeviceCollate(counting(), device="cpu", collate_fn=collate, tag=True)
    for host in hosts(collate_fn=collate):
        batch = fill(host)
        image, label, mix = (batch.image, batch.label, batch.mix) if kind is Pair else batch.values()
        assert isinstance(mix, MixInfo)
        assert type(batch) is kind or kind is Pair
        check_slots(image, label, host, counting())


def test_an_augmentation_of_one_side_is_moved_to_the_device_too() -> None:
    class Spy(torch.nn.Module):
        def to(self, *arguments: Any, **options: Any) -> Any:
            moved.append(arguments)
            return self

        def forward(self, batch: Any) -> Any:
            return batch

    moved: list[Any] = []
    for augment in (Spy(), {"real": Spy()}, {"real": Spy(), "synthetic": Spy()}):
        DeviceCollate(counting(), augment, "cpu")
    assert moved == [(torch.device("cpu"),)] * 4


@pytest.mark.parametrize("collate_fn", [default_collate, lambda samples: default_collate(samples)])
def test_sources_reach_the_generator_in_unit_range(collate_fn: Any) -> None:
    class Copying(CountingGenerator):
        wants_source = True

        def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
            images = sources[0] if collate_fn is default_collate else torch.stack([image for image, _ in sources])
            assert images.min() > -1e-6
            assert images.max() < 1 + 1e-6
            return images.clamp(0, 1)

    data = TensorDataset(normalised(IMAGES), LABELS)
    fill = DeviceCollate(Copying(SHAPE, 2), device="cpu", normalized=NORM, collate_fn=collate_fn)
    for host in hosts(data, collate_fn, sources=True):
        assert torch.allclose(fill(host)[0], normalised(IMAGES)[host.slots.index], atol=1e-5)


def test_a_dict_of_other_order_is_told_by_its_keys() -> None:
    data = [{"image": image, "mask": -image, "label": int(label)} for image, label in zip(IMAGES, LABELS, strict=True)]
    gen = counting().map(lambda image, label: {"label": label, "mask": -image, "image": image})
    for collate_fn in (default_collate, lambda samples: default_collate(samples)):
        fill = DeviceCollate(gen, device="cpu", collate_fn=collate_fn, example=data[0])
        for host in hosts(data, collate_fn):
            batch = fill(host)
            check_slots(batch["image"], batch["label"], host, counting())
            assert torch.equal(batch["mask"], -batch["image"])
