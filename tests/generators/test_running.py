"""How a network runs: in pieces, in bfloat16, compiled, with its weights laid out for speed."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from onthefly.generators import from_module, load, save, train
from onthefly.generators.families import FAMILIES
from onthefly.generators.identity import identity
from onthefly.generators.latent import LatentGenerator
from onthefly.generators.running import BFLOAT16_ERROR, check_bfloat16
from onthefly.testing import CountingGenerator
from tests import laws
from tests.laws import _random_states
from tests.test_laws import EPOCHS, maker

LABELS, KEYS = torch.arange(7) % 4, torch.arange(7) + 5
OLD_TORCHSCRIPT = "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"  # torch's own, when it compiles


@pytest.fixture(params=["gan", "vae"])
def path(request: pytest.FixtureRequest, generators: dict[str, Any]) -> Path:
    return save(generators[request.param], Path("generator.safetensors"))


class Seen(nn.Module):
    """A small network that says how many samples it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.body = nn.Embedding(4, 6), nn.Linear(6, 12)
        self.sizes: list[int] = []

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.sizes.append(len(noise))
        return torch.sigmoid(self.body(noise + self.kind(labels))).reshape(-1, 3, 2, 2)


class Rough(Seen):
    """A network in which a small error becomes a large one."""

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return torch.sin(50 * self.body(noise + self.kind(labels))) / 2 + 0.5


def made_of(network: nn.Module) -> LatentGenerator:
    return from_module(network, latent=6, classes=4, value_range=(0, 1))


def test_a_network_makes_at_most_so_many_at_a_time(path: Path) -> None:
    network = Seen()
    whole = made_of(network)
    network.sizes.clear()
    assert torch.allclose(whole.running(batch_size=3).sample(LABELS, KEYS), whole.sample(LABELS, KEYS), atol=1e-6)
    assert network.sizes == [3, 3, 1, 7]
    one_by_one = load(path, batch_size=1)
    assert one_by_one.batch_size == 1
    assert torch.allclose(one_by_one.sample(LABELS, KEYS), load(path).sample(LABELS, KEYS), atol=1e-5, rtol=0)
    assert one_by_one.sample(LABELS[:0], KEYS[:0]).shape == (0, 1, 8, 8)


def test_channels_last_changes_no_sample_and_no_layout_of_a_module_of_yours(path: Path) -> None:
    made = load(path)
    assert isinstance(made, LatentGenerator)
    weights = [weight for weight in made.network.state_dict().values() if weight.ndim == 4 and weight.shape[1] > 1]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    plain = LatentGenerator(copy.deepcopy(made.network).to(memory_format=torch.contiguous_format), made.spec, (4,))  # type: ignore[call-overload]
    assert torch.allclose(made.sample(LABELS, KEYS), plain.sample(LABELS, KEYS), atol=1e-5, rtol=0)
    assert made.sample(LABELS, KEYS).is_contiguous()
    theirs = nn.Sequential(nn.ConvTranspose2d(6, 3, 2))
    strides = theirs[0].weight.stride()
    call = lambda net, noise, labels: net(noise[:, :, None, None])  # noqa: E731
    from_module(theirs, latent=6, classes=4, call=call).to("cpu").running(dtype="bfloat16")
    assert theirs[0].weight.stride() == strides


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.bfloat16])
def test_families_that_allow_bfloat16_make_nearly_the_same_in_it(family: str, generators: dict[str, Any]) -> None:
    plain = generators[family]
    fast = plain.running(dtype=torch.bfloat16)
    labels, keys = torch.arange(200) % 4, torch.arange(200)
    made, expected = fast.sample(labels, keys), plain.sample(labels, keys)
    assert made.dtype == torch.float32
    assert not torch.equal(made, expected)
    assert made.isfinite().all()
    assert made.min() >= 0
    assert made.max() <= 1
    assert (made - expected).abs().max() < BFLOAT16_ERROR
    assert torch.equal(plain.sample(labels, keys), expected)


