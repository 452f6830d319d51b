"""The manifest, and samples made again from it alone."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, default_collate

import onthefly
from onthefly import MixLoader
from onthefly.balance import EffectiveNumber, Power
from onthefly.generators import from_module, load, save
from onthefly.generators.identity import identity
from onthefly.schedule import Cosine, Feedback, Fill, Linear, Schedule, Steps
from onthefly.testing import CountingGenerator

SHAPE = (1, 8, 8)
EPOCHS = 3


def own_collate(samples: list[Any]) -> Any:
    return default_collate(samples)


def wrapped(images: Any, made: Any, collate: Any = None, **options: Any) -> MixLoader[Any]:
    plain = DataLoader(images, 8, shuffle=True, collate_fn=collate)
    return onthefly.wrap(plain, made, **{"device": "cpu", "epochs": EPOCHS, **options})


def as_read(loader: MixLoader[Any]) -> Any:
    """The manifest after a way through a file."""
    manifest = loader.manifest()
    read = json.loads(json.dumps(manifest))
    assert read == manifest
    return read


def delivered(loader: MixLoader[Any], epochs: int = EPOCHS) -> list[list[Any]]:
    """All samples of some epochs, one by one."""
    return [[(x, y) for xs, ys, *_ in loader for x, y in zip(xs, ys, strict=True)] for _ in range(epochs)]


def check_replayed(loader: MixLoader[Any], epochs: list[list[Any]], some: int = 1, **given: Any) -> None:
    """Every slot, or one in some, is what the manifest makes again."""
    manifest = as_read(loader)
    for epoch, samples in enumerate(epochs):
        for slot in range(epoch % some, len(samples), some):
            x, y = onthefly.replay(manifest, epoch, slot, **given)
            assert torch.allclose(x, samples[slot][0], atol=1e-5)
            assert int(y) == int(samples[slot][1])


class Shades(nn.Module):
    """Stands for anybody's network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 64)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.sigmoid(self.body(noise) + labels[:, None]).reshape(-1, *SHAPE)


class Darker(CountingGenerator):
    """Makes a darker image of a real one, which comes in a batch or in a list."""

    wants_source = True

    def __init__(self, listed: bool) -> None:
        super().__init__(SHAPE, 4)
        self.listed = listed

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        images = torch.stack([image for image, _ in sources]) if self.listed else sources[0]
        assert images.shape == (len(keys), *SHAPE)
        return images / 2 + super().sample(labels, keys) / 2


@pytest.fixture
def path(generators: dict[str, Any]) -> Any:
    return save(generators["vae"], "vae.safetensors")


MIXES: dict[str, dict[str, Any]] = {
    "default": {},
    "natural": {"balance": "natural", "ratio": 0.3},
    "shares": {"balance": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, "ratio": {1: 0.5, 3: Linear(0, 1)}},
    "changing": {"balance": Power(0.5), "ratio": Fill(cap=0.9) * Cosine(1, 0.2, until=0.9)},
    "stairs": {"balance": EffectiveNumber(0.9), "ratio": Steps({0.3: 0.5, 0.6: 1.0}).then(0.5, at=0.8), "seed": 2**70},
}


@pytest.mark.parametrize("mix", MIXES)
def test_every_slot_is_made_again_from_a_checkpoint_s_path(images: TensorDataset, path: Any, mix: str) -> None:
    loader = wrapped(images, path, **MIXES[mix])
    check_replayed(loader, delivered(loader), some=1 if mix == "default" else 4, dataset=images)


def test_synthetic_slots_need_no_dataset(images: TensorDataset, path: Any, refused: Any) -> None:
    loader = wrapped(images, path, ratio=0.6, tag=True)
    synthetic = torch.cat([info.synthetic for *_, info in loader]).tolist()
    samples, manifest = delivered(wrapped(images, path, ratio=0.6), 1)[0], as_read(loader)
    for slot in range(0, len(samples), 3):
        if synthetic[slot]:
            assert torch.allclose(onthefly.replay(manifest, 0, slot)[0], samples[slot][0], atol=1e-5)
        else:
            refused(lambda slot=slot: onthefly.replay(manifest, 0, slot), "holds a real sample", "pass dataset=")


def test_what_was_made_in_bfloat16_is_made_again_in_it(images: TensorDataset, path: Any, refused: Any) -> None:
    loader = wrapped(images, load(path, dtype="bfloat16"), ratio=1)
    samples, manifest = delivered(loader, 1)[0], as_read(loader)
    assert manifest["generator"]["dtype"] == "bfloat16"
    again, plain = onthefly.replay(manifest, 0, 5), load(path).reused(1)
    assert torch.allclose(again[0], samples[5][0], atol=8e-3)
    refused(lambda: onthefly.replay(manifest, 0, 5, generator=plain), "with the hash", "the one of that mix")
    assert as_read(wrapped(images, plain, ratio=1))["generator"]["dtype"] == "float32"


