"""Privacy: what a sample may change, the noise that hides it, what it costs, and what is refused."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from onthefly.generators import Privacy, course, load, privacy, read_card, save, train
from onthefly.generators.alone import Alone
from onthefly.generators.families import FAMILIES
from onthefly.generators.privacy import PrivateTrainer, noise_multiplier
from onthefly.generators.secret import normal, words
from onthefly.generators.target import Target
from onthefly.generators.trainer import Separable

accountants = pytest.importorskip("opacus.accountants")

TARGETS = {"image": Target((1, 8, 8), 2), "signal": Target((1, 64), 2), "vector": Target((5,), 2, bounded=False)}
PRIVATE = [name for name, family in FAMILIES.items() if issubclass(family.trainer, Separable)]
IMAGES = TensorDataset(torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2)
PROMISE = Privacy(epsilon=8, delta=1e-3)
CPU = torch.device("cpu")


@pytest.fixture
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sample's loss draws is the same for each, alone and beside others."""
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.full_like(like, 0.3))
    for draw in ("rand", "randn"):
        monkeypatch.setattr(torch, draw, lambda *shape, **_: torch.full(shape, 0.3))


def small(family: str) -> Any:
    known = FAMILIES[family].config()
    return FAMILIES[family].configure({name: 4 for name in ("width", "latent") if hasattr(known, name)})


def inner_of(family: str, kind: str = "image", steps: int = 50) -> Separable:
    torch.manual_seed(0)
    made = FAMILIES[family].trainer(TARGETS[kind], small(family), CPU, steps)
    assert isinstance(made, Separable)
    return made


def batch_of(kind: str, count: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(1)
    return torch.rand(count, *TARGETS[kind].shape, generator=made), torch.arange(count) % 2


def private(
    family: str = "vae", *, promise: Privacy = PROMISE, samples: int = 40, batch_size: int = 6
) -> PrivateTrainer:
    inner = inner_of(family)
    inner.optimizer = torch.optim.SGD([one for one in inner.learns().parameters() if one.requires_grad], lr=1.0)
    inner.follow = lambda: None  # type: ignore[method-assign] - the schedule is of the other optimiser
    return PrivateTrainer(inner, promise, samples=samples, batch_size=batch_size, steps=50)


def flat(trainer: PrivateTrainer) -> Tensor:
    learnt = [one.detach().flatten() for one in trainer.inner.learns().parameters() if one.requires_grad]
    return torch.cat(learnt).clone()


def moved(trainer: PrivateTrainer, *batch: Tensor) -> Tensor:
    """What a step moves the parameters by."""
    before = flat(trainer)
    torch.manual_seed(2)
    trainer.step(*batch)
    return flat(trainer) - before


def trained(family: str = "vae", data: Any = IMAGES, **options: Any) -> Any:
    sizes = {name: 4 for name in ("width", "latent") if hasattr(FAMILIES[family].config(), name)}
    known = {"steps": 7, "batch_size": 6, "config": sizes, "progress": False, "privacy": PROMISE}
    return train(family, data, **{**known, **options})


def bytes_of(generator: Any) -> bytes:
    return save(generator, Path("one.safetensors")).read_bytes()


@pytest.mark.parametrize("family", PRIVATE)
@pytest.mark.parametrize("kind", TARGETS)
def test_the_loss_of_a_sample_is_its_own(family: str, kind: str) -> None:
    inner, (samples, labels) = inner_of(family, kind), batch_of(kind, 3)
    nn.init.normal_(next(iter(inner.learns().parameters())))
    samples.requires_grad_()
    losses = inner.each(samples, labels)
    assert losses.shape == (3,)
    for number, loss in enumerate(losses):
        (slope,) = torch.autograd.grad(loss, samples, retain_graph=True)
        reached = slope.flatten(1).norm(dim=1) > 0
        assert reached.tolist() == [number == other for other in range(3)]


@pytest.mark.parametrize("family", PRIVATE)
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.usefixtures("_steady")
def test_gradients_are_those_of_samples_alone(family: str, kind: str) -> None:
    inner, (samples, labels) = inner_of(family, kind), batch_of(kind, 3)
    gradients, losses = Alone(inner).gradients((samples, labels, None))
    for number in range(3):
        inner.optimizer.zero_grad()
        loss = inner.each(samples[number : number + 1], labels[number : number + 1])[0]
        loss.backward()
        assert torch.allclose(losses[number], loss, rtol=1e-4, atol=1e-4)
        for parameter, each in gradients.items():
            whole = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(each[number], whole, rtol=1e-3, atol=1e-3 * float(1 + whole.abs().max()))


def test_a_layer_that_mixes_samples_raises() -> None:
    inner = inner_of("vae")
    reader: Any = inner.encoder  # type: ignore[attr-defined]
    reader.encoder = nn.Sequential(nn.BatchNorm2d(1), reader.encoder)
    with pytest.raises(RuntimeError, match="mutate a captured Tensor"):
        Alone(inner).gradients((*batch_of("image", 3), None))


@pytest.mark.parametrize("family", PRIVATE)
@pytest.mark.usefixtures("_steady")
def test_a_sample_moves_the_parameters_by_the_clip_at_most(family: str) -> None:
    """With plain steps of length 1: the clip over the batch size."""
    samples, labels = batch_of("image", 6)
    samples[-1] = 1e3  # as far from others as can be
    made = [private(family, promise=Privacy(8, 1e-3, clip=0.5)) for _ in range(2)]
    for trainer in made:
        trainer.secret = 1  # the same noise
    first, second = moved(made[0], samples, labels), moved(made[1], samples[:-1], labels[:-1])
    assert 0.9 * 0.5 / 6 < (first - second).norm() < 1.001 * 0.5 / 6


def test_a_sample_without_a_finite_gradient_counts_for_nothing() -> None:
    samples, labels = batch_of("image", 6)
    samples[-1] = float("nan")
    assert moved(private(), samples, labels).isfinite().all()


@pytest.mark.usefixtures("_steady")
def test_pieces_are_of_no_consequence() -> None:
    whole, parts = private(), private()
    whole.secret = parts.secret = 1
    parts._alone.most = 2
    assert whole._alone.most > 5
    batch = batch_of("image", 5)
    assert torch.allclose(moved(whole, *batch), moved(parts, *batch), atol=1e-6)


def test_noise_is_as_large_as_it_is_accounted_for() -> None:
    """A step without a sample is noise alone; of 8,000 numbers, the scale is found within 5 standard errors."""
    promise = Privacy(8, 1e-3, clip=0.5)
    trainer = private(promise=promise)
    trainer.secret = 3
    nothing = torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)
    steps = [moved(trainer, *nothing) for _ in range(3)]
    expected = trainer.noise * 0.5 / 6
    for step in steps:
        assert abs(step.mean()) < 5 * expected / len(step) ** 0.5
        assert abs(step.std() / expected - 1) < 5 / (2 * len(step)) ** 0.5
    for one, other in itertools.combinations(steps, 2):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 5 / len(one) ** 0.5


