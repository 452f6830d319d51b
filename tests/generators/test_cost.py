"""What a sample costs: counted by hand, and by the counter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onthefly.data.spec import Spec
from onthefly.generators import FrozenGenerator, from_module
from onthefly.generators.cost import cost_of, flops_of, training_flops

WORDS = torch.zeros(1, 8, 16)


class Fields(FrozenGenerator):
    """Calls its network as often as it is told; anything else that a test needs is given."""

    def __init__(self, spec: Spec, calls: int = 1, wants_source: bool = False, makes: Any = None) -> None:
        self.spec, self.calls, self.wants_source, self._makes = spec, calls, wants_source, makes
        self.weight = torch.zeros(6, 5)

    @property
    def makes(self) -> Any:
        return super().makes if self._makes is None else self._makes

    def sample(self, labels: Tensor, keys: Tensor, sources: Any = None) -> Tensor:
        assert (sources is not None) == self.wants_source
        assert self.makes[labels].all()
        noise = torch.zeros(len(labels), 6)
        for _ in range(self.calls):
            noise @ self.weight
        return torch.zeros(len(labels), *self.spec.field.shape)


def test_every_call_of_a_network_counts() -> None:
    row = Spec.row(4, classes=2)
    assert cost_of(Fields(row)) == {"flops": 2 * 6 * 5}
    assert cost_of(Fields(row, calls=7)) == {"flops": 7 * 2 * 6 * 5}
    assert cost_of(Fields(row).map(lambda sample, label: [sample, label])) == {"flops": 2 * 6 * 5}


def test_images_are_counted_in_images() -> None:
    found = cost_of(Fields(Spec.image((3, 32, 32), classes=2), calls=1000))
    assert found["resnet18_images"] == pytest.approx(found["flops"] / training_flops((3, 32, 32)), rel=5e-3)
    assert "resnet18_images" not in cost_of(Fields(Spec.audio((1, 32), classes=2, rate=8000)))


def test_a_resnet18_s_cost_is_the_known_one() -> None:
    """0.56 thousand million multiplications for CIFAR, 1.82 for ImageNet's size."""
    assert training_flops((3, 32, 32)) / 6 == pytest.approx(0.556e9, rel=0.01)
    assert training_flops((3, 224, 224)) / 6 == pytest.approx(1.814e9, rel=0.01)
    assert training_flops((3, 64, 64)) == pytest.approx(4 * training_flops((3, 32, 32)), rel=0.001)
    assert training_flops((3, 65, 65)) < training_flops((3, 64, 64))
    assert training_flops((1, 28, 28)) < training_flops((3, 28, 28))


def test_one_that_makes_samples_of_real_ones_is_given_some() -> None:
    assert cost_of(Fields(Spec.row(4, classes=2), wants_source=True)) == {"flops": 60}


def test_a_class_that_it_makes_is_asked_for(refused: Any) -> None:
    row = Spec.row(4, classes=2)
    assert cost_of(Fields(row, makes=torch.tensor([False, True]).numpy())) == {"flops": 60}
    refused(lambda: cost_of(Fields(row, makes=torch.tensor([False, False]).numpy())), "makes none", "train it")


@pytest.mark.parametrize(
    ("call", "flops"),
    [
        (lambda: F.scaled_dot_product_attention(WORDS[:, None], WORDS[:, None], WORDS[:, None]), 2 * 2 * 8 * 8 * 16),
        (
            lambda: nn.MultiheadAttention(16, 2, batch_first=True).eval()(WORDS, WORDS, WORDS),
            4 * 2 * 8 * 16 * 16 + 4096,
        ),
        (lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()(WORDS), 36864),
        (lambda: nn.LSTM(16, 4, batch_first=True).eval()(WORDS), 2 * 8 * 4 * 4 * (16 + 4)),
        (lambda: nn.GRU(16, 4, batch_first=True).eval()(WORDS), 2 * 8 * 3 * 4 * (16 + 4)),
        (lambda: nn.ConvTranspose1d(16, 4, 4, stride=2, padding=1)(WORDS.mT), 2 * 16 * 4 * 4 * 8),
    ],
)
def test_what_torch_fuses_is_counted(call: Callable[[], Any], flops: int) -> None:
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    assert flops_of(call) == flops
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_the_families_of_this_library(name: str, generators: dict[str, FrozenGenerator]) -> None:
    found = cost_of(generators[name])
    assert found == cost_of(generators[name].running(batch_size=2))
    assert 1000 < found["flops"] < 1e7
    assert 0 < found["resnet18_images"] < 1


def test_sampling_for_it_draws_nothing() -> None:
    before = torch.random.get_rng_state()
    linear = from_module(nn.Linear(4, 8), latent=4, classes=2, call=lambda net, noise, labels: net(noise))
    after_it = torch.random.get_rng_state()
    assert not torch.equal(before, after_it)  # the layer's own weights
    cost_of(linear)
    training_flops((3, 32, 32))
    assert torch.equal(after_it, torch.random.get_rng_state())