def test_a_module_of_one_s_own_is_passed_in(images: TensorDataset, refused: Any) -> None:
    module = Shades()
    made = from_module(module, latent=4, classes=4)
    loader = wrapped(images, made, ratio=0.6)
    check_replayed(loader, delivered(loader), some=3, generator=made, dataset=images)
    manifest = as_read(loader)
    refused(lambda: onthefly.replay(manifest, 0, 0), "a checkpoint by itself", "LatentGenerator", "pass generator=")
    again = from_module(module, latent=4, classes=4)
    onthefly.replay(manifest, 0, 0, generator=again, dataset=images)
    with torch.no_grad():
        module.body.bias += 1e-3
    refused(lambda: onthefly.replay(manifest, 0, 0, generator=made), "with the hash", "the one of that mix")


def test_several_generators(images: TensorDataset, path: Any, generators: dict[str, Any]) -> None:
    gan = save(generators["gan"], "gan.safetensors")
    for table in ({0: path, 1: gan, 2: str(path), 3: gan}, {np.int64(3): gan, 2: path, 1: gan, 0: path}):
        loader = wrapped(images, table, ratio=0.6)
        epochs = delivered(loader)
        check_replayed(loader, epochs, some=3, dataset=images)
        check_replayed(
            loader, epochs[:1], some=5, dataset=images, generator={key: load(one) for key, one in table.items()}
        )


def test_several_generators_by_name(images: TensorDataset, path: Any) -> None:
    class Named(TensorDataset):
        classes, targets = ("cat", "dog", "eel", "fox"), images.tensors[1]

    named = Named(*images.tensors)
    loader = wrapped(named, {"cat": path, 1: path, "eel": path, "fox": path}, ratio=0.6)
    check_replayed(loader, delivered(loader, 1), some=3, dataset=named)


def test_reuse(images: TensorDataset, path: Any) -> None:
    loader = wrapped(images, load(path, reuse=3), ratio=0.8)
    check_replayed(loader, delivered(loader), some=3, dataset=images)
    assert loader.stats().reused.sum() > 10


def test_feedback(images: TensorDataset, path: Any) -> None:
    loader = wrapped(images, path, ratio=Feedback(0.8, cut=0.5))
    epochs = []
    for scores in ([0.9] * 4, [0.2, 0.9, 0.1, 0.9], [0.9] * 4):
        epochs += delivered(loader, 1)
        loader.feedback(scores)
    assert len(as_read(loader)["log"]) == 3
    check_replayed(loader, epochs, some=2, dataset=images)


def test_training_that_became_longer(images: TensorDataset, path: Any) -> None:
    first = wrapped(images, path, ratio=Linear(0, 1))
    epochs = delivered(first, 2)
    again = wrapped(images, path, ratio=Linear(0, 1), epochs=6)
    again.load_state_dict(first.state_dict(), longer=True)
    epochs += delivered(again, 3)
    check_replayed(again, epochs, some=2, dataset=images)


@pytest.mark.parametrize("collate", [None, own_collate])
def test_samples_made_from_real_ones(images: TensorDataset, collate: Any, refused: Any) -> None:
    made = Darker(listed=collate is not None)
    loader = wrapped(images, made, collate, ratio=0.6)
    check_replayed(loader, delivered(loader), some=2, generator=made, dataset=images)
    manifest = as_read(loader)
    fakes = [bool(one) for one in loader.planned("the test").epoch(0).synthetic]
    refused(
        lambda: onthefly.replay(manifest, 0, fakes.index(True), generator=made),
        *("makes samples from real ones", "pass dataset="),
    )


@pytest.mark.parametrize("collate", [None, own_collate])
def test_samples_made_from_normalised_ones(images: TensorDataset, collate: Any) -> None:
    bright = TensorDataset((images.tensors[0] - 0.5) / 0.25, images.tensors[1])
    made = Darker(listed=collate is not None)
    loader = wrapped(bright, made, collate, ratio=1, normalized=(0.5, 0.25))
    epochs = [[(x * 0.25 + 0.5, y) for x, y in epoch] for epoch in delivered(loader)]
    check_replayed(loader, epochs, some=2, generator=made, dataset=bright)


