"""Trains with Ray Train: in the processes that torchrun started, or in those of a cluster."""

import sys
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
from torch.utils.data import DataLoader

from tests.frameworks.training import EPOCHS, augmented, mixed, network, plain, seen
from tests.processes import keep


def told(loader: DataLoader[Any]) -> str:
    """What the user is told who trains on it."""
    try:
        for _x, _y in loader:
            pass
    except TypeError as error:
        return str(error)
    return ""


def train(config: dict[str, Any]) -> None:
    """What each worker does; it keeps what it found, since processes of a cluster are not ours."""
    world = ray.train.get_context().get_world_size()
    found: dict[str, Any] = {}
    for move in (False, True):
        torch.manual_seed(0)
        mine, model = mixed(world), prepare_model(network())
        loader = prepare_data_loader(mine, move_to_device=move)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches: list[list[Any]] = [[] for _ in range(EPOCHS)]
        places = []
        for epoch in range(EPOCHS):
            loader.sampler.set_epoch(epoch)
            for x, y, info in loader:
                places.append(mine.state_dict()["step"])
                batches[epoch].append(seen(x, y, info))
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
        found[f"move={move}"] = {"batches": batches, "kept": loader is mine, "places": places}
    found["rebuilt"] = told(prepare_data_loader(augmented(plain(world))))
    keep(config["folder"], found)


def main(folder: Path, workers: int) -> None:
    if workers:
        ray.init(num_cpus=workers + 1, include_dashboard=False, configure_logging=False, log_to_driver=False)
    trainer = TorchTrainer(
        train,
        train_loop_config={"folder": str(folder)},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=False),
        run_config=RunConfig(storage_path=str(folder)),
    )
    trainer.fit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
