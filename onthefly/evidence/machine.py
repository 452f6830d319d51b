"""The machine: what a figure was measured on, without which it says nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from onthefly.version import __version__

_PACKAGES = ("torch", "torchvision", "kornia", "numpy")


def machine_of(device: torch.device) -> dict[str, str | int]:
    """What is measured on, and when: processor, cores, device, versions, the date; as values that JSON can hold.

    >>> sorted(machine_of(torch.device("cpu")))
    ['cores', 'date', 'device', 'kornia', 'numpy', 'onthefly', 'processor', 'python', 'system', 'threads', 'torch',
    'torchvision']
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "onthefly": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """Linux says which model it is in a file only."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
