"""Training: what it takes, shows and leaves behind."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset
from torchvision import transforms

import onthefly
from onthefly.data.labels import labels_of
from onthefly.generators import save, train
from onthefly.generators.families import FAMILIES
from onthefly.generators.shown import Shown

SMALL = {"width": 4, "latent": 4}


def made_of(images: torch.Tensor, **options: Any) -> Any:
    data = TensorDataset(images, torch.arange(len(images)) % 2)
    return train("vae", data, **{"steps": 2, "config": SMALL, "progress": False, **options})


def bytes_of(generator: Any) -> bytes:
    return save(generator, Path("one.safetensors")).read_bytes()


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if "unit" in family.codings])
def test_equal_seeds_give_equal_generators_and_draw_nothing(family: str) -> None:
    data = TensorDataset(torch.rand(10, 1, 8, 8), torch.arange(10) % 2)
    state = torch.random.get_rng_state()
    made = [train(family, data, steps=3, config={"width": 4}, seed=seed, progress=False) for seed in (1, 1, 2)]
    assert torch.equal(state, torch.random.get_rng_state())
    files = [bytes_of(one) for one in made]
    assert files[0] == files[1] != files[2]


def test_progress_shows_the_losses(capsys: pytest.CaptureFixture[str]) -> None:
    made_of(torch.rand(8, 1, 8, 8), progress=True)
    shown = capsys.readouterr().err
    assert "training vae: 100%" in shown
    assert "error=" in shown
    assert "nats=" in shown


def test_a_preview_is_drawn_while_it_trains() -> None:
    made_of(torch.rand(8, 3, 8, 8), preview="sheet.png")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 10 * 56
        assert sheet.height > 2 * 56


def test_an_interrupt_keeps_what_was_learnt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer: Any = FAMILIES["vae"].trainer
    step, calls = trainer.step, []

    def interrupted(self: Any, *batch: Any) -> Any:
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(trainer, "step", interrupted)
    made = made_of(torch.rand(8, 1, 8, 8), steps=50)
    assert made.card["training"]["steps"] == 2
    assert "interrupted after 2 steps" in capsys.readouterr().out


KNOWN = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def left_off(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Leaves the state of a training that was interrupted after 2 steps."""
    trainer: Any = FAMILIES["vae"].trainer
    step, calls = trainer.step, []

    def interrupted(self: Any, *batch: Any) -> Any:
        calls.append(batch)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", interrupted)
        made_of(KNOWN, steps=5, resume="left.state", **options)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(
    ("images", "ages"), [(KNOWN.flip(3), [0, 1, 2, 3] * 2), (KNOWN, [0, 1, 3, 2] * 2), (KNOWN, [3, 2, 1, 0] * 2)]
)
def test_a_training_goes_on_with_its_own_data_only(
    images: torch.Tensor, ages: list[int], monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    left_off(monkeypatch, conditions={"age": [0, 1, 2, 3] * 2})
    options: dict[str, Any] = {"steps": 5, "resume": "left.state"}
    refused(lambda: made_of(images, conditions={"age": ages}, **options), "another training", "data: expected")
    assert made_of(KNOWN, conditions={"age": [0, 1, 2, 3] * 2}, **options).card["training"]["steps"] == 5


def test_a_dataset_that_draws_for_itself_is_gone_on_with() -> None:
    class Drawn(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            return torch.from_numpy(chance.random((1, 8, 8), np.float32)), index % 2

    chance = np.random.default_rng()
    data = Drawn(KNOWN, torch.arange(8) % 2)
    shown = [
        Shown(
            data,
            labels_of(data),
            normalized=None,
            conditions=None,
            coding=None,
            like=None,
            held_out=0,
            seed=0,
            device=torch.device("cpu"),
        )
        for _ in range(2)
    ]
    assert shown[0].digest() == shown[1].digest()


def test_normalised_images_are_undone() -> None:
    images = torch.rand(8, 1, 8, 8)
    norm = transforms.Normalize((0.5,), (0.25,))
    plain = made_of(images)
    assert torch.allclose(
        made_of(norm(images), normalized=(0.5, 0.25)).sample(torch.tensor([0]), torch.tensor([1])),
        plain.sample(torch.tensor([0]), torch.tensor([1])),
        atol=1e-3,
    )


def test_conditions_may_be_a_tensor() -> None:
    made = made_of(torch.rand(8, 1, 8, 8), conditions={"turned": torch.arange(8) % 3})
    assert str(made.spec.conditions["turned"]) == "one of 0, 1, 2"


def test_balance_decides_how_often_a_class_is_shown() -> None:
    data = TensorDataset(torch.rand(20, 1, 8, 8), torch.arange(20) // 18)
    seen: list[int] = []
    trainer: Any = FAMILIES["vae"].trainer
    step = trainer.step
    trainer.step = lambda self, *batch: (seen.extend(batch[1].tolist()), step(self, *batch))[1]
    try:
        train("vae", data, steps=5, batch_size=10, balance="uniform", config=SMALL, progress=False)
    finally:
        trainer.step = step
    assert seen.count(1) == 25


def test_the_returned_generator_is_frozen() -> None:
    made = made_of(torch.rand(8, 1, 8, 8))
    assert not made.network.training
    assert not any(parameter.requires_grad for parameter in made.network.parameters())


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (
            torch.rand(8, 2, 1, 8, 8),
            {},
            ("float32[C, H, W] in [0, 1]", "[float32[1, 2, 1, 8, 8], int64[1]]", "ToTensor"),
        ),
        (torch.randn(8, 1, 8, 8) * 9, {}, ("[0, 1]", "values from", "normalized=")),
        (torch.full((8, 1, 64), 2.0), {}, ("signals in [-1, 1]", "from 2 to 2", "divide")),
        (torch.full((8, 1, 64), torch.nan), {}, ("signals in [-1, 1]", "from nan to nan", "divide")),
        (torch.zeros(8, 1, 8, 8, dtype=torch.uint8), {}, ("float32[C, H, W]", "uint8", "ToTensor")),
        (torch.rand(8, 1, 8, 8), {"config": {"depth": 3}}, ("vae", "latent, width", "depth")),
        (torch.rand(8, 1, 8, 8), {"labels": [0]}, ("labels", "8 samples")),
        (torch.rand(0, 1, 8, 8), {}, ("at least one sample", "empty")),
        (torch.rand(8, 1, 8, 8), {"conditions": {"age": [None] * 8}}, ("conditions", "age", "NoneType")),
        (torch.rand(8, 1, 8, 8), {"conditions": {"age": [[0.0, 1.0]] * 8}}, ("conditions", "age", "found list")),
        (torch.rand(8, 1, 8, 8), {"conditions": ["age"]}, ("conditions", "by name", "['age']")),
        (torch.rand(8, 1, 8, 8), {"steps": 0}, ("steps of 1 or more", "0")),
        (torch.rand(8, 1, 8, 8), {"steps": -3}, ("steps of 1 or more", "-3")),
        (torch.rand(8, 1, 8, 8), {"steps": 2.5}, ("steps of 1 or more", "2.5")),
        (torch.rand(8, 1, 8, 8), {"steps": "3"}, ("steps of 1 or more", "'3'")),
        (torch.rand(8, 1, 8, 8), {"device": "cuda:99"}, ("device", "one that is there", "'cuda:99'")),
        (torch.rand(8, 1, 8, 8), {"held_out": "x"}, ("held_out", "a share", "'x'")),
        (torch.rand(8, 1, 8, 8), {"coding": "text"}, ("coding", "(unit)", "'text'", "leave it out for 'unit'")),
        (torch.rand(8, 1, 8, 8), {"coding": "table"}, ("coding", "(unit)", "'table'")),
        (torch.rand(8, 1, 64), {"coding": "table"}, ("coding", "(unit, log_mel, stft)", "'table'")),
        (torch.rand(8, 1, 8, 8), {"config": {"width": True}}, ("a whole number above 0", "True")),
        (torch.rand(8, 1, 8, 8), {"config": {"encoder": 1}}, ("True or False", "found 1")),
    ],
)
def test_bad_input(images: torch.Tensor, options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: made_of(images, **options), "expected", "found", *words)


def test_an_unknown_family(refused: Any) -> None:
    refused(lambda: train("glow", TensorDataset(torch.rand(1, 1, 4, 4))), "gan, vae", "'glow'")


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(torch.rand(1, 8, 8), 0)])