@pytest.mark.parametrize("family", ["gan", "vae"])
@pytest.mark.parametrize("ways", [{"dtype": "bfloat16", "batch_size": 3}, {"batch_size": 2}], ids=str)
def test_the_laws_hold_however_it_runs(
    images: TensorDataset, generators: dict[str, Any], family: str, ways: dict[str, Any]
) -> None:
    generator = generators[family].running(**ways)
    make = maker(images, generator)
    laws.law_5_resume(make, EPOCHS)
    laws.law_6_hermetic(make, generator)
    laws.law_8_usable(make)
    laws.law_9_honest(make, EPOCHS)
    for batch in laws.deliver(make()):
        fake = batch.info.synthetic
        alone = [generator.sample(label[None], key[None])[0] for label, key in zip(*_asked(batch), strict=True)]
        atol = 8e-3 if "dtype" in ways else 1e-5  # two of a bfloat16's last bits
        assert all(
            torch.allclose(one, two, atol=atol, rtol=0) for one, two in zip(alone, batch.images[fake], strict=True)
        )


def _asked(batch: laws.Delivered) -> tuple[Tensor, Tensor]:
    return batch.info.label[batch.info.synthetic], batch.info.key[batch.info.synthetic]


def test_autocast_is_the_generators_own_affair() -> None:
    network = Seen()
    plain, fast = made_of(network), made_of(network).running(dtype="bfloat16")
    expected = plain.sample(LABELS, KEYS), fast.sample(LABELS, KEYS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain.sample(LABELS, KEYS), expected[0])
        assert network.body(torch.ones(1, 6)).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(fast.sample(LABELS, KEYS), expected[1])
        assert network.body(torch.ones(1, 6)).dtype == torch.float16
    assert network.body(torch.ones(1, 6)).dtype == torch.float32


def test_bfloat16_is_refused_where_it_would_make_something_else(
    path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    refused(lambda: made_of(Rough()).running(dtype="bfloat16"), "dtype: expected", "within 0.02", "leave")
    for name, family in FAMILIES.items():
        monkeypatch.setitem(FAMILIES, name, replace(family, bfloat16=False))
    refused(lambda: load(path, dtype="bfloat16"), "dtype: expected 'float32'", "found 'bfloat16'", "leave dtype= out")
    assert load(path, dtype="float32").dtype == torch.float32


def test_bfloat16_of_rows_whose_values_may_be_missing(refused: Any) -> None:
    expected = torch.tensor([[0.0, torch.nan], [10.0, 5.0]])
    check_bfloat16(expected + 0.1, expected, None)
    check_bfloat16(expected[:1, 1:], expected[:1, 1:], None)
    refused(lambda: check_bfloat16(expected + 1, expected, None), "within 0.02", "found 0.1;")
    refused(lambda: check_bfloat16(expected.nan_to_num(3), expected, None), "missing", "leave dtype= out")
    refused(lambda: check_bfloat16(expected, expected.nan_to_num(3), None), "missing", "leave dtype= out")
    refused(lambda: check_bfloat16(expected / 0, expected, None), "missing", "leave dtype= out")  # 0 / 0
    refused(lambda: check_bfloat16(expected + torch.inf, expected, None), "within 0.02", "found inf")


def test_a_generator_of_rows_with_missing_values_runs_in_bfloat16() -> None:
    rows = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)).round()
    rows[::2, 1] = torch.nan
    plain = train("vae", TensorDataset(rows, torch.arange(40) % 2), steps=1, progress=False)
    labels, keys = torch.arange(50) % 2, torch.arange(50)
    assert plain.sample(labels, keys).isnan().any()
    made = plain.running(dtype="bfloat16").sample(labels, keys)
    assert made.isnan().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float16"}, ("dtype: expected 'float32' or 'bfloat16'", "'float16'")),
        ({"dtype": torch.float64}, ("dtype: expected", "torch.float64")),
        ({"compile": "fast"}, ("compile: expected", "'fast'")),
        ({"batch_size": 0}, ("batch_size: expected", "0")),
    ],
)
def test_what_is_no_way_to_run(options: dict[str, Any], words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: made_of(Seen()).running(**options), *words)