def test_numbers_of_a_secret_are_normal_and_others_for_each_purpose() -> None:
    drawn = normal(5, "noise", 0, 0, shape=torch.Size([200_001]))
    assert drawn.dtype == torch.float64
    assert abs(drawn.mean()) < 5 / 200_001**0.5
    for power, moment in ((2, 1.0), (3, 0.0), (4, 3.0)):
        assert abs(drawn.pow(power).mean() - moment) < 0.15
    for threshold, share in ((1.0, 0.1587), (2.0, 0.02275), (3.0, 0.00135)):
        assert abs((drawn > threshold).double().mean() - share) < 5 * (share / 200_001) ** 0.5
    names = [(5, "noise", 0, 0), (6, "noise", 0, 0), (5, "rows", 0), (5, "noise", 1, 0), (5, "noise", 0, 1), (5, 0, 10)]
    assert len({words(name[0], *name[1:], count=1).item() for name in names}) == len(names)


def test_every_sample_is_drawn_as_often_and_by_itself() -> None:
    """Poisson sampling: counts of a sample, and of a step, are binomial."""
    trainer = private(samples=200, batch_size=20)
    trainer.secret = 4
    drawn = np.zeros((2000, 200))
    for step in range(2000):
        drawn[step, trainer.rows(step)] = 1
    assert trainer.rate == 0.1
    assert abs(drawn.mean() - 0.1) < 5 * (0.09 / drawn.size) ** 0.5
    assert abs(drawn.sum(axis=0) - 200).max() < 5 * 180**0.5
    assert abs(drawn.sum(axis=1).var() / 18 - 1) < 0.2  # were the size fixed, 0
    together = (drawn[:, :100] * drawn[:, 100:]).mean()
    assert abs(together - 0.01) < 5 * (0.01 / 200_000) ** 0.5