def test_labels_of_one_s_own(images: TensorDataset, path: Any, refused: Any) -> None:
    groups = torch.arange(37) % 2
    made = load(path).relabel({0: (0, 1), 1: (2, 3)}).map(lambda image, group: (image, group))
    plain = TensorDataset(images.tensors[0], groups)
    loader = wrapped(plain, made, labels=groups, ratio=0.5)
    check_replayed(loader, delivered(loader, 1), some=2, generator=made, dataset=plain, labels=groups)


def test_what_was_delivered_by_several_processes(images: TensorDataset, path: Any) -> None:
    both = [wrapped(images, path, ratio=0.6, shard=(rank, 2)) for rank in range(2)]
    samples = torch.cat([x for step in zip(*both, strict=True) for x, _ in step])
    for loader in both:
        manifest = as_read(loader)
        for slot in range(0, len(samples), 3):
            assert torch.allclose(onthefly.replay(manifest, 0, slot, dataset=images)[0], samples[slot], atol=1e-5)


class TestWhatIsRefused:
    @pytest.fixture
    def manifest(self, images: TensorDataset, path: Any) -> Any:
        return as_read(wrapped(images, path, ratio=0.6))

    def test_another_generator(self, manifest: Any, generators: dict[str, Any], refused: Any) -> None:
        for other in (generators["gan"], save(generators["gan"], "gan.safetensors"), {0: generators["vae"]}):
            refused(
                lambda other=other: onthefly.replay(manifest, 0, 0, generator=other), "with the hash", "of that mix"
            )

    def test_a_checkpoint_that_was_written_over(self, manifest: Any, generators: Any, path: Any, refused: Any) -> None:
        save(generators["gan"], path)
        refused(lambda: onthefly.replay(manifest, 0, 0), "with the hash", "the one of that mix")

    def test_another_dataset(self, manifest: Any, images: TensorDataset, refused: Any) -> None:
        other = TensorDataset(images.tensors[0], images.tensors[1].flip(0))
        words = ("a dataset whose labels have the fingerprint", "found", "pass the dataset of that mix")
        refused(lambda: onthefly.replay(manifest, 0, 0, dataset=other), *words)
        short = TensorDataset(images.tensors[0][:5], images.tensors[1][:5])
        refused(lambda: onthefly.replay(manifest, 0, 0, dataset=short), *words)

    @pytest.mark.parametrize(("epoch", "slot"), [(0, 37), (0, -1), (3, 0), (-1, 0)])
    def test_a_place_that_is_none(self, manifest: Any, epoch: int, slot: int, refused: Any) -> None:
        refused(lambda: onthefly.replay(manifest, epoch, slot), f"found {slot if epoch == 0 else epoch}")

    def test_settings_of_a_class_of_one_s_own(self, images: TensorDataset, path: Any, refused: Any) -> None:
        class Mine(Schedule):
            changes = False

            def __call__(self, progress: Any, label: Any, census: Any) -> Any:
                return np.full(len(label), 0.5)

        manifest = as_read(wrapped(images, path, ratio=Mine()))
        refused(lambda: onthefly.replay(manifest, 0, 0), "found 'Mine'", "a class of your own", "tag=True")


def test_it_tells_what_was_delivered_and_from_what(images: TensorDataset, path: Any) -> None:
    manifest = as_read(wrapped(images, path, ratio=0.6))
    assert manifest["versions"].keys() == {"onthefly", "torch", "numpy", "python"}
    assert manifest["dataset"]["is"] == "TensorDataset"
    assert manifest["dataset"]["samples"] == 37
    assert manifest["plan"]["ratio"] == {"is": "Constant", "ratio": 0.6}


def test_there_is_none_without_a_mix(images: TensorDataset) -> None:
    with pytest.raises(RuntimeError, match="manifest: expected a mix"):
        wrapped(images, None).manifest()


def test_without_a_generator(images: TensorDataset) -> None:
    loader = wrapped(images, None, balance="uniform")
    check_replayed(loader, delivered(loader, 1), some=5, dataset=images)


def test_what_a_function_finds_around_it_is_part_of_it(generators: dict[str, Any]) -> None:
    def times(much: float) -> Any:
        return lambda image, label: (image * much, label)

    def scaled(image: Any, label: Any, much: float = 1.0) -> Any:
        return image * much, label

    fake = generators["fake"]
    found = [identity(fake.map(times(much)))["sha256"] for much in (0.5, 0.5, 0.25)]
    assert found[0] == found[1] != found[2]
    found = [identity(fake.map(partial(scaled, much=much)))["sha256"] for much in (0.5, 0.5, 0.25)]
    assert found[0] == found[1] != found[2]
