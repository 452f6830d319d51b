"""Contenders are timed against a named peer in turn, A B A B, so that a machine that slows down slows both."""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest

Versus = Callable[..., None]


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


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    terminalreporter.section("throughput over that of the peer: median of the pairs (least to most)")
    for one in session.benchmarks if session is not None else ():
        info = one.extra_info
        low, high = info["ratios"]
        note = f"  {info['note']}" if "note" in info else ""
        pair = f"{info['name']} / {info['against']}"
        terminalreporter.write_line(f"{one.group:<36} {pair:<62} {info['ratio']:6.2f} ({low:.2f} to {high:.2f}){note}")
