"""The flow: exact densities, samples that are their key, and nothing drawn when it is loaded."""

import math
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.generators import load, save, train
from onthefly.generators.flow import FlowConfig, FlowNetwork, FlowTrainer
from onthefly.generators.target import Target

SMALL = {"width": 8, "couplings": 4}


def rows(count: int = 600) -> TensorDataset:
    """Two classes: a ring, and a line across it."""
    draw = torch.Generator().manual_seed(0)
    angle, label = 2 * math.pi * torch.rand(count, generator=draw), torch.arange(count) % 2
    ring = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2, generator=draw)
    line = torch.randn(count, 1, generator=draw).expand(count, 2) * torch.tensor([1.0, -1.0])
    return TensorDataset(
        torch.where(label[:, None] == 0, ring, line + 0.1 * torch.randn(count, 2, generator=draw)), label
    )


@pytest.fixture(scope="module")
def made() -> Any:
    return train("flow", rows(), steps=300, config=SMALL, progress=False)


def test_it_learns_what_depends_on_what(made: Any) -> None:
    labels = torch.arange(1000) % 2
    fakes = made.sample(labels, torch.arange(1000))
    radius = fakes[labels == 0].norm(dim=1)
    assert ((radius > 0.6) & (radius < 1.4)).float().mean() > 0.75
    assert torch.corrcoef(fakes[labels == 1].T)[0, 1] < -0.9


def test_densities_integrate_to_one() -> None:
    torch.manual_seed(0)
    network = FlowNetwork(Target((2,), 2, bounded=False), FlowConfig(width=4)).eval()
    side = torch.linspace(-7, 7, 250)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        nats = network.nats(grid, torch.ones(len(grid), dtype=torch.int64), None)
    assert float((-nats).exp().sum() * (14 / 249) ** 2) == pytest.approx(1, abs=0.01)


def test_noise_is_found_again_from_samples(made: Any) -> None:
    """So codes and densities are of the same flow."""
    noise, labels = torch.randn(200, 2, generator=torch.Generator().manual_seed(3)), torch.arange(200) % 2
    with torch.no_grad():
        codes = made.network(noise, labels)
        again = made.network.flow.layers(made.network.kind(labels)).transform(codes)
    assert torch.allclose(again, noise, atol=1e-3)


def test_batches_do_not_change_a_sample_even_where_splines_are_steep() -> None:
    made = train("flow", rows(), steps=1, config=SMALL, progress=False)
    with torch.no_grad():
        for parameter in made.network.flow.parameters():
            parameter.mul_(6)  # in float32 samples would differ by 0.01
    keys, labels = torch.arange(1500), torch.arange(1500) % 2
    together = made.sample(labels, keys)
    apart = torch.cat([made.sample(labels[row : row + 1], keys[row : row + 1]) for row in range(0, 1500, 11)])
    assert (apart - together[::11]).abs().max() < 1e-5


def test_loading_draws_nothing(made: Any) -> None:
    path = save(made, "rows.safetensors")
    state = torch.random.get_rng_state()
    again = load(path)
    assert torch.equal(state, torch.random.get_rng_state())
    labels, keys = torch.arange(50) % 2, torch.arange(50)
    assert torch.equal(again.sample(labels, keys), made.sample(labels, keys))


def test_what_is_too_much_for_a_flow_takes_no_memory(refused: Any) -> None:
    with torch.device("meta"):
        refused(lambda: FlowNetwork(Target((10**12,), 2), FlowConfig()), "rows of 65536 numbers", str(10**12), "family")


def test_a_rare_class_counts_as_others_in_the_score() -> None:
    torch.manual_seed(0)
    trainer = FlowTrainer(Target((2,), 2, bounded=False), FlowConfig(width=4), torch.device("cpu"), steps=1)
    near, far = torch.zeros(30, 2), torch.full((3, 2), 4.0)
    one, other = (float(trainer.score(some, torch.full((len(some),), label))) for label, some in enumerate((near, far)))
    both = trainer.score(torch.cat([near, far]), torch.tensor([0] * 30 + [1] * 3))
    assert other > one + 5
    assert float(both) == pytest.approx((one + other) / 2, rel=1e-5)