def test_the_noise_is_that_of_opacus_and_epsilon_its_own() -> None:
    noise = noise_multiplier(PROMISE, 0.15, 7)
    made = trained()
    told = made.card["privacy"]
    accountant = accountants.RDPAccountant()
    for _ in range(7):
        accountant.step(noise_multiplier=noise, sample_rate=0.15)
    assert told["noise_multiplier"] == noise
    assert told["epsilon"] == accountant.get_epsilon(1e-3)
    assert 7.9 < told["epsilon"] <= 8
    assert (told["delta"], told["sampling_rate"], told["samples"], told["steps"]) == (1e-3, 0.15, 40, 7)
    assert told["accountant"].startswith("rdp, opacus ")


@pytest.mark.parametrize("epsilon", [0.05, 1, 30])
def test_the_noise_keeps_the_promise_nearly_exhausted(epsilon: float) -> None:
    accountant = accountants.RDPAccountant()
    accountant.history = [(noise_multiplier(Privacy(epsilon, 1e-5), 0.01, 100), 0.01, 100)]
    assert 0.95 * epsilon < privacy.spent(accountant, 1e-5) <= epsilon


def test_an_interrupted_training_tells_what_it_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = PrivateTrainer.step, []

    def interrupted(self: Any, *batch: Any) -> Any:
        calls.append(batch)
        if len(calls) == 3:
            self.accountant.step(noise_multiplier=self.noise, sample_rate=self.rate)
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(PrivateTrainer, "step", interrupted)
    made = trained(steps=50)
    accountant = accountants.RDPAccountant()
    accountant.history = [(noise_multiplier(PROMISE, 0.15, 50), 0.15, 3)]
    assert made.card["training"]["steps"] == 2
    assert made.card["privacy"]["epsilon"] == accountant.get_epsilon(1e-3) < 7  # with the step that was begun


def test_the_card_tells_nothing_that_was_counted_or_looked_at() -> None:
    card = read_card(save(trained(steps=2), "one.safetensors"))
    assert card["training"].keys() == {"balance", "batch_size", "held_out", "seed", "steps", "versions"}
    assert (card["training"]["balance"], card["training"]["held_out"]) == ("natural", 0)
    assert {"accountant", "epsilon", "delta", "unit", "public", "not_covered"} <= card["privacy"].keys()
    assert load("one.safetensors").makes.all()


def test_nobody_claims_privacy_but_a_private_training(refused: Any) -> None:
    about = {"privacy": {"epsilon": 1}}
    refused(lambda: trained(privacy=None, about=about, steps=1), "about: expected", "found privacy")
    assert "privacy" not in trained(privacy=None, steps=1).card


def test_codes_are_those_of_the_prior() -> None:
    made = trained(steps=3)
    assert torch.equal(made.network.mean, torch.zeros(2, 4))
    assert torch.equal(made.network.factor, torch.eye(4).expand(2, 4, 4))


def test_noise_is_not_to_be_foreseen_and_not_in_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.random.get_rng_state()
    secrets: list[int] = []
    new = privacy.new_secret
    monkeypatch.setattr(privacy, "new_secret", lambda: secrets.append(new()) or secrets[-1])
    one, other = bytes_of(trained(steps=1)), bytes_of(trained(steps=1))  # of one seed
    assert one != other
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(secret.bit_length() > 200 and str(secret).encode() not in one + other for secret in secrets)


