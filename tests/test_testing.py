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
