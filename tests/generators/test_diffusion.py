"""Diffusion: how samples are made, what of, and that each is its key whatever is asked for."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from onthefly import wrap
from onthefly.generators import load, save, train
from onthefly.generators.flow_schedulers import SCHEDULERS
from onthefly.generators.identity import identity
from onthefly.generators.solvers import SOLVERS

SMALL = {"width": 8, "depth": 1}
LABELS, KEYS = torch.arange(33) % 3, torch.arange(100, 133)
ROWS = (0, 7, 32)


def squares(count: int = 120) -> TensorDataset:
    """Bright squares in places that are their class."""
    labels = torch.arange(count) % 3
    images = 0.1 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 3, 2 * label : 2 * label + 3] += 0.8
    return TensorDataset(images, labels)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the squares."""
    made = train("diffusion", squares(), steps=150, batch_size=32, config=SMALL, progress=False)
    return save(made, tmp_path_factory.mktemp("diffusion") / "squares.safetensors")


def nearest(images: Tensor) -> Tensor:
    """The class whose squares are most alike."""
    real, labels = squares().tensors
    means = torch.stack([real[labels == label].mean(dim=0) for label in range(3)])
    return (images[:, None] - means).square().flatten(2).mean(dim=2).argmin(dim=1)


def brighter(samples: Tensor, labels: Tensor, time: float) -> Tensor:
    return 20 * samples.flatten(1).mean(dim=1)


HOWS: list[dict[str, Any]] = [
    *({"solver": solver, "steps": 3} for solver in SOLVERS),
    *({"solver": f"diffusers:{name}", "steps": 3} for name in SCHEDULERS),
    {"steps": 1},
    {"guidance": 1.0},
    {"guidance": 3.0},
    {"churn": 0.5, "steps": 3},
    {"guide": brighter, "steps": 3},
]


@pytest.mark.parametrize("how", HOWS, ids=lambda how: "-".join(how))
def test_a_sample_is_its_key_however_it_is_made(how: dict[str, Any], path: Path) -> None:
    made = load(path, **how)
    together = made.sample(LABELS, KEYS)
    assert together.shape == (33, 1, 8, 8)
    assert 0 <= together.min() < together.max() <= 1
    for row in ROWS:
        alone = made.sample(LABELS[row : row + 1], KEYS[row : row + 1])[0]
        assert torch.allclose(alone, together[row], atol=1e-5)
    assert torch.allclose(made.sample(LABELS.flip(0), KEYS.flip(0)).flip(0), together, atol=1e-5)


def test_classes_are_kept_to(path: Path) -> None:
    for how in (
        {},
        {"solver": "euler"},
        {"guidance": 1.0},
        {"churn": 0.7},
        {"solver": f"diffusers:{next(iter(SCHEDULERS))}"},
    ):
        assert (nearest(load(path, **how).sample(LABELS, KEYS)) == LABELS).float().mean() > 0.9, how


def test_schedulers_of_diffusers_go_the_same_way(path: Path) -> None:
    for name, solver in (("FlowMatchEulerDiscreteScheduler", "euler"), ("FlowMatchHeunDiscreteScheduler", "heun")):
        ours, theirs = (load(path, solver=one, steps=16).sample(LABELS, KEYS) for one in (solver, f"diffusers:{name}"))
        assert (ours - theirs).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("how", "looks"),
    [({"solver": "euler"}, 4), ({"solver": "adams"}, 4), ({"solver": "heun"}, 8), ({"guidance": 1}, 4)],
)
def test_the_network_is_asked_as_often_as_the_steps_say(how: dict[str, Any], looks: int, path: Path) -> None:
    made: Any = load(path, steps=4, **how)
    sizes: list[int] = []
    made.network.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    made.sample(LABELS, KEYS)
    assert sizes == [33 if how.get("guidance") == 1 else 66] * looks


def test_no_guidance_is_the_class_alone(path: Path) -> None:
    """At 1, both ways of making a velocity are one; without it, no class is kept to."""
    plain, nearly = (load(path, guidance=much).sample(LABELS, KEYS) for much in (1.0, 1.00001))
    assert torch.allclose(plain, nearly, atol=1e-3)
    free = load(path, guidance=0.0)
    same = [free.sample(torch.full((33,), label), KEYS) for label in (0, 2)]
    assert torch.allclose(*same, atol=1e-6)


def test_churn_is_drawn_by_the_key(path: Path) -> None:
    plain, churned = (load(path, churn=much).sample(LABELS, KEYS) for much in (0.0, 0.5))
    assert (plain - churned).abs().max() > 0.01
    torch.manual_seed(1)
    assert torch.equal(load(path, churn=0.5).sample(LABELS, KEYS), churned)


