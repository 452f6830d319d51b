"""Distillation: students of a step or two, which make what their teacher makes."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from onthefly.generators import distill, load, read_card, save, train
from onthefly.generators.distillation import StudentTrainer
from tests.generators.test_diffusion import KEYS, LABELS, SMALL, nearest, squares


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = train("diffusion", squares(), steps=150, batch_size=32, config=SMALL, progress=False)
    return save(made, tmp_path_factory.mktemp("teacher") / "teacher.safetensors")


def test_a_student_does_in_a_step_what_its_teacher_does_in_many(teacher: Path) -> None:
    knows = load(teacher)
    student = distill(knows, steps=150, pairs=512, batch_size=32, progress=False)
    path = save(student, "student.safetensors")
    expected = knows.sample(LABELS, KEYS)
    far = {steps: (load(path, steps=steps).sample(LABELS, KEYS) - expected).abs().mean() for steps in (1, 2)}
    hurried = load(teacher, steps=1, solver="euler", guidance=1.5).sample(LABELS, KEYS)
    assert far[1] < 0.7 * (hurried - expected).abs().mean()
    assert far[2] < 0.7 * (hurried - expected).abs().mean()
    assert (nearest(load(path, steps=1).sample(LABELS, KEYS)) == LABELS).float().mean() > 0.9
    alone = load(path).sample(LABELS[7:8], KEYS[7:8])[0]
    assert torch.allclose(alone, load(path).sample(LABELS, KEYS)[7], atol=1e-5)


def test_the_card_says_whose_student_it_is(teacher: Path) -> None:
    student: Any = distill(teacher, steps=1, pairs=8, about={"licence": "CC0"}, progress=False)
    card = read_card(save(student, "student.safetensors"))
    told = card["distilled_from"]
    assert (told["file"], told["steps"], told["solver"], told["guidance"]) == ("teacher.safetensors", 8, "adams", 1.5)
    assert told["file_sha256"] == load(teacher).sha256
    assert len(told["identity"]) == 64
    assert card["config"]["student"]
    assert card["licence"] == "CC0"
    assert card["training"]["samples_of_each_class"] == read_card(teacher)["training"]["samples_of_each_class"]
    how = student.sampling.filled(student=True)
    assert (how.steps, how.solver, how.guidance) == (2, "euler", 1.0)


def test_the_teacher_stays_as_it_was(teacher: Path) -> None:
    knows: Any = load(teacher)
    before = {name: one.clone() for name, one in knows.network.state_dict().items()}
    state = torch.random.get_rng_state()
    distill(knows, steps=2, pairs=8, progress=False)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one, before[name]) for name, one in knows.network.state_dict().items())
    assert not any(one.requires_grad for one in knows.network.parameters())


@pytest.mark.usefixtures("interrupts")
def test_a_training_goes_on_to_the_bit(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(**options: Any) -> bytes:
        one = distill(teacher, steps=6, pairs=16, batch_size=8, progress=False, **options)
        return save(one, "one.safetensors").read_bytes()

    whole, step = made(), StudentTrainer.step
    calls: list[int] = []

    def stopped(self: Any, *batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    monkeypatch.setattr(StudentTrainer, "step", stopped)
    assert made(resume="one.state") != whole
    monkeypatch.setattr(StudentTrainer, "step", step)
    assert made(resume="one.state") == whole


def test_bad_input(teacher: Path, refused: Any) -> None:
    vae = train("vae", squares(30), steps=1, config={"width": 4, "latent": 4}, progress=False)
    refused(lambda: distill(vae), "distill: expected a diffusion model", "found a vae")
    refused(lambda: distill(load(teacher, strength=0.5)), "from noise", "from real ones", "strength=")
    refused(lambda: distill(teacher, steps=0), "steps", "found 0")
    refused(lambda: distill(teacher, pairs=1), "pairs", "found 1")
    refused(lambda: distill(teacher, steps="3"), "steps", "found '3'")  # type: ignore[arg-type]
    refused(lambda: distill(teacher, device="foo"), "device: expected one that is there", "found 'foo'")
    refused(lambda: load(teacher, device="foo"), "device: expected one that is there", "found 'foo'")
    refused(lambda: load(teacher, steps=True), "steps: expected a whole number above 0", "found True")
