"""A folder of pictures as a loader to measure, for the command line."""

from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from onthefly.augment.image import image
from onthefly.data.hermetic import hermetic
from onthefly.data.spec import Spec
from onthefly.generators.attributes import Attributes
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.generators.coding import Unit
from onthefly.generators.families import family_of
from onthefly.generators.family import Parts, target_of
from onthefly.loader import MixLoader
from onthefly.mixing.given import at_least_one
from onthefly.mixing.schedule import Schedule
from onthefly.preview import folder_labels
from onthefly.wrapping import wrap

_SIZE = 32


def folder_loader(
    folder: Path,
    *,
    generator: Path | None,
    family: str | None,
    ratio: Schedule,
    balance: Any,
    batch_size: int,
    workers: int,
    size: int | None,
    augmented: bool,
) -> MixLoader[Any]:
    """A loader of the pictures, wrapped with a checkpoint, with an untrained generator of a family, or with neither.

    Args:
        folder: one subfolder a class.
        generator: a checkpoint; pictures come in the size that it makes.
        family: of a generator that nobody trained: what it makes is noise, but takes as long.
        ratio: as for ``wrap``; of no account without a generator.
        balance: as for ``wrap``.
        batch_size: pictures in a batch.
        workers: processes that read them.
        size: side of the pictures; by default the generator's, or 32.
        augmented: with the image preset.
    """
    if generator is not None and family is not None:
        raise ValueError(
            f"bench: expected --generator or --family, found both, {generator} and {family}; leave out one of them"
        )
    classes = folder_labels(folder).classes
    loaded = None if generator is None else load(generator)
    shape = _shape(loaded, size)
    made = loaded if family is None else untrained(family, Spec.image(shape, classes))
    plain = DataLoader(ImageFolder(folder, _reading(shape)), batch_size, shuffle=True, num_workers=workers)
    pipeline = image(shape) if augmented else None
    if made is None:
        return wrap(plain, balance=balance, augment=pipeline)
    return wrap(plain, made, balance=balance, ratio=ratio, augment=pipeline)


def untrained(family: str, spec: Spec) -> FrozenGenerator:
    """A generator of a family with the weights that training begins with: as fast as a trained one, and good for
    nothing else.

    >>> import torch
    >>> untrained("gan", Spec.image((1, 8, 8), classes=2)).sample(torch.tensor([0]), torch.tensor([7])).shape
    torch.Size([1, 1, 8, 8])
    """
    kind = family_of(family)
    config, coding = kind.configure({}), Unit(spec.field)
    target = target_of(spec, coding)
    with hermetic(0):
        parts = Parts(kind.network(target, config), target, config, spec, coding)
        return kind.frozen(parts, Attributes({}), kind.sample_by({}))


def _shape(generator: FrozenGenerator | None, size: int | None) -> tuple[int, int, int]:
    if generator is None:
        side = _SIZE if size is None else at_least_one(size, "size")
        return 3, side, side
    channels, height, width = next(iter(generator.spec.fields.values())).shape
    if size not in (None, height):
        raise ValueError(
            f"size: expected {height}, that of the pictures which the generator makes, found {size}; leave --size out"
        )
    return channels, height, width


def _reading(shape: tuple[int, int, int]) -> transforms.Compose:
    channels, height, width = shape
    grey = [transforms.Grayscale()] if channels == 1 else []
    resize = [transforms.Resize(max(height, width)), transforms.CenterCrop((height, width))]
    return transforms.Compose([*grey, *resize, transforms.ToTensor()])