def test_a_guide_moves_samples_where_they_are_more_probable(path: Path) -> None:
    state = torch.random.get_rng_state()
    plain = load(path).sample(LABELS, KEYS)
    with torch.inference_mode():
        guided = load(path, guide=brighter, guide_scale=2.0).sample(LABELS, KEYS)
    assert (guided.flatten(1).mean(1) > plain.flatten(1).mean(1) + 0.005).all()
    assert not guided.requires_grad
    assert torch.equal(load(path, guide=brighter, guide_scale=0.0).sample(LABELS, KEYS), plain)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_guide_sees_what_the_network_makes(path: Path) -> None:
    seen: list[tuple[float, Tensor]] = []

    def guide(samples: Tensor, labels: Tensor, time: float) -> Tensor:
        seen.append((time, samples.detach()))
        assert torch.equal(labels, LABELS)
        return samples.flatten(1).sum(dim=1)

    made = load(path, guide=guide, guide_scale=0.0, steps=4, solver="euler").sample(LABELS, KEYS)
    assert [time for time, _ in seen] == [1.0, 0.75, 0.5, 0.25]
    assert (nearest(seen[-1][1]) == LABELS).float().mean() > 0.9
    assert (seen[-1][1].clamp(0, 1) - made).abs().max() < 1e-5


def test_sources_are_kept_as_far_as_strength_says(path: Path) -> None:
    sources, _ = squares(33).tensors
    made = {strength: load(path, strength=strength) for strength in (0.1, 0.5, 1.0)}
    assert all(one.wants_source for one in made.values())
    far = [(one.sample(LABELS, KEYS, sources) - sources).abs().mean() for one in made.values()]
    assert far[0] < 0.6 * far[1]
    assert far[0] < 0.6 * far[2]
    assert torch.equal(made[1.0].sample(LABELS, KEYS, sources), load(path).sample(LABELS, KEYS))
    other = (LABELS + 1) % 3
    assert (nearest(made[0.1].sample(other, KEYS, sources)) == LABELS).float().mean() > 0.9
    assert (nearest(load(path, strength=0.95).sample(other, KEYS, sources)) == other).float().mean() > 0.6
    for row in ROWS:
        one = slice(row, row + 1)
        alone = made[0.5].sample(LABELS[one], KEYS[one], sources[one])[0]
        assert torch.allclose(alone, made[0.5].sample(LABELS, KEYS, sources)[row], atol=1e-5)


def test_a_mix_hands_over_sources_of_the_class(path: Path) -> None:
    loader = wrap(DataLoader(squares(), batch_size=12, shuffle=True), load(path, strength=0.1, steps=2), ratio=1.0)
    for images, labels in loader:
        assert (nearest(images) == labels).float().mean() > 0.9


class Pairs(TensorDataset):
    """A noisy and a clean square, and its class."""

    def __init__(self) -> None:
        clean, labels = squares(60).tensors
        super().__init__((clean + 0.3 * torch.rand_like(clean)).clamp(0, 1), clean, labels)


def test_pairs_are_learnt() -> None:
    """A sample is made from its own source: of which class it is, that one says."""
    made = train("diffusion", Pairs(), steps=150, config={**SMALL, "paired": True}, preview="sheet.png", progress=False)
    assert Path("sheet.png").stat().st_size > 0
    assert made.wants_source
    noisy, clean, labels = Pairs().tensors
    made = load(save(made, "pairs.safetensors"), guidance=1.0)
    keys = torch.arange(60)
    cleaned = made.sample(labels, keys, [noisy, clean, labels])  # as a batch of the dataset
    assert torch.equal(cleaned, made.sample(labels, keys, noisy))
    assert (cleaned - clean).square().mean() < 0.5 * (noisy - clean).square().mean()
    assert torch.allclose(made.sample(labels[5:6], keys[5:6], noisy[5:6])[0], cleaned[5], atol=1e-5)


def test_pairs_of_two_shapes(refused: Any) -> None:
    data = TensorDataset(torch.rand(6, 1, 8, 8), torch.rand(6, 1, 9, 9), torch.arange(6) % 2)
    config = {**SMALL, "paired": True}
    refused(lambda: train("diffusion", data, steps=1, config=config), "(source, sample, label)", "[1, 1, 9, 9]")


def test_conditions_are_obeyed() -> None:
    """How bright a picture is, is a condition."""
    much = torch.rand(120).round(decimals=2)
    images = 0.05 * torch.rand(120, 1, 4, 4) + 0.9 * much[:, None, None, None]
    data = TensorDataset(images, torch.arange(120) % 2)
    made = train("diffusion", data, steps=150, config=SMALL, conditions={"brightness": much.tolist()}, progress=False)
    path = save(made, "bright.safetensors")
    keys = torch.arange(20)
    means = [load(path, attributes={"brightness": one}).sample(keys % 2, keys).mean() for one in (0.1, 0.5, 0.9)]
    assert means[0] + 0.2 < means[1] < means[2] - 0.2


