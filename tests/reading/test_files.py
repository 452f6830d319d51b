"""Folders: which class a file is of, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from onthefly.reading import Pictures, read


def picture(path: str, value: int = 0, size: tuple[int, int] = (12, 10)) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pets() -> str:
    for number in range(3):
        picture(f"pets/dog/{number}.png", number)
        picture(f"pets/cat/more/{number}.JPG", 10 + number, (8, 16))
    return "pets"


def test_a_folder_of_pictures_is_read_as_torchvision_reads_it(pets: str) -> None:
    found = read(pets, size=8)
    transform = transforms.Compose([transforms.Resize(8), transforms.CenterCrop(8), transforms.ToTensor()])
    expected = ImageFolder(pets, transform)
    assert found.classes == tuple(expected.classes) == ("cat", "dog")
    assert found.targets.tolist() == expected.targets
    for (image, label), (other, same) in zip(found, expected, strict=True):
        assert torch.equal(image, other)
        assert label == same
    assert repr(found) == "6 samples of 2 classes"


def test_grey_pictures_have_one_channel_and_the_default_size(pets: str) -> None:
    image, _ = read(pets, grey=True)[0]
    assert image.shape == (1, 64, 64)
    assert image.dtype == torch.float32
    assert 0 <= image.min() < image.max() <= 1


def test_pictures_of_any_mode_have_three_channels() -> None:
    Path("modes/one").mkdir(parents=True)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16"):
        Image.new(mode, (6, 6)).save(f"modes/one/{mode.replace(';', '')}.{'jpg' if mode == 'CMYK' else 'png'}")
    assert {tuple(image.shape) for image, _ in read("modes", size=4)} == {(3, 4, 4)}


def test_workers_can_have_it(pets: str) -> None:
    loader = DataLoader(pickle.loads(pickle.dumps(read(pets, size=4))), batch_size=3, num_workers=1)
    batches = list(loader)
    assert [tuple(images.shape) for images, _ in batches] == [(3, 3, 4, 4)] * 2
    assert torch.cat([labels for _, labels in batches]).tolist() == [0, 0, 0, 1, 1, 1]


def test_names_can_say_the_class_and_more() -> None:
    for name in ("10_ann_a.png", "9_bob_b.png", "9_ann_c.png"):
        picture(f"scans/2024/{name}")
    found = read("scans", pattern="{year}/{label}_{who}_{take}.png", size=8)
    assert found.classes == ("9", "10")
    assert found.targets.tolist() == [1, 0, 0]
    assert found.attributes == {"year": [2024] * 3, "who": ["ann", "ann", "bob"], "take": ["a", "c", "b"]}


def test_names_that_can_be_divided_in_two_ways_are_refused(refused: Callable[..., Any]) -> None:
    for name in ("good_bob_1.png", "very_good_ann_1.png"):
        picture(f"scans/{name}")
    words = ("'very_good_ann_1.png'", "may be {'label': 'very'", "or {'label': 'very_good'", "rename")
    refused(lambda: read("scans", pattern="{label}_{who}_{take}.png"), *words)


def test_hidden_files_are_passed_over_and_an_empty_class_is_one(pets: str) -> None:
    Path("pets/._dog").mkdir()
    picture("pets/dog/.hidden.png")
    Path("pets/emu").mkdir()
    found = read(pets)
    assert found.classes == ("cat", "dog", "emu")
    assert len(found) == 6


def test_pictures_and_sounds_together_are_refused(pets: str, refused: Callable[..., Any]) -> None:
    Path("pets/dog/bark.wav").touch()
    refused(lambda: read(pets), "expected pictures alone in pets", "found 6", "1 sounds, as dog/bark.wav", "move")


def test_files_without_a_class_are_refused(pets: str, refused: Callable[..., Any]) -> None:
    picture("pets/stray.png")
    refused(lambda: read(pets), "expected one subfolder a class", "found 1 files", "stray.png", "pattern='{label}_")


def test_a_divided_data_set_is_refused(refused: Callable[..., Any]) -> None:
    for part in ("train", "test"):
        picture(f"all/{part}/cat/1.png")
    refused(lambda: read("all"), "found test, train in all", "already divided", "read one part of it: all/train")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], ("found nothing", "check the path")),
        (["notes.md"], ("found notes.md", "check the path")),
        (["pets.tar.xz"], ("found pets.tar.xz", "unpack it first: tar -xf pets.tar.xz")),
        (["table.csv"], ("found table.csv", "give the file itself: stuff/table.csv")),
    ],
)
def test_a_folder_of_nothing_readable_is_refused(files: Any, words: Any, refused: Callable[..., Any]) -> None:
    Path("stuff").mkdir()
    for name in files:
        Path("stuff", name).touch()
    refused(lambda: read("stuff"), "expected pictures", "or sounds", "in stuff", *words)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{take}.png", ("pattern: expected {label}", "found '{take}.png'", "pattern='{label}_{take}.jpg'")),
        ("{label}_{label}.png", ("pattern:", "each once")),
        ("{label}_{0}.png", ("pattern:", "other names in braces")),
        ("{label", ("pattern: expected fields in braces", "found '{label'")),
        ("{label}_{take}", ("pattern: expected the whole name", "ending and all")),
        ("{label}_{take}.png", ("expected names like '{label}_{take}.png'", "found 6 of 6", "'0.JPG'")),
    ],
)
def test_patterns_that_say_nothing_are_refused(
    pets: str, pattern: str, words: Any, refused: Callable[..., Any]
) -> None:
    refused(lambda: read(pets, pattern=pattern), *words)


def test_a_broken_picture_is_named(pets: str, refused: Callable[..., Any]) -> None:
    whole = Path("pets/dog/0.png").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"a text"):
        Path("pets/dog/0.png").write_bytes(broken)
        refused(lambda: read(pets)[3], "expected a picture", "pets/dog/0.png", "broken", "remove it")


def test_what_is_no_folder_and_no_size_is_refused(pets: str, refused: Callable[..., Any]) -> None:
    refused(lambda: Pictures("nowhere"), "found no folder nowhere", "check the path", error=FileNotFoundError)
    refused(lambda: read(pets, size=0), "size: expected 1 or more", "found 0", "size=64")
    Path("pictures").mkdir()
    Path("pictures/a.wav").touch()
    refused(lambda: Pictures("pictures"), "expected pictures in pictures", "found 1 sounds", "read('pictures')")