@pytest.mark.parametrize("dataset", [Endless(), iter([(torch.rand(1, 8, 8), 0)])])
def test_a_dataset_without_places_is_refused(dataset: Any, refused: Any) -> None:
    refused(lambda: train("vae", dataset, labels=0, steps=1), "expected a map-style", "found a", "list(dataset)")


def test_pictures_that_are_not_tensors_are_refused(refused: Any) -> None:
    pictures = [(Image.new("L", (8, 8)), 0)] * 3
    refused(lambda: train("vae", pictures, labels=0, steps=1), "train: expected", "found (Image, int)", "ToTensor()")


def test_pictures_of_several_sizes_are_refused(refused: Any) -> None:
    pictures = [(torch.rand(1, 8, 8 + row), 0) for row in range(3)]
    refused(lambda: train("vae", pictures, labels=0, steps=1, progress=False), "train: expected", "of one shape")


def test_a_class_that_was_never_shown_cannot_be_made() -> None:
    class Named(TensorDataset):
        classes = ("a", "b", "c")
        targets = torch.arange(8) % 2

    data = Named(torch.rand(8, 1, 8, 8), torch.arange(8) % 2)
    made = train("vae", data, labels=None, steps=1, config=SMALL, progress=False)
    assert made.makes.tolist() == [True, True] + [False] * (made.classes.count - 2)


def test_the_card_says_how_it_was_trained() -> None:
    made = made_of(torch.rand(8, 1, 8, 8), steps=2, batch_size=64)
    assert made.card is not None
    versions = {"onthefly": onthefly.__version__, "torch": torch.__version__}
    assert made.card["training"] == {
        "balance": "uniform",
        "batch_size": 8,
        "held_out": 0.1,
        "samples_of_each_class": [4, 4],
        "seed": 0,
        "steps": 2,
        "versions": versions,
    }
