"""The laws: what every mix keeps, whatever the generator, the schedule and the workers. `test_laws.py` runs them all.

Each law takes `make`, which makes a fresh and equal `MixLoader` whenever it is called, always with `tag=True`.
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import onthefly
from onthefly import MixInfo, MixLoader
from onthefly.generators import FrozenGenerator

Make = Callable[..., MixLoader[Any]]


@dataclass
class Delivered:
    """One batch as it was handed out."""

    images: Tensor
    labels: Tensor
    info: MixInfo

    def same(self, other: "Delivered") -> bool:
        """Slots equal; real images and noise to the bit, values to 1e-5."""
        slots = all(torch.equal(one, two) for one, two in zip(self.info, other.info, strict=True))
        return slots and torch.equal(self.labels, other.labels) and torch.allclose(self.images, other.images, atol=1e-5)


def deliver(loader: MixLoader[Any], epochs: int = 1) -> list[Delivered]:
    """All batches of some epochs."""
    return [Delivered(*batch) for _ in range(epochs) for batch in loader]


def stream(batches: list[Delivered]) -> dict[str, np.ndarray]:
    """The slots of some batches, laid end to end."""
    names = MixInfo._fields
    return {name: torch.cat([getattr(batch.info, name) for batch in batches]).cpu().numpy() for name in names}


def law_1_drop_in(plain: DataLoader[Any], generator: FrozenGenerator) -> None:
    """With ratio 0, natural balance and no augmentation: the plain loader's batches, sampler, types and length."""
    for options in ({}, {"generator": generator, "ratio": 0, "balance": "natural"}):
        loader = onthefly.wrap(plain, device="cpu", **options)
        assert loader.sampler is plain.sampler
        assert len(loader) == len(plain)
        torch.manual_seed(5)
        expected = list(plain)
        torch.manual_seed(5)
        found = list(loader)
        assert [type(batch) for batch in found] == [type(batch) for batch in expected]
        for one, two in zip(found, expected, strict=True):
            assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one, two, strict=True))


def law_2_exact(make: Make, epochs: int) -> None:
    """Synthetic samples follow the ratio to less than one, class counts the balance to within one; no drift."""
    loader = make()
    plan = loader.planned("the law")
    batches = [deliver(loader) for _ in range(epochs)]
    each = np.arange(plan.classes.count)
    total = np.zeros(plan.classes.count)
    for epoch in batches:
        counts = np.bincount(stream(epoch)["label"], minlength=len(each))
        assert counts.sum() == plan.length == len(plan.labels)
        assert (abs(counts - plan.length * plan.shares) < 1).all()
        total += counts
        for batch in epoch if not plan.natural else ():
            share = np.bincount(batch.info.label.cpu().numpy(), minlength=len(each)) - len(batch.labels) * plan.shares
            assert (abs(share) <= 1 + 1e-6).all()
    assert (abs(total - epochs * plan.length * plan.shares) < 2).all()
    slots = stream([batch for epoch in batches for batch in epoch])
    progress = (np.arange(len(slots["label"])) + 0.5) / plan.length / (plan.epochs or epochs)
    ratio = plan.schedule(progress, slots["label"], plan.census)
    for number in each:
        mine = slots["label"] == number
        assert (abs(np.cumsum(slots["synthetic"][mine]) - np.cumsum(ratio[mine])) < 1 + 1e-6).all()


def law_3_fair(make: Make, epochs: int) -> None:
    """Planned real rows of a class are used equally often, across epochs."""
    loader = make()
    plan = loader.planned("the law")
    slots = stream(deliver(loader, epochs))
    used = np.bincount(slots["source"][~slots["synthetic"]], minlength=len(plan.labels))
    for number in range(plan.classes.count):
        assert np.ptp(used[plan.labels == number]) <= 1


