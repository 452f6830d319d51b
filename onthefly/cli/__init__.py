"""The command line: parse, call, print."""

import sys

import tyro

from onthefly.cli.bench import bench
from onthefly.cli.demo import demo
from onthefly.cli.explain import explain
from onthefly.cli.train import train

_ABOUT = "Mixes fresh samples from frozen generators into every batch of a PyTorch DataLoader."


def main() -> None:
    """Run the command line; what the user can mend is told in one line."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"demo": demo, "train": train, "explain": explain, "bench": bench}, prog="onthefly", description=_ABOUT
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"onthefly: {_told(error)}")


def _told(error: Exception) -> str:
    """What went wrong, without the traceback that a DataLoader's worker adds."""
    lines = str(error).strip().splitlines()
    return lines[-1] if any("Original Traceback" in line for line in lines) else str(error)
