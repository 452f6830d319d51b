"""Few-shot: a checkpoint gone on with for other classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.data.spec import Spec
from onthefly.generators import distill, load, read_card, save, train
from onthefly.generators.adapting import adapted, merged
from onthefly.generators.checkpoint import read_parts
from onthefly.generators.families import FAMILIES
from onthefly.generators.family import target_of
from onthefly.mixing.classes import Classes

SMALL = {"width": 8, "latent": 8, "depth": 1}
IMAGES = [name for name, family in FAMILIES.items() if "unit" in family.codings]


class Squares(TensorDataset):
    """Bright squares in places that are their class."""

    def __init__(self, places: dict[str, tuple[int, int]], each: int, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.arange(each * len(places)) % len(places)
        images = 0.1 * torch.rand(len(labels), 1, 8, 8, generator=draw)
        for number, (row, column) in enumerate(places.values()):
            images[labels == number, :, row : row + 3, column : column + 3] += 0.8
        super().__init__(images, labels)
        self.classes, self.targets = list(places), labels


KNOWN = {"a": (0, 0), "b": (2, 2), "c": (4, 4), "d": (0, 4), "e": (4, 0)}
NEW = {"f": (2, 0), "b": (2, 2), "g": (1, 5)}


def config_of(family: str) -> dict[str, Any]:
    return {name: size for name, size in SMALL.items() if hasattr(FAMILIES[family].config(), name)}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Generators that know five places."""
    folder = tmp_path_factory.mktemp("known")
    data = Squares(KNOWN, 40)
    made = {name: train(name, data, steps=300, config=config_of(name), progress=False) for name in IMAGES}
    return {name: save(one, folder / f"{name}.safetensors") for name, one in made.items()}


def agreement(generator: Any, data: Squares) -> float:
    """The share of samples that are nearest to their own class."""
    images, labels = data.tensors
    means = torch.stack([images[labels == number].mean(dim=0) for number in range(len(data.classes))])
    asked = torch.arange(90) % len(data.classes)
    fakes = generator.sample(asked, torch.arange(90))
    nearest = (fakes[:, None] - means[None]).square().flatten(2).mean(dim=2).argmin(dim=1)
    return float((nearest == asked).float().mean())


@pytest.mark.parametrize("family", IMAGES)
def test_ten_samples_of_each_new_class_are_enough(family: str, paths: dict[str, Path]) -> None:
    data = Squares(NEW, 10, seed=1)
    made = train(family, data, init=paths[family], steps=150, batch_size=30, progress=False)
    assert made.classes.names == ("f", "b", "g")
    assert agreement(made, data) > 0.6  # a third by chance
    again = load(save(made, "new.safetensors"))
    assert torch.allclose(
        again.sample(torch.tensor([2]), torch.tensor([7])), made.sample(torch.tensor([2]), torch.tensor([7])), atol=1e-6
    )


@pytest.mark.parametrize("family", IMAGES)
def test_only_classes_and_low_ranks_are_learnt(family: str, paths: dict[str, Path]) -> None:
    made = train(family, Squares(NEW, 10), init=paths[family], steps=5, progress=False)
    _, known = read_parts(paths[family])
    before, after = known.network.state_dict(), made.network.state_dict()
    assert before.keys() == after.keys()
    alike = [name for name in before if before[name].shape == after[name].shape]
    assert 0 < len(before) - len(alike) < len(before)
    for name in alike:
        rows = before[name].flatten(1) if before[name].ndim > 1 else before[name][None]
        change = (after[name].reshape(rows.shape) - rows).double()
        assert torch.linalg.matrix_rank(change, atol=1e-4) <= 4, name
        assert before[name].ndim > 1 or change.abs().max() == 0, name


@pytest.mark.parametrize("family", IMAGES)
def test_it_begins_as_what_it_goes_on_from(family: str, paths: dict[str, Path]) -> None:
    """A class that was known by name is made as it was."""
    kind, known = read_parts(paths[family])
    target = target_of(known.spec, known.coding)
    network = merged(adapted(kind, known, target, known.spec.classes.names), kind, target, known.config)
    assert all(torch.equal(one, known.network.state_dict()[name]) for name, one in network.state_dict().items())


def test_the_card_says_what_it_went_on_from(paths: dict[str, Path]) -> None:
    made = train("vae", Squares(NEW, 6), init=paths["vae"], steps=2, progress=False)
    card = read_card(save(made, "new.safetensors"))
    assert card["init"]["file"] == "vae.safetensors"
    assert len(card["init"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("gan", {}, ("a checkpoint of a gan", "found a vae", "vae.safetensors")),
        ("vae", {"config": SMALL}, ("to be left to", "config={'width'")),
        ("vae", {"coding": "unit"}, ("to be left to", "coding='unit'")),
        ("vae", {"augment": True}, ("to be left to", "augment=True")),
    ],
)
def test_bad_input(
    family: str, options: dict[str, Any], words: tuple[str, ...], paths: dict[str, Path], refused: Any
) -> None:
    data = Squares(NEW, 6)
    refused(lambda: train(family, data, init=paths["vae"], steps=1, **options), "train: expected", "found", *words)


def test_other_images(paths: dict[str, Path], refused: Any) -> None:
    data = TensorDataset(torch.rand(6, 1, 9, 9), torch.arange(6) % 2)
    refused(lambda: train("vae", data, init=paths["vae"], steps=1), "float32[1, 8, 8]", "found float32[1, 9, 9]")


def test_classes_without_names_are_known_by_number(paths: dict[str, Path]) -> None:
    kind, known = read_parts(paths["vae"])
    target = replace(target_of(known.spec, known.coding), classes=7)
    unnamed = replace(known, spec=Spec(known.spec.fields, Classes.of(5)))
    made = merged(adapted(kind, unnamed, target, None), kind, target, known.config).state_dict()
    rows, before = made["decoder.embedding.weight"], known.network.state_dict()["decoder.embedding.weight"]
    assert torch.equal(rows[:5], before)


def test_a_student_is_not_gone_on_from(paths: dict[str, Path], refused: Any) -> None:
    student = save(distill(paths["diffusion"], steps=2, pairs=64, progress=False), "student.safetensors")
    refused(lambda: train("diffusion", Squares(NEW, 6), init=student, steps=1), "found a student", "distill again")
