"""The course of a training: gone on with after a kill, ended where it helps no more, the best kept."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.generators import course, save, train, training
from onthefly.generators.families import FAMILIES
from onthefly.generators.saved import read_state, write_state

SMALL = {"width": 4, "latent": 4}
IMAGES = TensorDataset(torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2)
PIXELS = [name for name, family in FAMILIES.items() if "unit" in family.codings]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at held-out samples in trainings as short as these."""
    monkeypatch.setattr(course, "_LEAST", 1)
    monkeypatch.setattr(course, "_LOOKS", 6)


class Killed(Exception):
    """What isn't an interrupt."""


def trained(family: str = "vae", **options: Any) -> Any:
    config = {name: size for name, size in SMALL.items() if hasattr(FAMILIES[family].config(), name)}
    known = {"steps": 23, "batch_size": 6, "config": config, "progress": False}
    return train(family, IMAGES, **{**known, **options})


def bytes_of(generator: Any) -> bytes:
    return save(generator, Path("one.safetensors")).read_bytes()


def killed_at(step: int, family: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """A training that dies after so many steps, having written its state after each."""
    monkeypatch.setattr(course, "_SECONDS", -1.0)
    trainer, done = FAMILIES[family].trainer, []
    whole = trainer.step

    def dying(self: Any, *batch: Any) -> Any:
        if len(done) == step:
            raise Killed
        done.append(step)
        return whole(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", dying)
        with pytest.raises(Killed):
            trained(family, resume="going.state", **options)


@pytest.mark.parametrize("family", PIXELS)
@pytest.mark.parametrize("step", [1, 14, 22])
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    family: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bytes_of(trained(family))
    killed_at(step, family, monkeypatch)
    assert read_state(Path("going.state"))["done"] == step
    assert bytes_of(trained(family, resume="going.state")) == expected
    assert not Path("going.state").exists()


def test_killed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bytes_of(trained())
    killed_at(4, "vae", monkeypatch)
    killed_at(9, "vae", monkeypatch)
    assert read_state(Path("going.state"))["done"] == 13
    assert bytes_of(trained(resume="going.state")) == expected


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"seed": 1}, ("seed: expected 1, found 0",)), ({"steps": 24}, ("steps: expected 24, found 23",))],
)
def test_the_state_of_another_training(
    changed: dict[str, Any], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    killed_at(2, "vae", monkeypatch)
    refused(lambda: trained(resume="going.state", **changed), "going.state", "remove it", *words)


def test_a_state_that_is_none(refused: Any) -> None:
    Path("going.state").write_text("nothing")
    refused(lambda: trained(resume="going.state"), "expected the state of a training", "going.state", "remove it")


def test_a_state_is_written_as_it_is() -> None:
    state = {"step": 3, "groups": [{0: torch.ones(2)}, None, "adam", 0.5], "none": []}
    write_state(state, Path("one.state"))
    again = read_state(Path("one.state"))
    assert torch.equal(again["groups"][0].pop(0), state["groups"][0].pop(0))  # type: ignore[index]
    assert again == state


def test_an_unfinished_write_leaves_the_state_of_before() -> None:
    write_state({"step": 1}, Path("one.state"))

    class Unwritable:
        pass

    with pytest.raises(TypeError):
        write_state({"step": Unwritable()}, Path("one.state"))
    assert read_state(Path("one.state")) == {"step": 1}


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_waits_for_the_step_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bytes_of(trained())
    trainer, calls = FAMILIES["vae"].trainer, []
    step = trainer.step

    def interrupted(self: Any, *batch: Any) -> Any:
        calls.append(batch)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", interrupted)
        made = trained(resume="going.state")
    assert made.card["training"]["steps"] == 5
    assert read_state(Path("going.state"))["done"] == 5
    assert bytes_of(trained(resume="going.state")) == expected


@pytest.mark.usefixtures("interrupts")
def test_half_a_step_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bytes_of(trained())
    killed_at(4, "vae", monkeypatch)
    trainer: Any = FAMILIES["vae"].trainer

    def impatient(self: Any, *batch: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", impatient)
        trained(resume="going.state")
    assert read_state(Path("going.state"))["done"] == 4
    assert bytes_of(trained(resume="going.state")) == expected


def test_the_state_stays_until_there_is_a_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bytes_of(trained())

    def full(*_: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(training, "cost_of", full)
        with pytest.raises(MemoryError):
            trained(resume="going.state")
    assert bytes_of(trained(resume="going.state")) == expected
    assert not Path("going.state").exists()


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"data": Path("x")}, ("something else", "PosixPath")),
        ({"score": float("nan")}, ("something else",)),
        ({"format": 7, "training": 1}, ("doesn't say by itself", "format, training")),
    ],
)
def test_what_a_card_cannot_say(about: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: trained(about=about), "about: expected", "found", *words)


def scoring(scores: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    coming = iter(scores)
    monkeypatch.setattr(FAMILIES["vae"].trainer, "score", lambda *_: torch.tensor(next(coming)))


def test_the_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    scoring([9.0, 3.0, 5.0, 6.0], monkeypatch)
    monkeypatch.setattr(course, "_LOOKS", 4)
    best = trained(steps=20, held_out=0.2)
    assert best.card["training"]["best_step"] == 10
    assert best.card["training"]["score"] == 3.0
    assert best.card["training"]["samples_of_each_class"] == [16, 16]
    scoring([9.0, 3.0], monkeypatch)
    monkeypatch.setattr(course, "_LOOKS", 2)  # the learning rate follows the steps, so it is stopped there as well
    last = trained(steps=20, held_out=0.2)
    assert last.card["training"]["best_step"] == 20
    assert not torch.equal(
        best.sample(torch.tensor([0]), torch.tensor([1])), last.sample(torch.tensor([0]), torch.tensor([1]))
    )


def test_it_ends_where_it_helps_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    scoring([5.0, 4.0, *[6.0] * 50], monkeypatch)
    monkeypatch.setattr(course, "_LOOKS", 20)
    made = trained(steps=200)
    assert made.card["training"]["best_step"] == 20
    assert made.card["training"]["steps"] == 80


def test_nothing_is_held_out_of_small_classes_or_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FAMILIES["vae"].trainer, "score", lambda *_: pytest.fail("there is nothing to score"))
    assert "score" not in trained(held_out=0).card["training"]
    few = TensorDataset(IMAGES.tensors[0][:8], IMAGES.tensors[1][:8])
    made = train("vae", few, steps=2, config=SMALL, progress=False)
    assert made.card is not None
    assert made.card["training"]["samples_of_each_class"] == [4, 4]


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_bad_shares(share: float, refused: Any) -> None:
    refused(lambda: trained(held_out=share), "held_out: expected a share", str(share), "held_out=0.1")