@pytest.mark.parametrize(("network", "shape"), [("unet2d", (3, 9, 13)), ("unet1d", (2, 50)), ("unet1d", (1, 7))])
def test_networks_of_diffusers(network: str, shape: tuple[int, ...]) -> None:
    data = TensorDataset(torch.rand(6, *shape), torch.arange(6) % 3)
    config = {**SMALL, "network": network}
    conditions = {"size": [0.0, 1.0, 0.5, 0.1, 0.2, 0.3]}
    made = train("diffusion", data, steps=2, config=config, conditions=conditions, progress=False)
    together = made.sample(LABELS, KEYS)
    assert together.shape == (33, *shape)
    assert torch.allclose(made.sample(LABELS[7:8], KEYS[7:8])[0], together[7], atol=1e-5)
    again: Any = load(save(made, "unet.safetensors"))
    assert torch.equal(again.sample(LABELS, KEYS), together)
    kinds = {type(part).__name__ for part in again.network.modules()}
    assert kinds & {"UNet2DModel", "UNet1DModel"}


def test_networks_of_diffusers_are_for_samples_of_their_dimensions(refused: Any) -> None:
    data = TensorDataset(torch.rand(6, 5), torch.arange(6) % 3)
    for network in ("unet2d", "unet1d"):
        refused(
            lambda name=network: train("diffusion", data, steps=1, config={"network": name}), network, "[5]", "small"
        )
    refused(lambda: train("diffusion", data, steps=1, config={"network": "resnet"}), "one of small", "'resnet'")


def test_how_samples_are_made_is_part_of_what_they_are(path: Path) -> None:
    hashes = [
        identity(load(path, **how))["sha256"] for how in ({}, {"steps": 4}, {"guidance": 2.0}, {"guide": brighter})
    ]
    assert len(set(hashes)) == 4
    assert hashes[0] == identity(load(path))["sha256"]
    assert identity(load(path, steps=4, guide=brighter))["sampling"] == {"steps": 4}


@pytest.mark.usefixtures("interrupts")
def test_an_interrupted_training_goes_on_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from onthefly.generators.diffusion import DiffusionTrainer

    def made(**options: Any) -> bytes:
        one = train("diffusion", squares(30), steps=8, config=SMALL, progress=False, **options)
        return save(one, "one.safetensors").read_bytes()

    whole, step = made(), DiffusionTrainer.step
    calls: list[int] = []

    def stopped(self: Any, *batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    monkeypatch.setattr(DiffusionTrainer, "step", stopped)
    assert made(resume="one.state") != whole
    monkeypatch.setattr(DiffusionTrainer, "step", step)
    assert made(resume="one.state") == whole


BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"steps": 0}, ("steps", "above 0", "0")),
    ({"steps": 2.5}, ("steps", "whole number", "2.5")),
    ({"solver": "rk4"}, ("solver", "one of euler, heun", "'rk4'")),
    ({"solver": "diffusers:DDIMScheduler"}, ("solver", "diffusers:FlowMatchEuler", "DDIMScheduler")),
    ({"guidance": -1.0}, ("guidance", "from 0 on", "-1.0")),
    ({"guidance": float("nan")}, ("guidance", "nan")),
    ({"churn": 1.5}, ("churn", "from 0 to 1", "1.5")),
    ({"strength": 0.0}, ("strength", "above 0, up to 1", "0.0")),
    ({"strength": 1.2}, ("strength", "1.2")),
    ({"guide": 3}, ("guide", "a function", "3")),
    ({"guide_scale": -1.0}, ("guide_scale", "-1.0")),
    ({"solver": "diffusers:UniPCMultistepScheduler", "churn": 0.5}, ("with churn or strength", "UniPC", "heun")),
    ({"temperature": 1.0}, ("steps, solver", "temperature")),
]


@pytest.mark.parametrize(("how", "words"), BAD, ids=str)
def test_bad_input(how: dict[str, Any], words: tuple[str, ...], path: Path, refused: Any) -> None:
    refused(lambda: load(path, **how), "expected", "found", *words)


@pytest.mark.parametrize(
    "guide",
    [
        lambda samples, labels, time: samples.mean(),
        lambda samples, labels, time: torch.zeros(len(samples)),
        lambda samples, labels, time: None,
    ],
)
def test_bad_guides(guide: Callable[..., Any], path: Path, refused: Any) -> None:
    made = load(path, guide=guide)
    refused(lambda: made.sample(LABELS, KEYS), "guide: expected log-probabilities float32[33]", "found", "log_softmax")


def test_a_classifier_guides(path: Path) -> None:
    """Of no class, towards that of a classifier."""
    images, labels = squares().tensors
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(classifier.parameters(), 0.05)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(images), labels).backward()
        optimizer.step()

    def guide(samples: Tensor, labels: Tensor, time: float) -> Tensor:
        return classifier(samples).log_softmax(dim=1)[torch.arange(len(labels)), labels]

    free, guided = (
        load(path, guidance=0.0, guide=guide, guide_scale=scale).sample(LABELS, KEYS) for scale in (0.0, 5.0)
    )
    agreed = [(nearest(samples) == LABELS).float().mean() for samples in (free, guided)]
    assert agreed[0] < 0.6
    assert agreed[1] > agreed[0] + 0.2
