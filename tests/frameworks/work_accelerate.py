"""Trains with Accelerate: all of it, the rest of it from a checkpoint, and without a plan."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import onthefly
from tests.frameworks.training import EPOCHS, augmented, images, mixed, network, plain, rows_of, seen
from tests.processes import keep, leave

PROCESSES = int(os.environ["WORLD_SIZE"])


def train(folder: Path, save_at: tuple[int, int] | None = None, load: bool = False) -> dict[str, Any]:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    mine, model = mixed(PROCESSES, num_workers=1), network()
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1), mine)
    if load:
        accelerator.load_state(folder / "state")
    first = loader.state_dict()["epoch"]
    batches: list[list[Any]] = [[] for _ in range(EPOCHS)]
    steps, rows = [], []
    for epoch in range(first, EPOCHS):
        for x, y, info in loader:
            batches[epoch].append(seen(x, y, info))
            with accelerator.accumulate(model):
                accelerator.backward(torch.nn.functional.cross_entropy(model(x), y))
                steps.append(accelerator.sync_gradients)
                optimizer.step()
                optimizer.zero_grad()
            rows.append(len(accelerator.gather_for_metrics(y.tolist(), use_gather_object=True)))
            if save_at == (epoch, len(batches[epoch])):
                accelerator.save_state(folder / "state")
    weights = [part.detach() for part in model.parameters()]
    return {"batches": batches, "weights": weights, "kept": loader is mine, "steps": steps, "rows": rows}


def told(call: Any) -> str:
    """What the user is told."""
    try:
        call()
    except (RuntimeError, TypeError) as error:
        return str(error)
    return ""


def without_a_plan() -> dict[str, Any]:
    """Loaders that Accelerate would have to divide, or can leave to others."""
    prepare = Accelerator(cpu=True).prepare
    rank = torch.distributed.get_rank() if PROCESSES > 1 else 0
    divided = DataLoader(images(), 4, sampler=DistributedSampler(images(), PROCESSES, rank))
    prepared = prepare(plain(PROCESSES))
    loaders = {
        "plain": prepare(onthefly.wrap(plain(PROCESSES), device="cpu")),
        "divided": prepare(augmented(divided)),
        "planned": prepare(augmented(plain(PROCESSES), labels=0, balance="uniform")),
        "wrapped": prepare(augmented(prepared, sharded=True, length=len(prepared))),
    }
    refused = told(lambda: list(prepare(augmented(plain(PROCESSES)))))
    return {"refused": refused} | {name: [rows_of(x) for x, _ in loader] for name, loader in loaders.items()}


def main(folder: Path) -> None:
    found: dict[str, Any] = {"whole": train(folder, save_at=(1, 2)), "rest": train(folder, load=True)}
    found |= without_a_plan()
    found["skipped"] = told(lambda: [x for x, _ in skip_first_batches(mixed(PROCESSES), 2)])
    keep(folder, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
