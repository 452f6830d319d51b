"""bench, as a user would call it: on a wrapped loader, a plain one, a stream; and it leaves no trace."""

import json
import random
import sys
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import onthefly
from onthefly.evidence import Bench, bench
from onthefly.evidence.timing import Spread
from onthefly.testing import CountingGenerator, FaultyGenerator

SHAPE = (3, 8, 8)
DATA = TensorDataset(torch.rand(60, *SHAPE), torch.arange(60) % 3)
QUICK: dict[str, Any] = {"seconds": 0.05, "rounds": 2, "progress": False}


def wrapped(workers: int = 0, generator: Any = None, **options: Any) -> Any:
    plain = DataLoader(DATA, 20, shuffle=True, num_workers=workers, generator=torch.Generator().manual_seed(3))
    generator = generator or CountingGenerator(SHAPE, classes=3)
    return onthefly.wrap(plain, generator, **{"ratio": 0.25, "device": "cpu"} | options)


@pytest.fixture(scope="module")
def found() -> Bench:
    return bench(wrapped(augment=onthefly.augment.image(SHAPE)), **QUICK)


def test_all_contenders_side_by_side(found: Bench) -> None:
    assert {row.name for row in found.rows} | found.left_out.keys() >= {
        "plain",
        "plain + augment",
        "mix",
        "mix 0.1",
        "mix 0.25",
        "mix 0.5",
        "in __getitem__",
        "by hand",
        "from files",
        "timm",
    }
    assert {row.name for row in found.parts} == {
        *(f"fetch, {mix}" for mix in ("mix", "mix 0.1", "mix 0.25", "mix 0.5")),
        "generation",
        "augmentation",
    }
    for row in (*found.rows, *found.parts):
        assert len(row.rounds) == 2 or row.cut  # a busy machine may take longer for a batch
        assert all(one.seconds > 0 and one.samples > 0 and one.cpu >= 0 for one in row.rounds)
        assert all(one.seconds >= one.waiting > 0 for one in row.rounds)
        assert row.memory > 1e6
    assert found["mix 0.5"].share == pytest.approx(0.5, abs=0.11)  # within 1 of each class, in few batches
    assert found["plain"].share == 0


def test_figures_follow_from_the_rounds(found: Bench) -> None:
    ones, others = found["mix 0.5"].rounds, found["by hand"].rounds
    by_hand = [one.rate / other.rate for one, other in zip(ones, others, strict=False)]
    assert found.ratio("mix 0.5", "by hand") == Spread.of(by_hand)
    bound, *_ = found.bounds("mix 0.5")
    batch = ones[0].seconds / ones[0].batches
    assert bound.seconds == max(bound.side_by_side, bound.on_cores) > 0
    assert found.efficiency("mix 0.5").high >= bound.seconds / batch >= found.efficiency("mix 0.5").low
    assert found.utilisation("mix 0.5").median > 0
    assert found.bounds("plain") == ()


def test_json_holds_everything(found: Bench) -> None:
    path = found.to_json(Path("deep") / "bench.json")
    assert Bench.from_json(path) == found
    read = json.loads(path.read_text())
    assert read["machine"]["torch"] == torch.__version__.partition("+")[0] or read["machine"]["torch"]
    assert read["machine"]["onthefly"] == onthefly.__version__
    assert {"date", "processor", "cores", "device", "python", "kornia"} <= read["machine"].keys()
    assert read["settings"]["batch_size"] == 20
    assert read["settings"]["seconds"] == 0.05
    assert "resident" in read["settings"]["memory"]
    assert len(path.read_text()) < 200_000


