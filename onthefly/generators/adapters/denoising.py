"""The loop of a diffusion model: a scheduler of ``diffusers``, with each sample's noise by its key."""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from onthefly.data.batches import sent
from onthefly.generators.adapters.keyed import KeyedNoise
from onthefly.mixing.given import at_least_one

Predict = Callable[[Tensor, Tensor], Tensor]

_PROBES = 3  # keys that a scheduler is tried on
_TINY = 4  # their height and width


class Denoiser:
    """Goes from noise to samples in so many steps, each sample by its own key.

    The scheduler is copied for every batch, since schedulers remember what they saw; its tables and times stay on the
    CPU, where looking at them doesn't keep the device waiting.

    Args:
        scheduler: one of ``diffusers``; not changed.
        channels: of what is denoised.
        steps: how many.
        strength: where a source is given: the share of the steps that are taken, from the source with as much noise as
            belongs there (SDEdit: Meng et al., ICLR 2022); None to begin with noise alone.
        eta: how much noise DDIM and TCD add at every step, from 0 to 1; None for what is theirs.

    Raises:
        ValueError: for a scheduler that fails, or makes another sample of the same key beside other samples.
    """

    def __init__(
        self, scheduler: Any, channels: int, *, steps: int, strength: float | None = None, eta: float | None = None
    ) -> None:
        self.name, self.channels = type(scheduler).__name__, channels
        if not hasattr(scheduler, "step") or not hasattr(scheduler, "set_timesteps"):
            raise _unfit(f"expected one of diffusers, with set_timesteps and step, found a {self.name}")
        self.scheduler = copy.deepcopy(scheduler)
        self._prepare(at_least_one(steps, "steps"))
        self.begin = 0 if strength is None else self._skipped(steps, strength)
        if self.begin and hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(self.begin)
        known = inspect.signature(scheduler.step).parameters
        if eta is not None and "eta" not in known:
            raise ValueError(f"eta: expected none for {self.name}, found {eta!r}; leave it out, or take DDIMScheduler")
        self._options = {} if eta is None else {"eta": eta}
        kind = str(scheduler.config.get("variance_type", ""))
        self._wants_variance = "DDPM" in self.name and kind.startswith("learned")
        self._check(from_source=strength is not None)

    def __call__(self, predict: Predict, keys: Tensor, shape: Sequence[int], source: Tensor | None = None) -> Tensor:
        """``float32[N, *shape]`` samples of keys ``int64[N]``.

        Args:
            predict: what the model says of ``float32[N, *shape]`` at a time ``[]``, all on the device.
            keys: whose noise is used.
            shape: of one sample, channels first.
            source: ``float32[N, *shape]`` to begin with; None for noise.
        """
        scheduler, noise = copy.deepcopy(self.scheduler), KeyedNoise(keys)
        times = scheduler.timesteps[self.begin :]
        sample = self._first(noise.normal(shape), source, times)
        scaled = getattr(scheduler, "scale_model_input", lambda sample, _: sample)
        for time, there in zip(times, sent(times, keys.device), strict=True):
            predicted = predict(scaled(sample, time), there).float()
            predicted = predicted if self._wants_variance else predicted[:, : self.channels]
            with noise:
                sample = scheduler.step(predicted, time, sample, return_dict=False, **self._options)[0]
        return sample

    def _first(self, noise: Tensor, source: Tensor | None, times: Tensor) -> Tensor:
        scheduler = copy.deepcopy(self.scheduler)  # adding noise moves its tables to the device
        if source is None:
            return noise * float(getattr(scheduler, "init_noise_sigma", 1.0))
        added: Callable[..., Tensor] | None = getattr(scheduler, "add_noise", None)
        if added is None:
            return torch.as_tensor(scheduler.scale_noise(source, times[:1].expand(len(source)), noise))
        return added(source, noise, times[:1].expand(len(source)))

    def _prepare(self, steps: int) -> None:
        try:
            self.scheduler.set_timesteps(steps, device="cpu")
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(
                f"steps: expected a number that {self.name} can do, found {steps}: {error}; write another, or choose "
                "another scheduler="
            ) from error

    def _skipped(self, steps: int, strength: float) -> int:
        if not 0 < strength <= 1:
            raise ValueError(
                f"strength: expected a share of the steps in (0, 1], found {strength!r}; 0.3 keeps most of the source, "
                "0.8 little"
            )
        taken = int(steps * strength)
        if taken < 1:
            raise ValueError(
                f"strength: expected at least one of {steps} steps to be taken, found strength={strength!r}; write "
                f"steps={math.ceil(1 / strength)}"
            )
        return (steps - taken) * int(getattr(self.scheduler, "order", 1))

    def _check(self, from_source: bool) -> None:
        """A few tiny samples of a made-up model, together and alone."""
        keys = torch.arange(_PROBES)
        shape = (self.channels, _TINY, _TINY)

        def predict(sample: Tensor, _: Tensor) -> Tensor:
            return torch.tanh(sample).repeat(1, 2 if self._wants_variance else 1, 1, 1)

        def made(some: Tensor) -> Tensor:
            return self(predict, some, shape, torch.zeros(len(some), *shape) if from_source else None)

        try:
            among, alone = made(keys), torch.cat([made(key[None]) for key in keys])
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, ImportError) as error:
            raise _unfit(f"{self.name} failed: {error}") from error
        if not torch.allclose(among, alone, rtol=1e-4, atol=1e-4, equal_nan=True):
            raise _unfit(f"{self.name} made another sample of the same key beside other samples")


def _unfit(why: str) -> ValueError:
    return ValueError(f"scheduler: {why}; choose another with scheduler='DPMSolverMultistepScheduler'")
