"""PyTorch's own tests of its DataLoader, run with a class in its place.

PyTorch doesn't ship them: get `test/test_dataloader.py` of the version that is installed, and say where it is:

    ONTHEFLY_TORCH_TESTS=.../test_dataloader.py pytest tests/test_drop_in.py -k pytorch
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import torch.utils.data
from torch.utils.data import DataLoader

import onthefly
from onthefly import DeviceCollate, MixLoader
from onthefly.loader import Mix

T = TypeVar("T", covariant=True)


class NullLoader(MixLoader[T]):
    """A ``MixLoader`` whose mix changes nothing, so that every batch goes the way of ``MixIterator``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, mix=Mix(DeviceCollate(None, device="cpu")), **kwargs)


def wrapped(*args: Any, **kwargs: Any) -> MixLoader[Any]:
    """What ``wrap`` makes of a plain loader that it has nothing to add to."""
    return onthefly.wrap(DataLoader(*args, **kwargs), device="cpu")


STAND_INS: dict[str, Any] = {each.__name__: each for each in (DataLoader, MixLoader, NullLoader)}


def put_in(name: str) -> None:
    """Let everything imported from now on find another class where the DataLoader was."""
    torch.utils.data.DataLoader = STAND_INS[name]  # type: ignore[misc]


def outcomes(tests: Path, name: str, folder: Path) -> dict[str, str]:
    """Run PyTorch's tests with a stand-in: what became of each of them, "passed" or otherwise."""
    script = "from torch.utils.data import DataLoader,"  # in code that some tests hand to another Python
    text = tests.read_text().replace(script, f"from tests.drop_in import {name} as DataLoader\n{script[:-12]}")
    copied = folder / "test_dataloader.py"  # processes that the tests spawn import it again, by this name
    copied.write_text(f"from tests.drop_in import put_in\n\nput_in({name!r})\n{text}")
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[1]), *sys.path])
    run = subprocess.run(
        [*command, "--timeout=280", f"--junitxml={report}", "-o", "junit_family=xunit1", copied.name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if not report.exists():
        raise RuntimeError(run.stdout + run.stderr)
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}.{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    found = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return found[0] if found else "passed"
