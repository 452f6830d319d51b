"""The loop, with schedulers of diffusers."""

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from onthefly.generators.adapters.denoising import Denoiser
from onthefly.generators.adapters.keyed import KeyedNoise

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers and numpy 2

KEYS = torch.tensor([3, 99, 2**40])
SHAPE = (2, 4, 4)
SCHEDULERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("DDIMScheduler", {}, {}),
    ("DDIMScheduler", {}, {"eta": 1.0}),
    ("DDIMScheduler", {"thresholding": True}, {"eta": 0.5}),
    ("DDPMScheduler", {}, {}),
    ("DDPMScheduler", {"variance_type": "learned_range"}, {}),
    ("EulerDiscreteScheduler", {}, {}),
    ("EulerAncestralDiscreteScheduler", {}, {}),
    ("HeunDiscreteScheduler", {}, {}),
    ("DPMSolverMultistepScheduler", {}, {}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}),
    ("DPMSolverSinglestepScheduler", {}, {}),
    ("UniPCMultistepScheduler", {}, {}),
    ("PNDMScheduler", {}, {}),
    ("LCMScheduler", {}, {}),
    ("TCDScheduler", {}, {"eta": 0.3}),
    ("CMStochasticIterativeScheduler", {}, {}),
    ("FlowMatchEulerDiscreteScheduler", {}, {}),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, {}),
    ("EDMEulerScheduler", {}, {}),
]
NOISY = {"DDPM", "EulerAncestral", "LCM", "CMStochasticIterative", "sde", "stochastic", "eta", "TCD"}


def made_up(sample: Tensor, time: Tensor) -> Tensor:
    """A model without weights."""
    return torch.tanh(sample.flip(1)).repeat(1, 2, 1, 1) * (1 + time / 1000)


@pytest.mark.parametrize(("name", "config", "options"), SCHEDULERS, ids=lambda part: part if part else "")
@pytest.mark.parametrize("strength", [None, 0.6])
def test_a_sample_is_its_key(
    name: str, config: dict[str, Any], options: dict[str, Any], strength: float | None
) -> None:
    scheduler = getattr(diffusers, name)(**config)
    denoiser = Denoiser(scheduler, 2, steps=4, strength=strength, **options)
    source = None if strength is None else torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    drawn: list[Tensor] = []
    original = KeyedNoise.normal

    def watched(self: KeyedNoise, shape: Any) -> Tensor:
        drawn.append(original(self, shape))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeyedNoise, "normal", watched)
        among = denoiser(made_up, KEYS, SHAPE, source)
        noises, drawn = drawn, []
        for row in range(len(KEYS)):
            some = slice(row, row + 1)
            drawn.clear()
            alone = denoiser(made_up, KEYS[some], SHAPE, None if source is None else source[some])
            assert all(torch.equal(one[some], other) for one, other in zip(noises, drawn, strict=True))
            assert torch.allclose(alone, among[some], atol=1e-5, rtol=1e-5)
    assert len(noises) > 1 or not any(word in f"{name}{config}{options}" for word in NOISY)
    assert torch.isfinite(among).all()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("name", "config", "options"), SCHEDULERS, ids=lambda part: part if part else "")
def test_no_step_looks_at_what_is_on_the_device(name: str, config: dict[str, Any], options: dict[str, Any]) -> None:
    """Tensors of the meta device have no values: whoever looks at one fails."""
    denoiser = Denoiser(getattr(diffusers, name)(**config), 2, steps=4, **options)
    assert denoiser(made_up, KEYS.to("meta"), SHAPE).shape == (3, *SHAPE)


def test_schedulers_that_remember_begin_anew() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler()
    denoiser = Denoiser(scheduler, 2, steps=5)
    first = denoiser(made_up, KEYS, SHAPE)
    assert torch.equal(first, denoiser(made_up, KEYS, SHAPE))
    assert scheduler.num_inference_steps is None


def test_strength_is_how_little_of_the_source_is_kept() -> None:
    source = torch.full((3, *SHAPE), 0.5)

    def far(strength: float) -> float:
        denoiser = Denoiser(diffusers.DDIMScheduler(), 2, steps=20, strength=strength)
        return float((denoiser(lambda sample, _: sample * 0, KEYS, SHAPE, source) - source).abs().mean())

    assert far(0.05) < far(0.4) < far(0.8)


class Crowd(diffusers.DDIMScheduler):
    def step(self, model_output: Tensor, *args: Any, **options: Any) -> Any:
        return super().step(model_output - model_output.mean(dim=0), *args, **options)


class Uniform(diffusers.DDIMScheduler):
    def step(self, model_output: Tensor, *args: Any, **options: Any) -> Any:
        return super().step(model_output + torch.rand(len(model_output), 1, 1, 1), *args, **options)


@pytest.mark.parametrize(
    ("scheduler", "options", "words"),
    [
        (Crowd(), {}, ("Crowd made another sample", "beside other samples", "scheduler='DPM")),
        (Uniform(), {}, ("Uniform failed", "rand", "scheduler='DPM")),
        (diffusers.RePaintScheduler(), {}, ("RePaintScheduler failed", "mask")),
        (object(), {}, ("scheduler", "set_timesteps and step", "a object")),
        (diffusers.DDIMScheduler(), {"steps": 0}, ("steps", "0")),
        (diffusers.DDIMScheduler(), {"steps": 2000}, ("steps", "DDIMScheduler", "2000")),
        (diffusers.DDIMScheduler(), {"strength": 0.0}, ("strength", "(0, 1]", "0.0")),
        (diffusers.DDIMScheduler(), {"strength": 1.5}, ("strength", "(0, 1]", "1.5")),
        (diffusers.DDIMScheduler(), {"strength": 0.1}, ("strength=0.1", "5 steps", "steps=10")),
        (diffusers.DDPMScheduler(), {"eta": 0.5}, ("eta", "DDPMScheduler", "0.5", "DDIMScheduler")),
    ],
)
def test_bad_input(scheduler: Any, options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: Denoiser(scheduler, 2, **{"steps": 5, **options}), *words)