def test_the_identity_tells_bfloat16_and_nothing_else() -> None:
    plain = made_of(Seen())
    same = plain.running(batch_size=2, compile=True)
    assert identity(same) == identity(plain)
    other = identity(plain.running(dtype="bfloat16").map(lambda image, label: image))
    assert other["dtype"] == "bfloat16"
    assert other["sha256"] != identity(plain.map(lambda image, label: image))["sha256"]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """torch.compile replaced by what a CUDA graph does: one size, and one piece of memory for all results."""
    asked: list[tuple[int, ...]] = []

    def captured(fn: Any, *, dynamic: bool, mode: str | None) -> Any:
        assert (dynamic, mode) == (False, "reduce-overhead")
        memory: list[Tensor] = []

        def replayed(noise: Tensor, labels: Tensor) -> Tensor:
            asked.append(tuple(noise.shape))
            made = fn(noise, labels)
            memory[:] = memory or [torch.empty_like(made)]
            return memory[0].copy_(made)

        return replayed

    monkeypatch.setattr(torch, "compile", captured)
    return asked


def test_a_graph_sees_one_size_and_its_results_are_kept(graphs: list[tuple[int, ...]]) -> None:
    plain = made_of(Seen())
    quick = plain.running(batch_size=3, compile="reduce-overhead")
    first = quick.sample(LABELS, KEYS)
    quick.sample(LABELS[:2], KEYS[:2] + 100)
    assert torch.allclose(first, plain.sample(LABELS, KEYS), atol=1e-6)
    assert graphs == [(3, 6)] * 4


def test_without_a_size_a_compiled_network_takes_the_measured_one(graphs: list[tuple[int, ...]]) -> None:
    quick = made_of(Seen()).running(compile="reduce-overhead")
    quick.sample(LABELS, KEYS)
    (size,) = quick.measured.values()
    assert graphs == [(size, 6)]


@pytest.mark.filterwarnings(OLD_TORCHSCRIPT)
def test_compiled_for_real_it_makes_the_same_and_is_left_as_it_was() -> None:
    network = Seen()
    plain = made_of(network)
    expected, state = plain.sample(LABELS, KEYS), copy.deepcopy(network.state_dict())
    quick = plain.running(batch_size=4, compile=True)
    torch.compiler.reset()
    before = _random_states()
    with torch.enable_grad():
        made = quick.sample(LABELS, KEYS)
    assert before == _random_states()
    assert not made.requires_grad
    assert torch.allclose(made, expected, atol=1e-5, rtol=0)
    alone = torch.cat([quick.sample(LABELS[place : place + 1], KEYS[place : place + 1]) for place in range(7)])
    assert torch.allclose(alone, expected, atol=1e-5, rtol=0)
    assert type(quick.network) is Seen
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_compiled_generator_can_be_copied_and_pickled(
    path: Path, graphs: list[tuple[int, ...]], copied: Callable[[Any], Any]
) -> None:
    quick = load(path, batch_size=3, compile="reduce-overhead", reuse=2)
    expected = quick.sample(LABELS, KEYS)
    again = copied(quick)
    graphs.clear()
    assert torch.allclose(again.sample(LABELS, KEYS), expected, atol=1e-6)
    assert graphs == [(3, 4)] * 3


def test_generators_around_others_run_these(generators: dict[str, Any], refused: Any) -> None:
    relabelled = generators["vae"].relabel({0: 3, 1: (1, 2)}).map(lambda image, label: {"x": image, "y": label})
    fast = relabelled.running(batch_size=3)
    assert (fast.batch_size, relabelled.batch_size) == (3, None)
    labels, keys = torch.arange(5) % 2, torch.arange(5)
    assert torch.allclose(fast.batch(labels, keys)["x"], relabelled.batch(labels, keys)["x"], atol=1e-5)
    counting = CountingGenerator((1, 8, 8), 2)
    refused(lambda: counting.running(batch_size=3), "running: expected a generator that is a network", error=TypeError)
