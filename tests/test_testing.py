"""The generators for users' own tests."""

from typing import Any

import pytest
import torch

from onthefly.testing import CountingGenerator, FaultyGenerator

LABELS, KEYS = torch.tensor([0, 1]), torch.tensor([7, 8])


def test_it_counts_and_is_keyed() -> None:
    gen = CountingGenerator((3, 4, 4), 2)
    one, two = gen.sample(LABELS, KEYS), gen.sample(LABELS[1:], KEYS[1:])
    assert torch.equal(one[1:], two)
    assert (gen.calls, gen.samples, gen.keys) == (2, 3, [7, 8, 8])
    assert one.min() >= 0
    assert one.max() <= 1


@pytest.mark.parametrize("fault", ["raise", "nan", "range", "shape", "count"])
def test_one_call_goes_wrong_and_the_others_do_not(fault: Any) -> None:
    gen = FaultyGenerator(CountingGenerator((3, 4, 4), 2), fault, call=1)
    good = gen.sample(LABELS, KEYS)
    if fault == "raise":
        with pytest.raises(RuntimeError, match="on purpose"):
            gen.sample(LABELS, KEYS)
    else:
        assert not torch.equal(gen.sample(LABELS, KEYS), good)
    assert torch.equal(gen.sample(LABELS, KEYS), good)


def test_every_call_may_go_wrong() -> None:
    gen = FaultyGenerator(CountingGenerator((3, 4, 4), 2), "nan", call=None)
    assert all(gen.sample(LABELS, KEYS).isnan().all() for _ in range(3))


def test_a_faulty_generator_is_otherwise_the_one_that_works() -> None:
    moved: list[str] = []

    class Movable(CountingGenerator):
        def to(self, device: Any) -> Any:
            moved.append(str(device))
            return self

    inner = Movable((3, 4, 4), 2).relabel({0: 1}, classes=2)
    gen = FaultyGenerator(inner, "nan").to("cpu")
    assert moved == ["cpu"]
    assert gen.makes.tolist() == [True, False]


def test_every_part_of_a_whole_sample_goes_wrong() -> None:
    inner = CountingGenerator((3, 4, 4), 2).map(lambda image, label: {"image": image, "label": label})
    made = FaultyGenerator(inner, "count").sample(LABELS, KEYS)
    assert {name: len(part) for name, part in made.items()} == {"image": 1, "label": 1}
