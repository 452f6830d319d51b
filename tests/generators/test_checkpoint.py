"""Checkpoints: what comes back, and what is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from onthefly.generators import FrozenGenerator, load, read_card, save
from onthefly.testing import CountingGenerator
from tests.conftest import OF_IMAGES

LABELS, KEYS = torch.tensor([0, 3, 1]), torch.tensor([5, 6, 7])


@pytest.fixture(params=OF_IMAGES)
def trained(request: pytest.FixtureRequest, generators: dict[str, FrozenGenerator]) -> Any:
    return generators[request.param]


@pytest.fixture
def path(trained: Any) -> Path:
    return save(trained, Path("generator.safetensors"))


def rewritten(path: Path, tensors: Any = None, card: Any = None) -> Path:
    """The same file with other tensors or another card."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors or load_file(path), path, metadata=metadata if card is None else {"onthefly": card})
    return path


def reshaped(card: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    """A card of images of another shape."""
    fields = {name: one | {"shape": shape} for name, one in card["spec"]["fields"].items()}
    return card | {"spec": card["spec"] | {"fields": fields}}


def test_what_is_saved_comes_back(trained: Any, path: Path) -> None:
    again = load(path)
    assert torch.equal(again.sample(LABELS, KEYS), trained.sample(LABELS, KEYS))
    assert (again.spec, again.card) == (trained.spec, trained.card)


def test_equal_generators_give_equal_bytes(trained: Any, path: Path) -> None:
    assert save(load(path), Path("other.safetensors")).read_bytes() == path.read_bytes()


def test_the_card_is_one_key_of_canonical_json(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["onthefly"]
    card = json.loads(metadata["onthefly"])
    assert json.dumps(card, sort_keys=True, separators=(",", ":")) == metadata["onthefly"]
    assert read_card(path) == card
    assert card["training"]["samples_of_each_class"] == [21, 8, 4, 1]  # three are held out


def test_a_missing_file(refused: Any) -> None:
    refused(lambda: load("none.safetensors"), "no file none.safetensors", "onthefly train", error=FileNotFoundError)


def test_a_truncated_file(path: Path, refused: Any) -> None:
    whole = path.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(lambda: load(path), "generator.safetensors", "not a whole safetensors file", f"{size} bytes")


def test_a_git_lfs_pointer(path: Path, refused: Any) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    refused(lambda: load(path), "Git LFS pointer", "git lfs pull --include generator.safetensors")


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.safetensors"])
def test_pickles_are_refused_and_never_opened(name: str, refused: Any) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (Path("opened"),))

    Path(name).write_bytes(pickle.dumps(Trap()))
    refused(lambda: load(name), "expected safetensors", "a pickle", "from_module()")
    torch.save(torch.nn.Linear(1, 1), "module.pt")
    refused(lambda: load("module.pt"), "as torch.save writes", "safetensors.torch.save_file")
    assert not Path("opened").exists()


def test_every_tensor_that_differs_is_listed(path: Path, refused: Any) -> None:
    tensors = load_file(path)
    gone, reshaped, *_ = sorted(tensors)
    del tensors[gone]
    tensors[reshaped] = torch.zeros(2, 2, 2, 2, 2)
    tensors["extra"] = torch.zeros(1, dtype=torch.float16)
    message = refused(lambda: load(rewritten(path, tensors)), "not those of its card")
    assert f"{gone}: expected float32" in message
    assert "found nothing" in message
    assert f"{reshaped}: expected float32" in message
    assert "found float32[2, 2, 2, 2, 2]" in message
    assert "extra: expected nothing, found float16[1]" in message


def test_weights_that_are_not_finite(path: Path, refused: Any) -> None:
    tensors = load_file(path)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    refused(lambda: load(rewritten(path, tensors)), f"{name}: holds values that are not finite")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card | {"family": "os.system"}, ("family", "gan, vae", "'os.system'")),
        (lambda card: card | {"format": 99}, ("format 2", "99", "pip install -U")),
        (lambda card: {name: card[name] for name in card if name != "spec"}, ("a card with spec too",)),
        (lambda card: card | {"config": {"width": 4, "height": 9}}, ("width", "found height")),
        (lambda card: card | {"config": {"width": -4}}, ("a whole number above 0", "-4")),
        (lambda card: [1], ("not a JSON object",)),
        (lambda card: card | {"spec": 3}, ("checkpoint generator.safetensors", "describes a generator")),
        (lambda card: card | {"spec": {"fields": {}, "classes": 2}}, ("describes a generator",)),
        (lambda card: card | {"config": [1]}, ("describes a generator",)),
        (lambda card: card | {"family": ["gan"]}, ("describes a generator",)),
        (lambda card: card | {"format": [2]}, ("format being of type int", "[2]")),
        (lambda card: card | {"format": True}, ("format being of type int", "True")),
        (lambda card: card | {"training": 3}, ("training being of type dict", "3")),
        (lambda card: card | {"training": {"samples_of_each_class": [1, 1]}}, ("to be 4 counts", "[1, 1]")),
        (lambda card: card | {"training": {"samples_of_each_class": [1, 1, "x", 2]}}, ("to be 4 counts", "'x'")),
        (lambda card: reshaped(card, []), ("describes a generator", "out of range")),
        (lambda card: card | {"config": {"width": 10**4}}, ("not those of its card",)),
        (lambda card: card | {"config": {"width": 10**12}}, ("width: expected 65536 or less", str(10**12))),
    ],
)
def test_cards_that_are_not_ours(path: Path, change: Any, words: tuple[str, ...], refused: Any) -> None:
    card = json.dumps(change(read_card(path)))
    refused(lambda: load(rewritten(path, card=card)), *words)


