"""Schedulers of ``diffusers`` that follow a flow, as solvers: those that draw nothing, so that noise stays ours."""

import warnings
from typing import Any

from torch import Tensor

from onthefly.extras import require
from onthefly.generators.solvers import Velocity

_MULTISTEP = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_TRAINED = 1000  # their times are thousandths

SCHEDULERS: dict[str, dict[str, Any]] = {
    "FlowMatchEulerDiscreteScheduler": {},
    "FlowMatchHeunDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": _MULTISTEP,
    "UniPCMultistepScheduler": _MULTISTEP,
}


def scheduled(velocity: Velocity, sample: Tensor, steps: int, name: str) -> Tensor:
    """Noise without its noise.

    A scheduler remembers what it saw, so there is a new one each time; its times stay on the host.

    Args:
        velocity: ``velocity(samples, time)``.
        sample: ``float32[N, ...]``, noise.
        steps: how many.
        name: of ``SCHEDULERS``.
    """
    scheduler = getattr(require("diffusers", extra="diffusion"), name)(num_train_timesteps=_TRAINED, **SCHEDULERS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # they ask numpy in an old way
        scheduler.set_timesteps(steps, device="cpu")
    scheduler.set_begin_index(0)
    for time in scheduler.timesteps:
        predicted = velocity(sample, float(time) / _TRAINED)
        sample = scheduler.step(predicted, time, sample, return_dict=False)[0]
    return sample
