"""Starts scripts in processes of their own, several that can talk to each other among them, as users do."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}


def run(*arguments: str | Path, folder: Path, timeout: float = 120) -> None:
    """Python with some arguments, in a folder; fails with what it printed, and leaves nothing behind."""
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as job:
        try:
            output, _ = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            job.terminate()  # torchrun ends its processes
            output, _ = job.communicate(timeout=30)
            output = f"took longer than {timeout} s\n{output}"
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 0, output


def torchrun(module: str, folder: Path, processes: int = 2) -> list[Any]:
    """Run a module in several processes, with the folder as its argument; what each of them kept there."""
    launcher = ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--module")
    run("-m", *launcher, module, folder, folder=folder)
    return kept(folder, processes)


def keep(folder: str | Path, what: Any) -> None:
    """Keep what this process has found, for the test that started it."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save(what, Path(folder) / f"rank{rank}.pt")


def leave() -> None:
    """End in good order: a process that ends while another still talks to it can take that down."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def kept(folder: Path, processes: int) -> list[Any]:
    """What each process has kept in a folder."""
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]
