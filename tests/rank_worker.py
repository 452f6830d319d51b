"""What each process of ``test_ranks.py`` runs: wrap, iterate, write down what came."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader, TensorDataset

import onthefly
from onthefly import MixLoader
from onthefly.schedule import Feedback, Linear
from onthefly.testing import CountingGenerator

GLOBAL = 24
LABELS = torch.arange(61) % 7 // 3


def wrap(world: int, seed: int = 0) -> MixLoader[Any]:
    images = torch.rand(len(LABELS), 1, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = DataLoader(TensorDataset(images, LABELS), GLOBAL // world, shuffle=True)
    ratio = Feedback(Linear(0.2, 0.8))
    return onthefly.wrap(
        plain, CountingGenerator((1, 4, 4), 3), ratio=ratio, epochs=3, seed=seed, tag=True, device="cpu"
    )


def record(batch: Any) -> dict[str, list[Any]]:
    images, _, info = batch
    slots = {name: getattr(info, name).tolist() for name in ("label", "key", "source")}
    return slots | {"pixels": images.double().sum(dim=(1, 2, 3)).tolist()}


def deliver(loader: MixLoader[Any], again: MixLoader[Any]) -> list[dict[str, list[Any]]]:
    came = [record(batch) for batch in loader]
    loader.feedback([0.9, 0.9, 0.9])
    loader.feedback([0.9, 0.2, 0.9])
    batches = iter(loader)
    came += [record(next(batches))]
    again.load_state_dict(loader.state_dict())
    return came + [record(batch) for _ in range(2) for batch in again]


def disagree(world: int, rank: int) -> dict[str, str]:
    """What each disagreement is answered with."""
    loaders = {"seed": wrap(world, seed=rank), "epoch": wrap(world), "feedback": wrap(world)}
    loaders["epoch"].set_epoch(rank)
    loaders["feedback"].feedback([0.5, 0.5, 0.5 + 0.1 * rank])
    return {name: refusal(loader) for name, loader in loaders.items()}


def refusal(loader: MixLoader[Any]) -> str:
    try:
        next(iter(loader))
    except ValueError as error:
        return str(error)
    return "nothing"


class Slow(CountingGenerator):
    """Takes longer in one process than in another."""

    def sample(self, labels: torch.Tensor, keys: torch.Tensor, sources: Any = None) -> torch.Tensor:
        time.sleep(0.001 * (1 + distributed.get_rank()) * len(keys))
        return super().sample(labels, keys)


def keep_to_a_budget(world: int) -> dict[str, Any]:
    """What each process comes to."""
    generator = Slow((1, 4, 4), 3).reused(max_overhead=2)
    generator.batch_size = 4
    data = TensorDataset(torch.rand(len(LABELS), 1, 4, 4), LABELS)
    plain = DataLoader(data, GLOBAL // world, shuffle=True, drop_last=True)
    loader = onthefly.wrap(plain, generator, ratio=0.9, device="cpu")
    for _ in (batch for _ in range(3) for batch in loader):
        time.sleep(0.005)
    return {"log": [change.to_plain() for change in loader.log], "reused": int(loader.stats().reused.sum())}


def main(folder: Path, what: str) -> None:
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    loader, again = wrap(world), wrap(world)  # before the process group, as under Lightning
    distributed.init_process_group("gloo")
    came: Any
    if what == "deliver":
        came = deliver(loader, again)
    else:
        came = disagree(world, rank) if what == "disagree" else keep_to_a_budget(world)
    (folder / f"{rank}.json").write_text(json.dumps(came))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
