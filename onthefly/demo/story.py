"""The demo's story: one owner trains a generator and keeps the images, another gets only its checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from tqdm.auto import tqdm

from onthefly import augment
from onthefly.balance import Power
from onthefly.data.batches import default_device
from onthefly.data.meter import Stats
from onthefly.demo.classifier import recall, train_classifier
from onthefly.demo.data import Images, Name, Parts, deal
from onthefly.generators import FrozenGenerator, contact_sheet, load, save, train
from onthefly.loader import MixLoader
from onthefly.schedule import Fill
from onthefly.wrapping import wrap

Floats = NDArray[np.float64]
Scenario = Literal["owner", "self"]

RATIO = Fill(cap=0.8)
ARMS = ("baseline", "mix", "upper bound")


@dataclass(frozen=True)
class Setting:
    """The sizes of one run of the story.

    Attributes:
        most: own images of the largest class.
        imbalance: how many times fewer the smallest has.
        owner: images that the owner has.
        family: of the generator.
        generator_steps: that it is trained for.
        steps: that each classifier is trained for.
        batch_size: of the classifiers.
        flip: how often an image may be mirrored.
    """

    most: int
    imbalance: float
    owner: int
    family: str
    generator_steps: int
    steps: int
    batch_size: int = 64
    flip: float = 0.0


SETTINGS: dict[Name, Setting] = {
    "digits": Setting(most=48, imbalance=20, owner=500, family="vae", generator_steps=1500, steps=600),
    "mnist": Setting(most=100, imbalance=20, owner=4000, family="vae", generator_steps=2000, steps=600),
    "cifar10": Setting(
        5000, 100, owner=20_000, family="gan", generator_steps=4000, steps=1500, batch_size=128, flip=0.5
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What the story came to.

    Attributes:
        stats: what the mix delivered, with the first seed.
        own: own images of each class.
        recalls: by arm, ``float64[seeds, C]``.
        planned: ``float64[C]``, the ratio that was planned.
        checkpoint: the generator.
        sheet: the contact sheet.
    """

    stats: Stats
    own: NDArray[np.int64]
    recalls: dict[str, Floats]
    planned: Floats
    checkpoint: Path
    sheet: Path


def tell(
    name: Name, scenario: Scenario, family: str | None, data: Path | None, out: Path, seeds: tuple[int, ...]
) -> Outcome:
    """Train the generator, and the classifiers of every arm with every seed."""
    if not seeds:
        raise ValueError("seeds: expected at least one, found none; write --seeds 0 1 2")
    setting, device = SETTINGS[name], default_device()
    parts = deal(name, data, most=setting.most, imbalance=setting.imbalance, owner=setting.owner)
    checkpoint, sheet = out / f"{name}-{scenario}.safetensors", out / f"{name}-{scenario}.png"
    generator = _train_generator(parts, setting, scenario, family or setting.family, checkpoint)
    contact_sheet(generator, sheet, real=_examples(parts.own))
    loaders = {arm: [_loader(arm, parts, generator, setting, seed) for seed in seeds] for arm in ARMS}
    recalls: dict[str, list[Floats]] = {arm: [] for arm in ARMS}
    with tqdm(total=len(ARMS) * len(seeds), desc="training classifiers", unit="run") as bar:
        for arm in ARMS:
            for seed, loader in zip(seeds, loaders[arm], strict=True):
                network = train_classifier(loader, parts.own, setting.steps, seed, device)
                recalls[arm].append(recall(network, parts.test, device))
                bar.update()
    mix = loaders["mix"][0]
    own = np.bincount(parts.own.targets, minlength=len(parts.own.classes))
    planned = mix.planned("the demo").ratio(0.0)
    return Outcome(mix.stats(), own, {arm: np.stack(rows) for arm, rows in recalls.items()}, planned, checkpoint, sheet)


def _train_generator(
    parts: Parts, setting: Setting, scenario: Scenario, family: str, checkpoint: Path
) -> FrozenGenerator:
    """Train where the images are, and carry nothing away but the checkpoint."""
    images = parts.owner if scenario == "owner" else parts.own
    save(train(family, images, steps=setting.generator_steps, balance=Power(0.5), held_out=0), checkpoint)
    return load(checkpoint)


def _loader(arm: str, parts: Parts, generator: FrozenGenerator, setting: Setting, seed: int) -> MixLoader[Any]:
    """Every arm is balanced and augmented; they differ in where the images come from."""
    images: Dataset[Any] = ConcatDataset([parts.own, parts.owner]) if arm == "upper bound" else parts.own
    plain: DataLoader[Any] = DataLoader(images, batch_size=setting.batch_size, shuffle=True)
    pipeline = augment.image(parts.own.shape, flip=setting.flip, rotate=8, translate=0.05, scale=0.05, shear=4, crop=0)
    if arm == "mix":
        return wrap(plain, generator, balance="uniform", ratio=RATIO, seed=seed, augment=pipeline)
    return wrap(plain, balance="uniform", seed=seed, augment=pipeline)


def _examples(images: Images, each: int = 5) -> list[list[Tensor]]:
    """A few images of every class, or as many as there are."""
    return [list(images.tensors[0][images.targets == number][:each]) for number in range(len(images.classes))]
