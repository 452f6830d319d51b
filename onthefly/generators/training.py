"""Training: from a dataset to a frozen generator, with progress."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from tqdm.auto import tqdm

from onthefly.data.batches import default_device
from onthefly.data.dataset import HostCollate, SyntheticMixDataset
from onthefly.data.hermetic import hermetic
from onthefly.data.images import image_in, is_unit
from onthefly.data.labels import Labels, labels_of
from onthefly.data.nested import outline
from onthefly.data.normalize import Normalization, find_normalization
from onthefly.data.spec import Spec
from onthefly.generators.checkpoint import new_card
from onthefly.generators.families import Config, Trainer, family_of
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.sheet import contact_sheet
from onthefly.mixing.plan import MixPlan

_PREVIEWS = 20  # contact sheets over a training
_EXAMPLES = 5  # real images of each class on a sheet


def train(
    family: str,
    dataset: Any,
    *,
    config: dict[str, int] | None = None,
    steps: int | None = None,
    batch_size: int = 64,
    balance: Any = "natural",
    labels: Any = None,
    normalized: Any = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    preview: str | Path | None = None,
    progress: bool = True,
) -> LatentGenerator:
    """Train a class-conditional generator on a dataset of images, of any size and number of channels.

    Interrupt it (Ctrl-C) and it returns what it has learnt so far. The global random generators are left as they were.

    Args:
        family: "gan" (sharper, slower) or "vae" (softer, quicker, best for the smallest sets).
        dataset: map-style; yields an image ``float32[C, H, W]`` in [0, 1], with a label, or alone with ``labels=``.
        config: the family's sizes, such as ``{"latent": 64, "width": 32}``.
        steps: batches to train on; by default what suits a small data set.
        batch_size: images in a batch.
        balance: how often each class is shown, as for ``wrap``.
        labels: as for ``wrap``.
        normalized: ``(mean, std)`` if the images arrive normalised; found by itself in the dataset's own transform.
        seed: equal seeds give equal generators on one machine.
        device: by default the current CUDA device if there is one.
        num_workers: processes that load images.
        preview: a PNG file to draw contact sheets to while it trains: real images on the left, synthetic on the right.
        progress: show a progress bar with the losses.

    Returns:
        The generator, with a card; ``save`` writes it to a file.

    Raises:
        ValueError: for images that are not ``float32[C, H, W]`` in [0, 1], and as ``labels_of`` and ``MixPlan`` do.

    >>> digits = torch.utils.data.TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)
    >>> generator = train("vae", digits, steps=2, progress=False)
    >>> generator.sample(torch.tensor([3]), torch.tensor([1])).shape
    torch.Size([1, 1, 8, 8])
    """
    kind, device = family_of(family), torch.device(device) if device is not None else default_device()
    made, steps = kind.configure(config or {}), kind.steps if steps is None else steps
    if steps < 1:
        raise ValueError(f"train: expected steps of 1 or more, found {steps}; leave it out for {kind.steps}")
    images = _Images(dataset, labels_of(dataset, labels), normalized, device)
    batch_size = min(batch_size, len(images.labels.values))
    with hermetic(seed, device):
        trainer = kind.trainer(images.spec, made, device, steps)
        batches = images.batches(batch_size, balance, seed, num_workers)
        examples = images.examples(_EXAMPLES) if preview else []

        def draw() -> None:
            if preview:
                contact_sheet(_frozen(trainer, images.spec, made), preview, real=examples, device=device)

        with tqdm(
            islice(batches, steps), total=steps, desc=f"training {family}", unit="step", disable=not progress
        ) as bar:
            done = _run(trainer, bar, draw)
    training = {"steps": done, "batch_size": batch_size, "seed": seed, "images_of_each_class": images.count}
    return _frozen(trainer, images.spec, made, new_card(kind.name, asdict(made), images.spec, training))


def _frozen(trainer: Trainer, spec: Spec, config: Config, card: dict[str, Any] | None = None) -> LatentGenerator:
    """The generator as it is now; training goes on without it."""
    return LatentGenerator(copy.deepcopy(trainer.network()), spec, (config.latent,), card=card)


class _Images:
    """A dataset as batches of images in [0, 1] and their classes, without end."""

    def __init__(self, dataset: Any, labels: Labels, normalized: Any, device: torch.device) -> None:
        self.dataset, self.labels, self.device = dataset, labels, device
        self.norm = find_normalization(dataset) if normalized is None else Normalization.of(normalized)
        with hermetic(0):
            first = self._image(_collate([dataset[0]]))
        channels, height, width = first.shape[1:]
        self.spec = Spec.image((channels, height, width), labels.classes)
        self.count = np.bincount(labels.values, minlength=labels.classes.count).tolist()

    def batches(self, size: int, balance: Any, seed: int, num_workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        plan = MixPlan(
            self.labels.values,
            batch_size=size,
            balance=balance,
            ratio=0,
            seed=seed,
            drop_last=True,
            classes=self.labels.classes,
        )
        mixed = SyntheticMixDataset(self.dataset, plan)
        loader = DataLoader(
            mixed,
            batch_size=size,
            sampler=mixed.sampler,
            collate_fn=HostCollate(_collate),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
        )
        for epoch in count():
            mixed.sampler.aim(epoch, 0)
            for host in loader:
                yield self._image(host.real).to(self.device), torch.from_numpy(host.slots.label).to(self.device)

    def examples(self, each: int) -> list[list[Tensor]]:
        """A few images of every class, fewer where it has fewer."""
        rows = [np.flatnonzero(self.labels.values == number)[:each] for number in range(self.labels.classes.count)]
        with hermetic(0):
            return [[self._image(_collate([self.dataset[int(row)]]))[0] for row in some] for some in rows]

    def _image(self, batch: Any) -> Tensor:
        found = image_in(batch, ndim=4)
        if found is None:
            raise ValueError(
                f"train: expected {type(self.dataset).__name__} to yield an image float32[C, H, W] in [0, 1], found "
                f"{outline(batch)}; give it transform=torchvision.transforms.ToTensor()"
            )
        image: Tensor = self.norm.undo(found) if self.norm else found
        if not is_unit(image):
            raise ValueError(
                f"train: expected images in [0, 1], found values from {image.min():g} to {image.max():g}; pass "
                "normalized=(mean, std), what your transform's Normalize was given"
            )
        return image.float().clamp(0, 1)


def _collate(samples: list[Any]) -> Any:
    try:
        return default_collate(samples)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"train: expected images float32[C, H, W] of one size, found {outline(samples[0])} ({error}); give the "
            "dataset a transform that ends in torchvision.transforms.ToTensor()"
        ) from error


def _run(trainer: Trainer, bar: Any, draw: Callable[[], None]) -> int:
    """Train on every batch; an interrupt ends it early. Returns the steps done."""
    done, every = 0, max(1, bar.total // _PREVIEWS)
    try:
        for images, labels in bar:
            losses = trainer.step(images, labels)
            done += 1
            bar.set_postfix({name: f"{loss:.3g}" for name, loss in losses.items()}, refresh=False)
            if done % every == 0:
                draw()
    except KeyboardInterrupt:
        bar.write(f"interrupted after {done} steps; keeping what was learnt")
    draw()
    return done
