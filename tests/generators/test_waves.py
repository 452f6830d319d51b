"""Sounds to look at, and to listen to."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from onthefly.data.spec import Spec
from onthefly.generators import FrozenGenerator, draw_waves, wave_sheet, write_waves
from onthefly.generators.looks import look
from onthefly.generators.waves import spectrogram

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("matplotlib")


class Hums(FrozenGenerator):
    """A pitch for each class."""

    def __init__(self, rate: int | None = 8000) -> None:
        self.spec = Spec.audio((1, 800), ("low", "a/b c"), rate)  # type: ignore[arg-type]

    def sample(self, labels: Tensor, keys: Tensor, sources: object = None) -> Tensor:
        return torch.sin((1 + labels[:, None, None]) * torch.arange(800) * 0.2)


def test_a_preview_of_sounds_is_a_picture_and_a_folder_to_listen_to() -> None:
    real = [[torch.zeros(1, 800)] * 5, []]
    path = look(Hums(), "previews/hums.png", real=real)
    with Image.open(path) as picture:
        assert picture.width > 500
    files = {file.name for file in Path("previews/hums").iterdir()}
    assert files == {"low.real.wav", "low.synthetic.wav", "a_b_c.synthetic.wav"}
    heard, rate = soundfile.read("previews/hums/low.synthetic.wav", dtype="float32")
    assert rate == 8000
    assert len(heard) == 3 * (800 + 160)
    expected = torch.sin(torch.arange(800) * 0.2)
    assert torch.allclose(torch.from_numpy(heard[960:1760]), expected, atol=1e-4)


def test_of_an_unknown_rate_there_is_nothing_to_listen_to() -> None:
    assert wave_sheet(Hums(None), "hums.png", each=2).exists()
    assert not Path("hums").exists()


def test_rows_of_any_kinds_and_lengths() -> None:
    rows = {"one": {"clean": [torch.zeros(2, 900)], "noisy": [torch.rand(2, 300)]}, "two": {"clean": []}}
    assert draw_waves(rows, "some.png").stat().st_size > 5000
    (first, second) = write_waves(rows, "some", rate=16000)
    assert soundfile.info(first).channels == 2
    assert (first.name, second.name) == ("one.clean.wav", "one.noisy.wav")


def test_rows_whose_names_become_the_same_have_files_of_their_own() -> None:
    names = ["a/b", "a b", "A?b", "a b.s.2", "a_b.s"]
    rows = {name: {"s": [torch.full((1, 100), place / 8)]} for place, name in enumerate(names)} | {"a": {"b.s": []}}
    for _ in range(2):  # a second time they are the same files
        files = write_waves(rows, "some", rate=8000)
        assert [file.name for file in files[:3]] == ["a_b.s.wav", "a_b.s.2.wav", "A_b.s.3.wav"]
        assert sorted(files) == sorted(Path("some").iterdir())
        assert [soundfile.read(file)[0].max() for file in files] == pytest.approx([0, 1 / 8, 2 / 8, 3 / 8, 4 / 8])


@pytest.mark.parametrize("pitch", [500, 3000])
def test_a_spectrogram_shows_pitch_where_it_is(pitch: int) -> None:
    loud = spectrogram(torch.sin(2 * torch.pi * pitch * torch.arange(16000) / 16000), 16000)
    peak = loud[:, 5:-5].argmax(dim=0) * 16000 / 512
    assert (peak - pitch).abs().max() <= 16
    assert loud.max() == 0
    assert loud.min() >= -70
