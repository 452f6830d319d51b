"""Privacy: training whose result hardly depends on any one sample, so that it may travel where the samples may not.

DP-SGD (Abadi et al., CCS 2016): every step sees each sample with the same small probability, clips the gradient of each
by itself, and adds noise to their sum. What that costs, Rényi differential privacy says (Mironov, CSF 2017; Mironov,
Talwar and Zhang, 2019). Clipping and accounting are Opacus's (Yousefpour et al., 2021); the noise is of ``secret``.
"""

import functools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onthefly.extras import require
from onthefly.generators.alone import Alone, Piece
from onthefly.generators.secret import new_secret, normal, words
from onthefly.generators.shown import Shown
from onthefly.generators.trainer import Losses, Separable, Trainer

_ACCOUNTANT = "rdp"  # a bound that is proven, at every rate; of Opacus's others, "prv" asks for some 5 % less noise
_ORDERS = [*(1 + tenth / 10 for tenth in range(1, 100)), *range(12, 64), *(2**power for power in range(6, 13))]
_TOLERANCE = 0.01  # of epsilon, which may be left over
_PUBLIC = (
    "how many samples there are",
    "which classes there are, and their names",
    "shape and range of a sample",
    "all that was asked for: family, config, steps, batch size, seed, epsilon, delta, clip, what is said about it",
)
_NOT_COVERED = (
    "whoever has several samples: epsilon is that of one",
    "other trainings on the same samples, those among them that settings were chosen by: their epsilons add up",
    "a dataset that makes one sample of several, or normalises them by what they have in common",
    "a checkpoint that training went on from, as far as it was trained on the same samples",
    "the state of a training that isn't over, which holds the secret of its noise; losses on the screen",
    "rounding: noise is float64 and its sum with the gradients float32, where the proof has real numbers",
)


@dataclass(frozen=True)
class Privacy:
    """How much a generator may tell of any one sample that it was trained on (differential privacy).

    Attributes:
        epsilon: how much one sample, added or removed, may change the probability of any outcome, as a logarithm, above
            0: 1 is strict, 8 is common, from 20 on it says little.
        delta: the probability with which that may fail, above 0; less than one over the number of samples.
        clip: the norm that the gradient of a sample is cut down to, above 0. Noise grows with it, and an optimiser that
            doesn't see the scale, as all are here, hardly notices.

    Raises:
        ValueError: for anything else.

    >>> Privacy(epsilon=8, delta=1e-5)
    Privacy(epsilon=8, delta=1e-05, clip=1.0)
    """

    epsilon: float
    delta: float
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not (_is_number(self.epsilon) and 0 < self.epsilon < math.inf):
            raise ValueError(f"privacy: expected an epsilon above 0, found {self.epsilon!r}; write epsilon=8")
        if not (_is_number(self.delta) and 0 < self.delta < 1):
            raise ValueError(f"privacy: expected a delta between 0 and 1, found {self.delta!r}; write delta=1e-5")
        if not (_is_number(self.clip) and 0 < self.clip < math.inf):
            raise ValueError(f"privacy: expected a clip above 0, found {self.clip!r}; leave it out for 1")


