"""The bound is arithmetic."""

import pytest

from onthefly.evidence.bound import NOTHING, Bound, Part
from onthefly.evidence.parts import bound_of
from onthefly.evidence.timing import Round, Spread, ratios


def a_round(**changes: float) -> Round:
    values = {"batches": 10, "samples": 640, "made": 160, "seconds": 1.0, "waiting": 1.0, "cpu": 2.0, "memory": 0}
    return Round(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fetch", "generate", "augment", "seconds", "limit"),
    [
        (0.4, 0.1, 0.2, 0.6, "fetching"),
        (0.1, 0.4, 0.2, 0.6, "generation"),
        (0.3, 0.3, 0.0, 0.3, "fetching"),
        (0.1, 0.2, 0.4, 0.6, "augmentation"),
    ],
)
def test_fetching_beside_generation_then_augmentation(
    fetch: float, generate: float, augment: float, seconds: float, limit: str
) -> None:
    bound = Bound(*(Part(part, 0.0) for part in (fetch, generate, augment)), cores=None)
    assert bound.seconds == pytest.approx(seconds)
    assert bound.limit == limit
    assert bound.efficiency(2 * seconds) == pytest.approx(0.5)
    assert bound.utilisation(2 * seconds) == pytest.approx(generate / (2 * seconds))


def test_shared_cores_can_do_no_more_than_their_work() -> None:
    parts = Part(0.2, 0.4), Part(0.3, 0.6), Part(0.1, 0.1)
    assert Bound(*parts, cores=None).seconds == pytest.approx(0.4)
    assert Bound(*parts, cores=2).seconds == pytest.approx(0.55)
    assert Bound(*parts, cores=2).limit == "the cores"
    assert Bound(*parts, cores=4).seconds == pytest.approx(0.4)
    assert Bound(*parts, cores=4).limit == "generation"


def test_without_workers_one_comes_after_the_other() -> None:
    bound = Bound(Part(0.4, 0.4), Part(0.1, 0.1), Part(0.2, 0.2), cores=2, beside=False)
    assert bound.seconds == pytest.approx(0.7)
    assert bound.limit == "fetching"


def test_the_parts_are_reckoned_for_the_batch_that_the_mix_delivered() -> None:
    mix = a_round(batches=5, samples=500, made=100)  # batches of 100, 20 of them made
    fetch, generate = a_round(samples=1000, seconds=2.0, cpu=3.0), a_round(samples=400, seconds=2.0, cpu=4.0)
    augment = a_round(samples=10_000, seconds=1.0, cpu=1.0)
    bound = bound_of(mix, fetch, generate, augment, cores=2)
    assert bound.fetch == Part(pytest.approx(0.2), pytest.approx(0.3))
    assert bound.generate == Part(pytest.approx(0.1), pytest.approx(0.2))
    assert bound.augment == Part(pytest.approx(0.01), pytest.approx(0.01))
    assert bound_of(mix, fetch, None, None, cores=2).generate == NOTHING


def test_ratios_are_of_rounds_beside_each_other() -> None:
    slow_machine = [a_round(seconds=1.0), a_round(seconds=10.0), a_round(seconds=4.0)]
    twice_as_fast = [a_round(seconds=0.5), a_round(seconds=5.0), a_round(seconds=2.0)]
    assert ratios(twice_as_fast, slow_machine) == Spread(2.0, 2.0, 2.0)
    assert ratios(twice_as_fast[:1], slow_machine) == Spread(2.0, 2.0, 2.0)
