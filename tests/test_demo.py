"""The demo: its data, its verdict, and one run from end to end, smaller than the real one."""

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from onthefly.data.meter import Stats
from onthefly.demo import story
from onthefly.demo.classifier import recall, small_network, train_classifier
from onthefly.demo.data import deal
from onthefly.demo.report import draw_ratio, next_steps, table, verdict
from onthefly.demo.story import ARMS, SETTINGS, Outcome, tell
from onthefly.mixing.classes import Classes


def rows_of(images: Any) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.tensors[0]}


class TestData:
    def test_digits_are_dealt_long_tailed_and_no_image_twice(self) -> None:
        parts = deal("digits", None, most=48, imbalance=20, owner=500)
        assert np.bincount(parts.own.targets).tolist() == [48, 34, 25, 18, 13, 9, 7, 5, 3, 2]
        assert [len(part) for part in (parts.owner, parts.own, parts.test)] == [500, 164, 1133]
        owner, own, test = (rows_of(part) for part in (parts.owner, parts.own, parts.test))
        assert not owner & own
        assert not own & test
        assert not owner & test

    @pytest.mark.parametrize("zipped", [False, True])
    def test_mnist_s_own_files(self, zipped: bool) -> None:
        rng = np.random.default_rng(0)
        for name, count in (("train", 300), ("t10k", 2100)):
            images = bytes(16) + rng.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
            labels = bytes(8) + (np.arange(count) % 10).astype(np.uint8).tobytes()
            for kind, data in (("images-idx3", images), ("labels-idx1", labels)):
                path = Path("raw", f"{name}-{kind}-ubyte" + (".gz" if zipped else ""))
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(gzip.compress(data) if zipped else data)
        parts = deal("mnist", Path(), most=20, imbalance=10, owner=100)
        assert (parts.own.shape, len(parts.test), len(parts.owner)) == ((1, 28, 28), 2000, 100)

    @pytest.mark.parametrize("packed", [False, True])
    def test_cifar_s_pictures(self, packed: bool) -> None:
        for part, count in (("train", 12), ("test", 3)):
            for number, kind in enumerate(("cat", "dog")):
                for index in range(count):
                    path = Path("cifar10", part, kind, f"{index}.png")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (32, 32), (10 * index, 100 * number, 0)).save(path)
        if packed:
            with tarfile.open("cifar10.tar.xz", "w:xz") as archive:
                archive.add("cifar10")
        parts = deal("cifar10", Path(), most=4, imbalance=2, owner=5)
        assert np.bincount(parts.own.targets).tolist() == [4, 2]
        assert (len(parts.owner), len(parts.test), parts.own.classes) == (5, 6, ("cat", "dog"))
        assert parts.own.tensors[0][0, 1].unique() * 255 == 100 * parts.own.targets[0]

    def test_the_real_sets(self, real_data: Path) -> None:
        mnist = deal("mnist", real_data, most=100, imbalance=20, owner=4000)
        assert [len(part) for part in (mnist.owner, mnist.own, mnist.test)] == [4000, 341, 2000]
        assert 0.1 < mnist.owner.tensors[0].mean() < 0.2
        cifar = deal("cifar10", real_data, most=5000, imbalance=100, owner=20_000)
        assert np.bincount(cifar.own.targets).tolist() == [5000, 2997, 1797, 1077, 646, 387, 232, 139, 83, 50]
        assert (len(cifar.test), cifar.own.classes[:2]) == (10_000, ("airplane", "automobile"))

    def test_what_is_not_there(self, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
        monkeypatch.delenv("ONTHEFLY_DATA", raising=False)
        sizes: dict[str, Any] = {"most": 4, "imbalance": 2, "owner": 5, "error": FileNotFoundError}
        error = sizes.pop("error")
        refused(lambda: deal("mnist", None, **sizes), "mnist", "--data DIR", "ONTHEFLY_DATA", error=error)
        refused(lambda: deal("mnist", Path(), **sizes), "mnist", "t10k-images-idx3-ubyte.gz", error=error)
        refused(lambda: deal("cifar10", Path(), **sizes), "cifar10.tar.xz", "train/<class>/", error=error)
        monkeypatch.setenv("ONTHEFLY_DATA", "nowhere")
        refused(lambda: deal("mnist", None, **sizes), "found nowhere", error=error)


def outcome(baseline: float, mix: list[float], upper: float = 0.95) -> Outcome:
    recalls = {"baseline": [baseline] * 3, "mix": mix, "upper bound": [upper] * 3}
    return Outcome(
        stats=Stats(
            Classes.of(("cat", "dog")), np.array([60, 20]), np.array([0, 40]), np.array([0, 40]), np.zeros(2, int), 10
        ),
        own=np.array([50, 5]),
        recalls={arm: np.array(values)[:, None] * np.ones(2) for arm, values in recalls.items()},
        planned=np.array([0.0, 2 / 3]),
        checkpoint=Path("a.safetensors"),
        sheet=Path("a.png"),
    )


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ([0.84, 0.85, 0.86], ("The mix wins", "3 of 3 seeds", "+0.050", "33% of the gap")),
        ([0.79, 0.75, 0.8], ("The mix loses", "worse with 2 of 3 seeds", "by -0.020")),
        ([0.84, 0.75, 0.8], ("No clear difference", "1 of 3 seeds")),
    ],
)
def test_the_verdict_goes_either_way(mix: list[float], words: tuple[str, ...]) -> None:
    said = verdict(outcome(0.8, mix))
    assert all(word in said for word in words), said


def test_the_report_shows_every_class_and_what_to_type() -> None:
    one = outcome(0.8, [0.85, 0.86, 0.87])
    rows = table(one).splitlines()
    assert rows[2].split() == ["cat", "50", "60", "0", "0.800", "0.860", "0.950"]
    assert rows[3].split() == ["dog", "5", "20", "40", "0.800", "0.860", "0.950"]
    assert rows[4].split() == ["mean", "55", "80", "40", "0.800", "0.860", "0.950"]
    assert 'onthefly.wrap(loader, "a.safetensors"' in next_steps(one, Path("b.png"))
    assert f"ratio={story.RATIO})" in next_steps(one, Path("b.png"))
    with Image.open(draw_ratio(one, Path("ratio.png"))) as plot:
        assert plot.width > 800


def test_the_classifier_learns_and_its_recall_is_counted() -> None:
    parts = deal("digits", None, most=48, imbalance=20, owner=500)
    loader = torch.utils.data.DataLoader(parts.owner, 64, shuffle=True)
    network = train_classifier(loader, parts.owner, 150, seed=0, device=torch.device("cpu"))
    found = recall(network, parts.test, torch.device("cpu"))
    assert found.shape == (10,)
    assert found.mean() > 0.9
    assert small_network((3, 32, 32), 7)(torch.rand(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("scenario", ["owner", "self"])
def test_the_story_from_end_to_end(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(SETTINGS["digits"], generator_steps=30, steps=12)
    monkeypatch.setitem(SETTINGS, "digits", small)
    one = tell("digits", scenario, "vae", None, Path("out"), (0, 1))
    assert {arm: rows.shape for arm, rows in one.recalls.items()} == dict.fromkeys(ARMS, (2, 10))
    delivered = one.stats.synthetic / (one.stats.synthetic + one.stats.real)
    assert delivered == pytest.approx(one.planned, abs=0.05)
    assert one.checkpoint.exists()
    assert one.sheet.exists()