@pytest.mark.parametrize("family", PRIVATE)
def test_a_killed_training_goes_on_to_the_bit(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    monkeypatch.setattr(privacy, "new_secret", lambda: 6)
    monkeypatch.setattr("onthefly.generators.training.secrets.randbits", lambda bits: 7)
    expected = trained(family)
    monkeypatch.setattr(course, "_SECONDS", -1.0)
    step, done = PrivateTrainer.step, []

    def dying(self: Any, *batch: Any) -> Any:
        if len(done) == 4:
            raise Killed
        done.append(self)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(PrivateTrainer, "step", dying)
        with pytest.raises(Killed):
            trained(family, resume="going.state")
    monkeypatch.setattr(privacy, "new_secret", lambda: 8)  # another process, which knows no more than the state
    monkeypatch.setattr("onthefly.generators.training.secrets.randbits", lambda bits: 9)
    gone_on = trained(family, resume="going.state")
    assert bytes_of(gone_on) == bytes_of(expected)
    assert gone_on.card["privacy"]["steps"] == 7
    assert not Path("going.state").exists()


def test_the_state_of_a_training_without_privacy(monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr(course, "_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(course.Course, "_score", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trained(privacy=None, resume="going.state", balance="natural", held_out=0)
    assert Path("going.state").exists()
    refused(lambda: trained(resume="going.state"), "going.state", "privacy: expected {'epsilon': 8", "found None")


def test_a_step_may_see_nothing_and_worker_processes_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "new_secret", lambda: 1)
    monkeypatch.setattr("onthefly.generators.training.secrets.randbits", lambda bits: 7)
    seen: list[int] = []
    step = PrivateTrainer.step
    monkeypatch.setattr(
        PrivateTrainer, "step", lambda self, *batch: (seen.append(len(batch[1])), step(self, *batch))[1]
    )
    made = [bytes_of(trained(batch_size=1, steps=12, augment=True, num_workers=workers)) for workers in (0, 1)]
    assert 0 in seen
    assert max(seen) > 1
    assert seen[:12] == seen[12:]
    assert made[0] == made[1]


def test_real_images_are_left_out_of_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("onthefly.generators.training.look", lambda *_, real, **__: seen.append(list(real)))
    trained(preview="sheet.png", steps=1)
    assert seen == [[]]


def test_a_family_whose_loss_joins_samples_is_refused(refused: Any) -> None:
    refused(lambda: trained("gan"), "privacy: expected", "found gan", "beside others", "family='vae'")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"balance": "uniform"}, ("balance='natural'", "'uniform'", "leave it out")),
        ({"balance": {0: 0.5, 1: 0.5}}, ("balance='natural'", "{0: 0.5")),
        ({"privacy": "8"}, ("a Privacy", "'8'", "write Privacy(epsilon=8")),
        ({"held_out": 0.1}, ("held_out=0", "0.1")),
        ({"privacy": Privacy(8, 0.025)}, ("a delta below 1/40", "0.025", "write delta=3e-03")),
        ({"conditions": {"size": [0.5] * 20 + [1.5] * 20}}, ("no conditions", "size", "leave them out")),
        (
            {"data": TensorDataset(torch.randn(40, 5), torch.arange(40) % 2)},
            ("fixed beforehand", "'table'", "'unit'"),
        ),
    ],
)
def test_what_would_tell_of_samples_is_refused(options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: trained(**options), "privacy: expected", "found", *words)


def test_pairs_are_trained_on_but_not_drawn(refused: Any) -> None:
    pairs = TensorDataset(IMAGES.tensors[0], *IMAGES.tensors)
    asked = {"config": {"width": 8, "depth": 1, "paired": True}, "steps": 2, "labels": IMAGES.tensors[1]}
    assert trained("diffusion", pairs, **asked).card["privacy"]["steps"] == 2
    refused(lambda: trained("diffusion", pairs, preview="sheet.png", **asked), "privacy: expected no preview", "found")


def test_rows_within_known_bounds_are_trained_on() -> None:
    rows = TensorDataset(torch.rand(40, 5), torch.arange(40) % 2)
    assert trained(data=rows, coding="unit", steps=1).sample(torch.tensor([0]), torch.tensor([1])).shape == (1, 5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epsilon": 0}, ("epsilon above 0", "found 0", "epsilon=8")),
        ({"epsilon": -1.0}, ("epsilon above 0", "-1.0")),
        ({"epsilon": float("nan")}, ("epsilon above 0", "nan")),
        ({"epsilon": float("inf")}, ("epsilon above 0", "inf")),
        ({"delta": 0.0}, ("delta between 0 and 1", "0.0", "delta=1e-5")),
        ({"delta": 1}, ("delta between 0 and 1", "found 1")),
        ({"epsilon": "8"}, ("epsilon above 0", "'8'")),
        ({"delta": None}, ("delta between 0 and 1", "None")),
        ({"clip": True}, ("clip above 0", "True")),
        ({"clip": 0}, ("clip above 0", "found 0")),
    ],
)
def test_bad_promises(values: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: Privacy(**{"epsilon": 8, "delta": 1e-5, **values}), "privacy: expected", "found", *words)


def test_the_card_is_plain(tmp_path: Path) -> None:
    json.dumps(trained(steps=1).card, allow_nan=False)


def test_a_checkpoint_may_be_gone_on_with_privately() -> None:
    save(trained(privacy=None, steps=2), "first.safetensors")
    made = train("vae", IMAGES, init="first.safetensors", privacy=PROMISE, steps=3, batch_size=6, progress=False)
    assert made.card is not None
    assert made.card["init"]["file"] == "first.safetensors"
    assert made.card["privacy"]["epsilon"] <= 8
