"""Batches taken apart and put together."""

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import default_collate

from onthefly.data.batches import (
    as_collated,
    as_device,
    default_device,
    like,
    merge,
    select,
    size_of,
    to_device,
    unbatch,
)

Point = namedtuple("Point", "x y")
CPU = torch.device("cpu")


def sample(number: int) -> Any:
    return {"image": torch.full((2, 2), float(number)), "rest": (number, str(number), Point(number, [number / 2]))}


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_merging_is_collating_the_mixed_list(fakes: list[bool]) -> None:
    samples = [sample(number) for number in range(len(fakes))]
    parts = [
        default_collate(some) if some else None
        for some in (
            [one for one, fake in zip(samples, fakes, strict=True) if fake is wanted] for wanted in (False, True)
        )
    ]
    merged = merge(parts[0], parts[1], torch.tensor(fakes))
    assert repr(merged) == repr(default_collate(samples))


@given(st.integers(1, 5))
def test_unbatching_undoes_collating(size: int) -> None:
    samples = [sample(number) for number in range(size)]
    assert repr(default_collate(unbatch(default_collate(samples), size))) == repr(default_collate(samples))


def test_selecting_rows() -> None:
    batch = default_collate([sample(number) for number in range(4)])
    chosen = torch.tensor([True, False, False, True])
    assert repr(select(batch, chosen)) == repr(default_collate([sample(0), sample(3)]))


def test_containers_are_those_of_default_collate() -> None:
    made = as_collated((torch.zeros(1), Point(1, (2,)), {"a": (3,)}))
    assert made == [torch.zeros(1), Point(1, [2]), {"a": [3]}]


@pytest.mark.parametrize(
    ("synthetic", "words"),
    [
        ([torch.zeros(1, 3)], ("float32[1, 2]", "float32[1, 3]")),
        ([torch.zeros(1, 2, dtype=torch.float64)], ("float32[1, 2]", "float64[1, 2]")),
        ({"x": torch.zeros(1, 2)}, ("[float32[1, 2]]", "{'x': float32[1, 2]}")),
        ([torch.zeros(1, 2), torch.zeros(1)], ("[float32[1, 2]]", "[float32[1, 2], float32[1]]")),
        ([["a"]], ("float32[1, 2]", "list of str")),
        ([torch.zeros(3, 2)], ("1 synthetic rows", "3")),
    ],
)
def test_what_cannot_be_merged_is_shown(synthetic: Any, words: tuple[str, ...], refused: Any) -> None:
    refused(lambda: merge([torch.zeros(1, 2)], synthetic, torch.tensor([False, True])), "expected", "found", *words)


def test_a_batch_that_is_there_already_is_not_touched() -> None:
    batch = {"x": [torch.zeros(2), "a"]}
    assert to_device(batch, CPU) is batch


def test_what_has_a_way_of_its_own_to_move_is_moved_by_it() -> None:
    class Encoding:
        def to(self, device: torch.device, non_blocking: bool = False) -> str:
            return f"on {device}"

    assert to_device([Encoding(), "text"], CPU) == ["on cpu", "text"]


def test_a_sample_in_the_types_of_another() -> None:
    made = [torch.tensor(3), torch.tensor(0.5), torch.ones(2), torch.ones(3, 4, 4), torch.tensor(1), torch.zeros(1)]
    example = (1, 2.0, np.zeros(2), Image.new("RGB", (4, 4)), True, torch.zeros(1))
    number, fraction, array, picture, flag, tensor = like(made, example)
    assert (number, fraction, flag) == (3, 0.5, True)
    assert type(number) is int
    assert type(array) is np.ndarray
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert torch.is_tensor(tensor)


@pytest.mark.parametrize("batch", [torch.zeros(3, 2), [torch.zeros(3), "x"], {"a": {"b": torch.zeros(3, 1)}}])
def test_the_size_of_a_batch(batch: Any) -> None:
    assert size_of(batch) == 3


def test_a_batch_of_strings_has_a_size() -> None:
    assert size_of(["a", "b"]) == 2
    assert size_of({"name": ["a", "b", "c"], "image": torch.zeros(3, 2)}) == 3


def test_parts_of_a_dict_are_told_by_their_keys() -> None:
    real = OrderedDict(image=torch.zeros(1, 2), mask=torch.ones(1, 2))
    made = {"mask": torch.full((1, 2), 3.0), "image": torch.full((1, 2), 2.0)}
    merged = merge(real, made, torch.tensor([False, True]))
    assert type(merged) is OrderedDict
    assert merged["image"].tolist() == [[0, 0], [2, 2]]
    assert merged["mask"].tolist() == [[1, 1], [3, 3]]
    one = like({"mask": torch.tensor(3), "image": torch.ones(1)}, {"image": np.zeros(1), "mask": 7})
    assert list(one) == ["image", "mask"]
    assert one["mask"] == 3
    assert type(one["image"]) is np.ndarray


def test_a_list_may_have_another_length() -> None:
    assert like([torch.tensor(1), [{"id": torch.tensor(2)}] * 3], (7, [{"id": 5}])) == (1, [{"id": 2}] * 3)
    assert like([torch.tensor(1), [torch.tensor(2)]], (7, [])) == (1, [torch.tensor(2)])
    assert like(torch.zeros(2), 7).tolist() == [0, 0]


def test_what_has_no_rows_is_not_selected_from(refused: Any) -> None:
    refused(lambda: select([torch.zeros(3), 5], torch.tensor([True, False, True])), "3 rows", "[float32[3], int]")


@pytest.mark.parametrize("device", ["foo", "cuda:99", "cpu:x", 1.5])
def test_a_device_that_is_not_there_is_refused(device: Any, refused: Any) -> None:
    refused(lambda: as_device(device), "device: expected one that is there (cpu", f"found '{device}'", "leave it out")


def test_a_device_that_is_there() -> None:
    assert as_device(None) == default_device()
    assert as_device("cpu") == as_device(CPU) == CPU