class PrivateTrainer(Trainer):
    """Trains as another trainer does, but privately.

    Args:
        inner: made for as many steps.
        privacy: what is promised.
        samples: how many there are.
        batch_size: how many a step sees, on average.
        steps: how many there will be.

    Attributes:
        rate: the probability with which a step sees a sample.
        noise: its standard deviation, in clips.
        accountant: Opacus's, of the steps so far.
    """

    def __init__(self, inner: Separable, privacy: Privacy, *, samples: int, batch_size: int, steps: int) -> None:
        opacus = require("opacus", extra="privacy")
        self.inner, self.samples, self.rate, self.done = inner, samples, batch_size / samples, 0
        self.noise = noise_multiplier(privacy, self.rate, steps)
        self.accountant, self.secret = opacus.accountants.create_accountant(_ACCOUNTANT), new_secret()
        self._privacy, self._alone = privacy, Alone(inner)
        self._clipping = opacus.optimizers.DPOptimizer(
            inner.optimizer,
            noise_multiplier=self.noise,
            max_grad_norm=privacy.clip,
            expected_batch_size=batch_size,
        )

    def rows(self, step: int) -> NDArray[np.int64]:
        """The samples that a step sees, each whether or not it sees the others (Poisson sampling): any number."""
        drawn = words(self.secret, "rows", step, count=self.samples)
        return np.flatnonzero(drawn < np.uint64(min(int(self.rate * 2**64), 2**64 - 1)))

    def step(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None, *others: Tensor | None) -> Losses:
        """Learn from the samples that ``rows`` names; returns their mean loss."""
        # counted before it is done, since an interrupt may come in between
        self.accountant.step(noise_multiplier=self.noise, sample_rate=self.rate)
        self._clipping.zero_grad()
        losses = [self._add(piece) for piece in self._alone.pieces((samples, labels, conditions, *others))]
        self._add_noise()
        self._clipping.scale_grad()
        self._clipping.original_optimizer.step()
        self._clipping.zero_grad()
        self.inner.follow()
        self.done += 1
        return {"loss": torch.cat(losses).sum() / max(1, len(labels))}

    def score(self, samples: Tensor, labels: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Nothing is held out: what chose by it would tell of it."""
        raise RuntimeError("privacy: expected no held-out samples to look at, found some; write held_out=0")

    def network(self) -> nn.Module:
        """The network as it is now."""
        return self.inner.network()

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on; the secret is in it, so it must not travel."""
        learnt = {"inner": self.inner.state_dict(), "accountant": self.accountant.state_dict()}
        return {**learnt, "secret": self.secret, "done": self.done}

    def told(self) -> dict[str, Any]:
        """What a card says of it."""
        return {
            "mechanism": "DP-SGD",
            "epsilon": spent(self.accountant, self._privacy.delta),
            "delta": self._privacy.delta,
            "epsilon_asked_for": self._privacy.epsilon,
            "unit": "one sample, added or removed",
            "accountant": f"{_ACCOUNTANT}, opacus {require('opacus', extra='privacy').__version__}",
            "sampling": "Poisson",
            "sampling_rate": self.rate,
            "noise_multiplier": self.noise,
            "clip": self._privacy.clip,
            "steps": self.done,
            "samples": self.samples,
            "public": list(_PUBLIC),
            "not_covered": list(_NOT_COVERED),
        }

    def _add(self, piece: Piece) -> Tensor:
        """Clips the gradients of some samples, and adds them to the others'; returns the losses."""
        gradients, losses = self._alone.gradients(piece)
        for parameter in self._clipping.params:
            parameter.grad_sample = gradients[parameter]
        self._clipping.clip_and_accumulate()
        return losses

    def _add_noise(self) -> None:
        for number, parameter in enumerate(self._clipping.params):
            noise = normal(self.secret, "noise", self.done, number, shape=parameter.shape)
            noisy = parameter.summed_grad.cpu().double() + self.noise * self._privacy.clip * noise
            parameter.grad = noisy.to(parameter)


@functools.cache
def noise_multiplier(privacy: Privacy, rate: float, steps: int) -> float:
    """The standard deviation of the noise, in clips, for which so many steps spend at most ``privacy.epsilon``.

    Raises:
        ValueError: for an epsilon so small that no noise would do.

    >>> round(noise_multiplier(Privacy(epsilon=8, delta=1e-5), rate=0.01, steps=1000), 2)
    0.62
    """
    accountants = require("opacus.accountants.utils", extra="privacy")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order")  # that a bound could be tighter
        try:
            found: float = accountants.get_noise_multiplier(
                target_epsilon=privacy.epsilon,
                target_delta=privacy.delta,
                sample_rate=rate,
                steps=steps,
                accountant=_ACCOUNTANT,
                epsilon_tolerance=_TOLERANCE * min(1.0, privacy.epsilon),
                alphas=_ORDERS,
            )
        except ValueError as error:
            raise ValueError(
                f"privacy: expected an epsilon that {steps} steps can keep at a delta of {privacy.delta:g}, found "
                f"{privacy.epsilon:g} ({error}); write a larger epsilon"
            ) from error
    return found


def spent(accountant: Any, delta: float) -> float:
    """The epsilon of the steps that an accountant was told of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order")
        return float(accountant.get_epsilon(delta, alphas=_ORDERS))


def check_asked(privacy: Any, family: str, trainer: type[Trainer], balance: Any, held_out: float | None) -> None:
    """Refuse what can't be kept private, before anything is read."""
    if not isinstance(privacy, Privacy):
        raise ValueError(f"privacy: expected a Privacy, found {privacy!r}; write Privacy(epsilon=8, delta=1e-5)")
    if not issubclass(trainer, Separable):
        raise ValueError(
            f"privacy: expected a family whose loss is one of each sample, found {family}, whose samples are judged "
            "beside others; write family='vae'"
        )
    if balance not in (None, "natural"):
        raise ValueError(
            f"privacy: expected balance='natural', found {balance!r}: samples of small classes would be seen more "
            "often, and tell more of themselves; leave it out"
        )
    if held_out:
        raise ValueError(
            f"privacy: expected held_out=0, found {held_out!r}: the generator would be chosen by samples that no noise "
            "protects; leave it out"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_shown(privacy: Privacy, shown: Shown, *, known: bool, drawn: bool) -> None:
    """Refuse what would tell of samples beside the network.

    Args:
        privacy: what is promised.
        shown: the samples.
        known: whether coding and conditions are those of a checkpoint.
        drawn: whether pictures are drawn while it trains.
    """
    samples = sum(shown.count)
    if privacy.delta * samples >= 1:
        raise ValueError(
            f"privacy: expected a delta below 1/{samples}, one over the number of samples, found {privacy.delta:g}, "
            f"with which one of them may be given away; write delta={0.1 / samples:.0e}"
        )
    if shown.coding.looks and not known:
        raise ValueError(
            f"privacy: expected a coding that is fixed beforehand, found {shown.coding.kind!r}, whose numbers are of "
            "the samples; bring them to [0, 1] by bounds that you know without a look, and write coding='unit'"
        )
    if shown.spec.conditions and not known:
        raise ValueError(
            f"privacy: expected no conditions, found {', '.join(shown.spec.conditions)}, whose values and bounds are "
            "taken from the samples; leave them out"
        )
    if shown.paired and drawn:
        raise ValueError(
            "privacy: expected no preview where samples are made from real ones, found one; leave preview out"
        )
