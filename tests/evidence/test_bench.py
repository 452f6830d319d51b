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
from onthefly.testing import CountingGenerator

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
    assert bound.seconds == max(bound.on_clock, bound.on_cores) > 0
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


class Limited(CountingGenerator):
    """One that makes so many samples at once, at least and at most."""

    least, most = 0, 1_000_000

    def sample(self, labels: Any, keys: Any, sources: Any = None) -> Any:
        if not self.least <= len(labels) <= self.most:
            raise RuntimeError("on purpose")
        return super().sample(labels, keys, sources)


def test_an_alternative_that_fails_is_left_out() -> None:
    chosen = ["plain", "mix 0.5", "in __getitem__", "by hand"]
    generator = Limited(SHAPE, classes=3)
    generator.least = 2
    loader = wrapped(generator=generator)
    found = bench(loader, **QUICK, contenders=chosen)
    assert [row.name for row in found.rows] == ["plain", "mix 0.5", "by hand"]
    assert found.left_out == {"in __getitem__": "it raised RuntimeError: on purpose"}
    assert "left out: in __getitem__: it raised RuntimeError: on purpose" in str(found)
    with pytest.raises(ValueError, match=r"contenders: expected one that can be measured.*on purpose"):
        bench(loader, **QUICK, contenders=["in __getitem__"])


def test_a_part_that_fails_leaves_no_bound() -> None:
    generator = Limited(SHAPE, classes=3)
    generator.most = 9
    found = bench(wrapped(generator=generator), **QUICK, contenders=["plain", "mix"])
    assert found.left_out == {"generation": "it raised RuntimeError: on purpose"}
    assert found.bounds("mix") == ()
    assert "no bound was measured" in str(found)


def test_what_the_loader_itself_raises_names_the_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = wrapped(generator=Limited(SHAPE, classes=3))
    monkeypatch.setattr(Limited, "most", 0)
    with pytest.raises(RuntimeError, match="on purpose") as caught:
        bench(loader, **QUICK, contenders=["plain", "mix"])
    assert "'mix'" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", ["plain", "by hand"])
def test_a_step_that_raises_is_told(name: str) -> None:
    def step(batch: Any) -> None:
        raise KeyError("a layer")

    with pytest.raises(RuntimeError, match=f"your step raised KeyError for a batch of the contender '{name}'.*a layer"):
        bench(wrapped(), step=step, **QUICK, contenders=[name])


def test_bytes_become_floats_for_who_takes_none() -> None:
    data = TensorDataset((DATA.tensors[0] * 255).byte(), DATA.tensors[1])
    in_bytes = CountingGenerator(SHAPE, classes=3).map(lambda image, label: [(image * 255).byte(), label])
    pipeline = onthefly.augment.fused(onthefly.augment.image(SHAPE))
    loader = onthefly.wrap(DataLoader(data, 20, shuffle=True), in_bytes, ratio=0.25, augment=pipeline, device="cpu")
    seen: dict[str, Any] = {}
    names = ["plain + augment", "plain + fused", "mix 0.25", "in __getitem__", "by hand"]
    for name in names:
        bench(loader, step=lambda batch, name=name: seen.update({name: batch[0]}), **QUICK, contenders=[name])
    assert {name: (images.dtype, bool(images.max() <= 1)) for name, images in seen.items()} == dict.fromkeys(
        names, (torch.float32, True)
    )
    assert all(images.mean() > 0.1 for images in seen.values())
    found = bench(loader, **QUICK, contenders=["plain", "by hand", "from files"])
    assert "floats" in found.left_out["from files"]
    assert "augmented by Kornia, not fused" in found["by hand"].about


def test_what_is_delivered_and_what_is_made() -> None:
    found = bench(wrapped(generator=CountingGenerator(SHAPE, classes=3).reused(4)), **QUICK)
    mix = found["mix 0.5"]
    assert mix.share == pytest.approx(0.5, abs=0.11)
    assert 0 < mix.made < 0.8 * mix.share
    assert mix.about.endswith("each sample used 4 times")
    assert found["in __getitem__"].share == found["from files"].share == pytest.approx(0.25)
    assert found["in __getitem__"].made == pytest.approx(0.25)
    assert found["from files"].made == 0
    heading = next(line for line in str(found).splitlines() if "samples/s" in line)
    assert "synthetic   made" in heading


def test_a_mix_with_fewer_synthetic_samples_is_not_flattered() -> None:
    with pytest.warns(UserWarning, match="can't make 1, 2"):
        loader = wrapped(generator={0: CountingGenerator(SHAPE, classes=3)}, ratio={0: 0.25})
    found = bench(loader, **QUICK, contenders=["plain", "mix 0.25", "by hand"])
    assert found["mix 0.25"].share == pytest.approx(0.25 / 3, abs=0.05)
    assert "wherever the generator can" in found["mix 0.25"].about
    assert "of its samples are synthetic, 25% of theirs" in str(found)


def test_there_is_no_figure_without_a_bound() -> None:
    found = bench(wrapped(), step=lambda batch: None, **QUICK, contenders=["plain", "mix"])
    for figure in (found.efficiency, found.utilisation, found.bound):
        with pytest.raises(ValueError, match=r"no bound was measured.*without step="):
            figure("mix")
    assert "no bound was measured" in str(found)


def test_a_folder_that_can_not_be_is_told_before_anything_runs() -> None:
    Path("taken").write_text("a file")
    generator = CountingGenerator(SHAPE, classes=3)
    loader = wrapped(generator=generator)
    calls = generator.calls
    with pytest.raises(OSError, match="taken"):
        bench(loader, **QUICK, out="taken")
    assert generator.calls == calls


@pytest.mark.parametrize(
    ("workers", "where", "bound"), [(0, "in the main", "0 workers"), (1, "by the workers", "max(")]
)
def test_notes_say_who_reads(workers: int, where: str, bound: str) -> None:
    found = bench(wrapped(workers), **QUICK, contenders=["plain + fused", "mix", "in __getitem__", "from files"])
    assert where in found["in __getitem__"].about
    assert where in found["from files"].about
    assert bound in str(found)
    assert found.left_out["plain + fused"] == "the loader has no augmentation"


def test_an_unknown_row_is_told(found: Bench) -> None:
    with pytest.raises(KeyError, match="by hand"):
        found["mine"]