def test_a_card_that_is_no_json(path: Path, refused: Any) -> None:
    refused(lambda: load(rewritten(path, card="{")), "not a JSON object", "save()")


def test_safetensors_without_a_card(refused: Any) -> None:
    save_file({"weight": torch.zeros(2)}, "plain.safetensors")
    refused(lambda: load("plain.safetensors"), "no card", "from_module()")


def test_what_cannot_be_saved(trained: Any, refused: Any) -> None:
    refused(lambda: save(CountingGenerator((1, 4, 4), 2), "x.safetensors"), "CountingGenerator", "from_module()")
    refused(lambda: save(trained.map(lambda image, label: image), "x.safetensors"), "MappedGenerator")
    refused(lambda: save(trained, "x.pt"), "ends in .safetensors", "x.pt", "x.safetensors")


def test_a_header_of_any_length_is_not_taken_for_a_pickle(path: Path) -> None:
    """Its first byte is the length's, and may be the one that pickles begin with."""
    card = read_card(path)
    for filler in range(256):
        rewritten(path, card=json.dumps(card | {"note": "x" * filler}))
        if path.read_bytes()[:1] == b"\x80":
            break
    else:
        pytest.fail("no header of such a length")
    load(path)


def test_others_may_read_it(path: Path) -> None:
    Path("plain").touch()
    assert path.stat().st_mode == Path("plain").stat().st_mode


def test_loading_draws_nothing(path: Path) -> None:
    before = torch.random.get_rng_state()
    load(path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_how_a_mix_uses_it_is_said_when_it_is_loaded(path: Path) -> None:
    loaded = load(path, reuse=3, max_overhead=0.1)
    assert (loaded.reuse, loaded.max_overhead) == (3, 0.1)


@pytest.mark.parametrize(("family", "pixels"), [("gan", [0.5054, 0.4923, 0.5299]), ("vae", [0.5004, 0.5083, 0.4788])])
def test_a_file_of_the_first_format_makes_what_it_made(family: str, pixels: list[float]) -> None:
    made = load(Path(__file__).parent / "old" / f"{family}-1.safetensors")
    found = made.sample(torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7]))
    assert torch.allclose(found[:, 0, 0, 0], torch.tensor(pixels), atol=1e-4)
    assert made.card is not None
    assert made.card["format"] == 2
    assert made.card["training"]["samples_of_each_class"] == [4, 4, 4]
