"""Other people's modules."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onthefly.generators import from_module

LABELS, KEYS = torch.tensor([0, 1, 1]), torch.tensor([5, 6, 7])


class Net(nn.Module):
    """A conditional network that ends in tanh, as most do."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.kind, self.body = nn.Embedding(classes, 6), nn.Linear(6, 12)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.tanh(self.body(noise + self.kind(labels))).reshape(-1, 3, 2, 2)


def test_a_module_becomes_a_frozen_generator() -> None:
    net = Net().train()
    gen = from_module(net, latent=6, classes=("cat", "dog"), value_range=(-1, 1))
    images = gen.sample(LABELS, KEYS)
    assert images.shape == (3, 3, 2, 2)
    assert images.min() >= 0
    assert images.max() <= 1
    assert gen.classes.names == ("cat", "dog")
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert torch.allclose(gen.sample(LABELS[1:], KEYS[1:]), images[1:], atol=1e-6)


def test_values_are_left_as_they_are_without_a_range() -> None:
    gen = from_module(Net(), latent=6, classes=2)
    assert gen.sample(LABELS, KEYS).min() < 0
    assert gen.spec.fields["sample"].range is None


def test_call_puts_anything_in_order() -> None:
    gen = from_module(
        nn.Linear(4, 8),
        latent=(2, 2),
        classes=3,
        call=lambda net, noise, labels: net(noise.flatten(1)) + labels[:, None],
    )
    assert gen.sample(LABELS, KEYS).shape == (3, 8)


def test_what_leaves_the_range_is_clipped() -> None:
    gen = from_module(
        nn.Linear(4, 8), latent=4, classes=2, value_range=(0, 0.1), call=lambda net, noise, labels: net(noise)
    )
    assert [bound.item() for bound in gen.sample(LABELS, KEYS).aminmax()] == [0, 1]


class Noisy(Net):
    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return super().forward(noise, labels) + torch.rand(len(noise), 1, 1, 1)


class Crowd(Net):
    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return super().forward(noise - noise.mean(dim=0), labels)


class Biased(Net):
    """Draws noise for one class only."""

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return super().forward(noise, labels) + torch.rand(len(noise), 1, 1, 1) * (labels == 1)[:, None, None, None]


@pytest.mark.parametrize("kind", [Noisy, Crowd, Biased])
def test_modules_that_would_not_make_a_sample_again(kind: type[Net], refused: Any) -> None:
    refused(lambda: from_module(kind(), latent=6, classes=2), kind.__name__, "noise of its own", "call=")


def test_batch_norm_looks_across_the_batch_only_in_training() -> None:
    class Normed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
            return self.norm(super().forward(noise, labels))

    net = Normed().train()
    before = net.norm.running_mean.clone()  # type: ignore[union-attr,operator]
    from_module(net, latent=6, classes=2).sample(LABELS, KEYS)
    assert torch.equal(net.norm.running_mean, before)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (Net(), {"latent": 5}, ("Net failed", "noise [4, 5]", "latent=", "call=")),
        (Net(), {"latent": 6, "classes": 9}, ("Net failed", "labels [4]")),
        (nn.Linear(6, 2), {}, ("Linear failed", "call=")),
        (Net(), {"call": lambda net, noise, labels: {"x": 1}}, ("a tensor of 4 samples", "a dict", "call=")),
        (Net(), {"call": lambda net, noise, labels: net(noise, labels).sum(0)}, ("tensor of shape", "call=")),
        (Net(), {"value_range": (1, 0)}, ("value_range", "(1, 0)", "tanh")),
        (Net(), {"value_range": (0, 1, 2)}, ("value_range", "(0, 1, 2)", "tanh")),
        (
            Net(),
            {"call": lambda net, noise, labels: (noise, labels), "value_range": (0, 1)},
            ("expected a tensor, found a tuple", "call="),
        ),
        (Net(), {"call": lambda net, noise, labels: net.nothing}, ("Net failed", "nothing", "call=")),
        (Net(), {"call": lambda net, noise, labels: net(noise, labels) / 0}, ("Net made NaN or infinite",)),
    ],
)
def test_bad_input(module: nn.Module, options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: from_module(module, **{"latent": 6, "classes": 2, **options}), *words)


def test_a_module_that_counts_its_calls_is_refused(refused: Any) -> None:
    class Counts(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(noise, labels)

    refused(lambda: from_module(Counts(), latent=6, classes=2), "Counts writes to its buffers", "call=")


def test_trying_a_module_draws_nothing() -> None:
    noisy = Noisy()
    before = torch.random.get_rng_state()
    with pytest.raises(ValueError, match="noise of its own"):
        from_module(noisy, latent=6, classes=2)
    assert torch.equal(before, torch.random.get_rng_state())