def law_4_one_stream(make: Make, epochs: int) -> None:
    """The slots, and the batches, depend neither on workers nor on prefetching."""
    expected = deliver(make(), epochs)
    settings: list[dict[str, Any]] = [
        {"num_workers": 1},
        {"num_workers": 2, "prefetch_factor": 5},
        {"num_workers": 2, "persistent_workers": True},
    ]
    for workers in settings:
        found = deliver(make(**workers), epochs)
        assert all(one.same(two) for one, two in zip(found, expected, strict=True))


def law_5_resume(make: Make, epochs: int) -> None:
    """From a state saved after any step the rest is the same, and from a state saved in that rest too."""
    expected = deliver(make(), epochs)
    steps = len(make())
    for step in range(1, len(expected)):
        first, second = make(), make()
        list(zip(range(step), _passes(first), strict=False))
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        again = [Delivered(*batch) for _, batch in zip(range(1), _passes(second), strict=False)]
        third = make()
        third.load_state_dict(second.state_dict())
        left = epochs - (step + 1) // steps
        again += deliver(third, left)
        assert all(one.same(two) for one, two in zip(again, expected[step:], strict=True))


def _passes(loader: MixLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def law_6_hermetic(make: Make, generator: FrozenGenerator) -> None:
    """Global random states, the generator's weights and buffers, and grad mode are untouched."""
    network = getattr(generator, "network", torch.nn.Identity())
    weights = copy.deepcopy(network.state_dict())
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            loader = iter(make())
            next(loader)  # torch's own loader draws a seed when it begins
            before = _random_states()
            for _ in loader:
                assert torch.is_grad_enabled() == grad
            assert before == _random_states()
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(one, network.state_dict()[name]) for name, one in weights.items())
    assert not network.training or not list(network.children())


def _random_states() -> tuple[Any, ...]:
    name, words, *rest = np.random.get_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = [state.tolist() for state in (torch.random.get_rng_state(), *devices)]
    return random.getstate(), name, words.tolist(), rest, states


def law_7_sample_is_its_key(make: Make, generator: FrozenGenerator) -> None:
    """A delivered synthetic sample can be made again from its class and key, alone."""
    batches = [batch for batch in deliver(make()) if batch.info.synthetic.any()]
    assert batches
    for batch in batches:
        for place in batch.info.synthetic.nonzero()[:, 0].tolist():
            alone = generator.sample(batch.info.label[place : place + 1], batch.info.key[place : place + 1])
            assert torch.allclose(alone[0], batch.images[place], atol=1e-5, rtol=0)


def law_8_usable(make: Make, device: str = "cpu") -> None:
    """Delivered tensors are ordinary, finite, in range, on the device."""
    for batch in deliver(make()):
        assert not batch.images.is_inference()
        assert not batch.images.requires_grad
        assert batch.images.device.type == device == batch.labels.device.type
        assert torch.isfinite(batch.images).all()
        assert batch.images.min() >= 0
        assert batch.images.max() <= 1
        weight = torch.ones((), requires_grad=True, device=device)
        (batch.images * weight).sum().backward()
        batch.images.add_(1)


def law_9_honest(make: Make, epochs: int) -> None:
    """What is counted is what was delivered, at any time."""
    loader = make()
    real, synthetic = np.zeros((2, loader.planned("the law").classes.count), np.int64)
    for number, batch in enumerate(Delivered(*batch) for _ in range(epochs) for batch in loader):
        real += np.bincount(batch.labels[~batch.info.synthetic].cpu().numpy(), minlength=len(real))
        synthetic += np.bincount(batch.labels[batch.info.synthetic].cpu().numpy(), minlength=len(real))
        stats = loader.stats()
        assert stats.batches == number + 1
        assert stats.real.tolist() == real.tolist()
        assert stats.synthetic.tolist() == synthetic.tolist()


def refuses_other_states(make: Make, **changed: Any) -> None:
    """Part of law 5: a state that doesn't fit is refused, with both values named."""
    other = make(**changed)
    with pytest.raises(ValueError, match=r"state: (.|\n)*expected .*, found") as caught:
        other.load_state_dict(make().state_dict())
    assert all(name in str(caught.value) for name in changed)
