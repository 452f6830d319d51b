"""Contenders are timed against a named peer in turn, A B A B, so that a machine that slows down slows both."""

import warnings
from collections.abc import Callable, Generator
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from onthefly.data.batches import default_device
from onthefly.evidence import Bench, bench
from onthefly.evidence.machine import machine_of

Versus = Callable[..., None]

_FIRST = ("test_contenders.py", "test_memory.py", "test_generation.py")  # what a device is for
_BEGUN = perf_counter()
_IGNORED = (
    "ignore:.*torch.jit:DeprecationWarning",  # torch's own, when it compiles
    "ignore:TensorFloat32 tensor cores:UserWarning",  # as well: samples don't use them on purpose
)


@pytest.fixture
def versus(benchmark: Any) -> Versus:
    """`versus(contender, peer, group=, name=, against=)`: time two calls in turn, and note the ratio of each pair."""

    def run(contender: Callable[[], Any], peer: Callable[[], Any], *, rounds: int, group: str, **names: Any) -> None:
        seconds: list[float] = []

        def time_the_peer() -> None:
            begin = perf_counter()
            peer()
            seconds.append(perf_counter() - begin)

        benchmark.group = group
        benchmark.pedantic(contender, setup=time_the_peer, rounds=rounds, warmup_rounds=1)
        ratios = [one / other for one, other in zip(seconds[-rounds:], benchmark.stats.stats.data, strict=True)]
        benchmark.extra_info.update(names, ratio=median(ratios), ratios=(min(ratios), max(ratios)))

    return run


@pytest.fixture
def contest(benchmark: Any) -> Callable[..., Bench]:
    """`contest(title, loader, ...)`: `onthefly.evidence.bench`, kept with the other figures."""

    def run(title: str, loader: Any, **options: Any) -> Bench:
        benchmark.group = title
        asked = {"seconds": 1.0 if default_device().type == "cpu" else 0.5, "rounds": 5} | options
        found: Bench = benchmark.pedantic(lambda: bench(loader, **asked, progress=False), rounds=1)
        benchmark.extra_info.update(title=title, bench=found.to_plain())
        return found

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--budget", type=float, default=None, help="seconds after which no other benchmark begins")


def pytest_configure(config: pytest.Config) -> None:
    for line in _IGNORED:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(1200))  # a contest has dozens of rounds; only what hangs is to end
    items.sort(key=lambda item: _FIRST.index(item.path.name) if item.path.name in _FIRST else len(_FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    budget = item.config.getoption("--budget")
    if budget is not None and perf_counter() - _BEGUN > budget:
        pytest.skip(f"the budget of {budget:.0f} s is spent")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PytestBenchmarkWarning)  # that none ran, which results.py tells
        return (yield)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["onthefly"] = machine_of(default_device())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    benchmarks = session.benchmarks if session is not None else []
    for one in benchmarks:
        if "bench" in one.extra_info:
            terminalreporter.section(one.extra_info["title"])
            terminalreporter.write_line(str(Bench.from_plain(one.extra_info["bench"])))
        if "memory" in one.extra_info:
            memory = one.extra_info["memory"]
            terminalreporter.section(memory["name"])
            terminalreporter.write_line(f"{memory['what']}: {memory['megabytes']}; grown by {memory['growth']} MB")
    terminalreporter.section("throughput over that of the peer: median of the pairs (least to most)")
    for one in benchmarks:
        if "ratios" not in one.extra_info:
            continue
        info = one.extra_info
        low, high = info["ratios"]
        note = f"  {info['note']}" if "note" in info else ""
        pair = f"{info['name']} / {info['against']}"
        terminalreporter.write_line(f"{one.group:<36} {pair:<62} {info['ratio']:6.2f} ({low:.2f} to {high:.2f}){note}")
