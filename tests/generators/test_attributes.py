"""Attributes: drawn from keys, as asked, and obeyed by what is trained on them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from onthefly.data.conditions import Category, Interval
from onthefly.generators import load, save, train
from onthefly.generators.attributes import Attributes
from onthefly.generators.identity import identity

CONDITIONS = {"speaker": Category(("anna", "ben", "cleo")), "rotation": Interval(-30.0, 30.0)}
KEYS = torch.arange(20000)


def drawn(**asked: Any) -> torch.Tensor:
    return Attributes(CONDITIONS, asked).draw(KEYS)


def test_what_is_not_asked_for_is_anything() -> None:
    found = drawn()
    assert found[:, :3].mean(dim=0).sub(1 / 3).abs().max() < 0.02
    assert found[:, 3].mean().abs() < 0.02
    assert (found[:, 3].min(), found[:, 3].max()) == (pytest.approx(-1, abs=1e-3), pytest.approx(1, abs=1e-3))


@pytest.mark.parametrize(
    ("asked", "shares"),
    [
        ("ben", [0, 1, 0]),
        (["anna", "cleo"], [0.5, 0, 0.5]),
        (["anna", "cleo", "cleo"], [0.5, 0, 0.5]),
        ({"anna": 3, "ben": 1}, [0.75, 0.25, 0]),
        ({"cleo": 2.0, "ben": 0}, [0, 0, 1]),
    ],
)
def test_categories_as_asked(asked: Any, shares: list[float]) -> None:
    assert (drawn(speaker=asked)[:, :3].mean(dim=0) - torch.tensor(shares)).abs().max() < 0.02


def test_numbers_as_asked() -> None:
    found = drawn(rotation=(0, 15))[:, 3]
    assert found.min() >= 0
    assert found.max() <= 0.5
    assert found.mean() == pytest.approx(0.25, abs=0.01)
    assert set(drawn(rotation=15)[:, 3].tolist()) == {0.5}


def test_they_are_their_keys_and_independent() -> None:
    asked = Attributes(CONDITIONS)
    assert torch.equal(asked.draw(torch.tensor([7])), asked.draw(torch.tensor([3, 7]))[1:])
    found = asked.draw(KEYS)
    assert abs(float(torch.corrcoef(found[:, [0, 3]].T)[0, 1])) < 0.02


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"age": 3}, ("speaker, rotation", "age")),
        ({"speaker": "dora"}, ("speaker", "one of anna, ben, cleo", "dora")),
        ({"speaker": []}, ("speaker", "[]")),
        ({"speaker": {"anna": -1}}, ("speaker", "weights from 0 on")),
        ({"speaker": {"anna": 0}}, ("speaker", "weights from 0 on")),
        ({"speaker": ("anna", "ben")}, ("speaker", "('anna', 'ben')", "write a list", "['anna', 'ben']")),
        ({"speaker": 1.5}, ("speaker", "one of anna, ben, cleo", "1.5")),
        ({"speaker": {"anna": "x"}}, ("speaker", "weights from 0 on", "{'anna': 'x'}")),
        ({"speaker": ["anna", ["x"]]}, ("speaker", "one of anna, ben, cleo", "['x']")),
        (["speaker"], ("by name", "['speaker']", "write attributes=")),
        ({"rotation": (0, 45)}, ("rotation", "[-30, 30]", "45")),
        ({"rotation": (15, 0)}, ("rotation", "(low, high)", "(15, 0)")),
        ({"rotation": "left"}, ("rotation", "(low, high)", "'left'")),
    ],
)
def test_bad_input(asked: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: Attributes(CONDITIONS, asked), "attributes: ", "expected", "found", *words)


def test_a_generator_without_conditions(refused: Any) -> None:
    refused(lambda: Attributes({}, {"age": 3}), "the generator has no conditions", "age")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of squares that are bright as one condition says, on the side that the other one says."""
    draw = torch.Generator().manual_seed(0)
    light, side = torch.rand(400, generator=draw), torch.randint(2, (400,), generator=draw)
    images = 0.05 * torch.rand(400, 1, 8, 8, generator=draw)
    for row in range(400):
        images[row, :, 2:6, 4 * side[row] : 4 * side[row] + 4] += 0.1 + 0.8 * light[row]
    conditions = {"light": light.tolist(), "side": [("left", "right")[one] for one in side.tolist()]}
    data = TensorDataset(images, torch.arange(400) % 2)
    made = train("vae", data, steps=300, config={"width": 8, "latent": 4}, conditions=conditions, progress=False)
    return save(made, tmp_path_factory.mktemp("conditions") / "squares.safetensors")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("light", [(0.05, 0.15), (0.85, 0.95)])
def test_they_are_obeyed(path: Path, side: str, light: tuple[float, float]) -> None:
    made = load(path, attributes={"side": side, "light": light})
    images = made.sample(torch.arange(50) % 2, torch.arange(50))[:, 0, 2:6]
    columns = images.mean(dim=1).unflatten(1, (2, 4)).mean(dim=2)
    bright, dark = columns[:, int(side == "right")], columns[:, int(side == "left")]
    assert float(dark.mean()) < 0.2
    assert float(bright.mean()) == pytest.approx(0.125 + 0.8 * sum(light) / 2, abs=0.12)


def test_conditions_are_in_the_card(path: Path) -> None:
    made = load(path)
    assert list(made.spec.conditions) == ["light", "side"]
    assert made.spec.conditions["side"] == Category(("left", "right"))
    together = made.sample(torch.arange(9) % 2, torch.arange(9))
    assert torch.allclose(together[4:5], made.sample(torch.tensor([0]), torch.tensor([4])), atol=1e-5)


def test_conditions_of_a_generator_without_any(path: Path, refused: Any) -> None:
    refused(lambda: load(path, attributes={"speaker": "ben"}), "light, side", "speaker")
    refused(lambda: load(path, step=3), "vae: load", "expected interpolate", "step")


def test_they_are_part_of_which_generator_it_is(path: Path) -> None:
    asked = [{}, {"side": "left"}, {"side": "right"}, {"light": (0.2, 0.4)}, {"light": [0.2, 0.4]}]
    found = [identity(load(path, attributes=one)) for one in asked]
    hashes = [one["sha256"] for one in found]
    assert hashes[3] == hashes[4]
    assert len(set(hashes)) == 4
    again = load(path, attributes=json.loads(json.dumps(found[3]))["attributes"])
    assert identity(again)["sha256"] == hashes[3]