def test_table_and_picture(found: Bench) -> None:
    shown = str(found)
    for words in ("samples/s", "x plain", "generator busy", "times as fast as generation in __getitem__", "torch"):
        assert words in shown
    assert all(len(line) <= 150 for line in shown.splitlines())
    path = found.plot("bench.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"ends in \.png"):
        found.plot("bench.pdf")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_is_left_as_it_is(workers: int) -> None:
    pipeline = onthefly.augment.image(SHAPE)
    loader, twin = (wrapped(workers, augment=one) for one in (pipeline, onthefly.augment.image(SHAPE)))
    batches, others = iter(loader), iter(twin)
    next(batches), next(others)
    drawn = pipeline._params
    children = set(active_children())
    before = _states(loader)
    bench(loader, **QUICK | {"rounds": 1}, contenders=["plain", "plain + augment", "mix", "mix 0.25", "by hand"])
    assert _states(loader) == before
    assert pipeline._params is drawn is not None
    assert set(active_children()) == children
    for ones, same in (batches, others), (loader, twin):  # the rest of this epoch, and the next one
        for (x, y), (x_same, y_same) in zip(ones, same, strict=True):
            assert torch.equal(x, x_same)
            assert torch.equal(y, y_same)


def _states(loader: Any) -> list[Any]:
    state = loader.state_dict()
    place = [state["epoch"], state["step"], str(loader.stats()), loader.epoch]
    randomness = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    return place + randomness + [loader.generator.get_state().tolist()]


def test_a_step_tells_how_long_it_waits() -> None:
    seen: list[Any] = []

    def step(batch: Any) -> None:
        seen.append(batch[0].shape)
        time.sleep(0.01)

    found = bench(wrapped(), step=step, **QUICK, contenders=["plain", "mix"])
    assert set(seen) == {torch.Size([20, *SHAPE])}
    assert all(0 < row.waiting < 1 for row in found.rows)
    assert all(row.step_seconds > 0.009 for row in found.rows)
    assert "waiting" in str(found)
    assert found.parts == ()


def test_a_plain_loader_is_measured_beside_itself_wrapped() -> None:
    found = bench(DataLoader(DATA, 20, shuffle=True), **QUICK)
    assert [row.name for row in found.rows if row.name != "timm"] == ["plain", "mix"]
    assert "what wrapping alone costs" in str(found)
    assert "pass one to wrap()" in found.left_out["mix 0.25"]


def test_loaders_of_ones_own_beside_it() -> None:
    found = bench(wrapped(), **QUICK, contenders=["plain", "mine"], beside={"mine": DataLoader(DATA, 20)})
    assert [row.name for row in found.rows] == ["plain", "mine"]
    assert found["mine"].rounds[0].samples % 20 == 0


def test_a_stream() -> None:
    def batches() -> Any:
        for rows in torch.arange(60).split(20):
            yield DATA.tensors[0][rows], DATA.tensors[1][rows]

    found = bench(onthefly.wrap(batches, CountingGenerator(SHAPE, classes=3), ratio=0.5, device="cpu"), **QUICK)
    assert [row.name for row in found.rows] == ["plain", "mix", "mix 0.1", "mix 0.25", "mix 0.5"]
    assert found["mix 0.25"].share == pytest.approx(0.25, abs=0.11)
    assert "stream" in found.left_out["from files"]
    assert [row.name for row in bench(batches, **QUICK).rows] == ["plain", "mix"]


def test_augmentation_alone_has_a_bound_too() -> None:
    plain = DataLoader(DATA, 20, shuffle=True)
    found = bench(onthefly.wrap(plain, augment=onthefly.augment.image(SHAPE), device="cpu"), **QUICK)
    (bound, *_) = found.bounds("mix")
    assert bound.augment.seconds > 0
    assert bound.generate.seconds == 0


class Slow(Dataset[Any]):
    targets = DATA.tensors[1]
    reads: ClassVar[list[int]] = []

    def __len__(self) -> int:
        return len(DATA)

    def __getitem__(self, row: int) -> Any:
        self.reads.append(row)
        time.sleep(0.005)
        return DATA[row]


def test_a_slow_dataset_ends_in_time_and_says_so() -> None:
    loader = onthefly.wrap(DataLoader(Slow(), 20, shuffle=True), balance="uniform", device="cpu")
    Slow.reads.clear()
    found = bench(loader, seconds=0.01, rounds=50, progress=False, contenders=["plain", "mix"])
    assert len(Slow.reads) <= 2 * (3 * 20 + 8)  # two batches of plain, mix and fetching, some examples; not 50 rounds
    assert [(len(row.rounds), row.rounds[0].batches) for row in found.rows] == [(1, 1), (1, 1)]
    assert "a batch takes longer than a round" in str(found)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bench(iter([1])), TypeError, ["bench", "gone through again", "list_iterator", "not iter(loader)"]),
        (lambda: bench(7), TypeError, ["bench", "DataLoader", "int"]),
        (lambda: bench(wrapped(), contenders=["mine"]), ValueError, ["contenders", "in __getitem__", "mine"]),
        (lambda: bench(wrapped(), beside={"mix": []}), ValueError, ["beside", "names of your own", "'mix'"]),
        (lambda: bench(wrapped(), contenders=[]), ValueError, ["contenders", "plain"]),
        (lambda: bench(wrapped(), seconds=0), ValueError, ["seconds", "above 0", "0"]),
        (lambda: bench(wrapped(), rounds=0), ValueError, ["rounds", "1 or more", "0"]),
        (lambda: bench(wrapped(), share=1), ValueError, ["share", "between 0 and 1", "1"]),
        (lambda: bench([], **QUICK), ValueError, ["bench", "at least one batch", "list", "drop_last"]),
        (lambda: bench(DataLoader(DATA, 90, drop_last=True), **QUICK), ValueError, ["at least one batch", "drop_last"]),
    ],
)
def test_errors_say_what_to_type(refused: Any, call: Any, error: type[Exception], words: list[str]) -> None:
    refused(call, *words, error=error)


@pytest.mark.parametrize(("package", "options"), [("psutil", {}), ("matplotlib", {"out": "found"})])
def test_a_missing_package_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, package: str, options: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    generator = CountingGenerator(SHAPE, classes=3)
    loader = wrapped(generator=generator)
    calls = generator.calls
    with pytest.raises(ImportError, match=rf"{package} .*onthefly-torch\[report\]"):
        bench(loader, **QUICK, **options)
    assert generator.calls == calls


def test_what_a_contender_raises_names_it() -> None:
    loader = wrapped(generator=FaultyGenerator(CountingGenerator(SHAPE, classes=3), "raise", call=3))
    with pytest.raises(RuntimeError, match="on purpose") as caught:
        bench(loader, **QUICK, contenders=["plain", "by hand"])
    assert "'by hand'" in caught.value.__notes__[0]


def test_an_unknown_row_is_told(found: Bench) -> None:
    with pytest.raises(KeyError, match="by hand"):
        found["mine"]
