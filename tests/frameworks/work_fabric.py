"""Trains with Fabric: all of it, and the rest of it from a checkpoint."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from tests.frameworks.training import EPOCHS, augmented, mixed, network, plain, rows_of, seen
from tests.processes import keep, leave

PROCESSES = int(os.environ["WORLD_SIZE"])


def train(fabric: Fabric, folder: Path, save_at: tuple[int, int] | None = None, load: bool = False) -> dict[str, Any]:
    torch.manual_seed(0)
    loader = fabric.setup_dataloaders(mixed(PROCESSES))
    model, optimizer = fabric.setup(model := network(), torch.optim.SGD(model.parameters(), lr=0.1))
    state = {"model": model, "optimizer": optimizer, "loader": loader, "epoch": 0}
    if load:
        fabric.load(folder / "state.ckpt", state)
    batches: list[list[Any]] = [[] for _ in range(EPOCHS)]
    for epoch in range(state["epoch"], EPOCHS):
        for x, y, info in loader:
            batches[epoch].append(seen(x, y, info))
            optimizer.zero_grad()
            fabric.backward(torch.nn.functional.cross_entropy(model(x), y))
            optimizer.step()
            if save_at == (epoch, len(batches[epoch])):
                fabric.save(folder / "state.ckpt", {**state, "epoch": epoch})
    return {"batches": batches, "weights": [part.detach() for part in model.parameters()]}


def main(folder: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=PROCESSES, strategy="ddp" if PROCESSES > 1 else "auto")
    fabric.launch()
    whole = train(fabric, folder, save_at=(1, 2))
    rest = train(fabric, folder, load=True)
    without_a_plan = fabric.setup_dataloaders(augmented(plain(PROCESSES)))
    keep(folder, {"whole": whole, "rest": rest, "augmented": [rows_of(x) for x, _ in without_a_plan]})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
