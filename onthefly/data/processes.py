"""Several processes that train together: which one this is, and whether they agree."""

from collections.abc import Mapping
from typing import Any

from torch import distributed

from onthefly.mixing.ranks import Shard


class DisagreementError(ValueError):
    """Processes that are to deliver the same mix don't; no batch has been asked for yet."""


def this_shard() -> Shard:
    """This process's part: what ``torch.distributed`` says now, all of it where that is not initialised."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Shard()
    return Shard(distributed.get_rank(), distributed.get_world_size())


def check_agreement(mine: Mapping[str, Any]) -> None:
    """Compare plain values among all processes, each of which must call this.

    Raises:
        DisagreementError: in every process, if any of them differs, naming what differs and both values.
    """
    rank, world = distributed.get_rank(), distributed.get_world_size()
    everyone: list[Any] = [None] * world
    distributed.all_gather_object(everyone, dict(mine))
    for other, theirs in enumerate(everyone):
        lines = disagreements(everyone[0], theirs)
        if lines:
            raise DisagreementError(
                f"ranks: expected all {world} processes to deliver the same mix, found that rank {other} differs from "
                f"rank 0 (this is rank {rank}); wrap the loader alike in all, and iterate it in all or in none:\n  "
                + "\n  ".join(lines)
            )


def most_of_all(mine: int) -> int:
    """The largest of the numbers of all processes, each of which must call this."""
    world = this_shard().world
    everyone = [mine] * world
    if world > 1:
        distributed.all_gather_object(everyone, mine)
    return max(everyone)


def disagreements(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One line for each value that differs."""
    return [
        f"{name}: expected {expected.get(name)!r}, found {found.get(name)!r}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
