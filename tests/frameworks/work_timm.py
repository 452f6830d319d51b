"""Trains as timm's training script does, with timm's model, optimizer, schedule, meters and averaged weights."""

import sys
from pathlib import Path
from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, ModelEmaV3, distribute_bn, init_distributed_device, reduce_tensor
from torch.nn.parallel import DistributedDataParallel

from tests.frameworks.training import CLASSES, EPOCHS, mixed, seen
from tests.processes import keep, leave


class Arguments:
    device = "cpu"
    dist_backend = "gloo"
    dist_url = None


def train(args: Any, first_epoch: int = 0, state: dict[str, Any] | None = None) -> tuple[list[list[Any]], Any]:
    loader = mixed(args.world_size)
    if state is not None:
        loader.load_state_dict(state)
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=CLASSES).to(args.device)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1)
    average = ModelEmaV3(model, decay=0.9)
    if args.distributed:
        model = DistributedDataParallel(model)
    updates_per_epoch = len(loader)
    scheduler, epochs = create_scheduler_v2(
        optimizer, num_epochs=EPOCHS, updates_per_epoch=updates_per_epoch, step_on_epochs=False
    )
    batches: list[list[Any]] = [[] for _ in range(epochs)]
    saved: dict[str, Any] = {}
    for epoch in range(first_epoch, epochs):
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        losses = AverageMeter()
        for number, (input, target, mix) in enumerate(loader):  # noqa: A001
            batches[epoch].append(seen(input, target, mix))
            loss = torch.nn.functional.cross_entropy(model(input), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update(model)
            losses.update(loss.item() if not args.distributed else reduce_tensor(loss.data, args.world_size).item())
            scheduler.step_update(num_updates=epoch * updates_per_epoch + number)
            if (epoch, number) == (1, 1):
                saved = loader.state_dict()
        if args.distributed:
            distribute_bn(model, args.world_size, True)
        scheduler.step(epoch + 1, losses.avg)
    return batches, saved


def main(folder: Path) -> None:
    args: Any = Arguments()
    init_distributed_device(args)
    whole, state = train(args)
    rest, _ = train(args, 1, state)
    keep(folder, {"whole": {"batches": whole}, "rest": {"batches": rest}})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
