"""Trains with Hugging Face's Trainer: all of it, and the rest of it from a checkpoint."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

import onthefly
from onthefly import MixLoader
from onthefly.testing import CountingGenerator
from tests.frameworks.training import CLASSES, EPOCHS, FEWER, GLOBAL_BATCH, SHAPE, images, network, seen
from tests.processes import keep, leave

PROCESSES = int(os.environ["WORLD_SIZE"])


class Named(Dataset[Any]):
    """Samples as Hugging Face's models take them."""

    def __init__(self) -> None:
        self.pixels, self.labels = images().tensors

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"pixel_values": self.pixels[row], "labels": self.labels[row]}


def mixed() -> MixLoader[Any]:
    data = Named()
    loader = DataLoader(data, GLOBAL_BATCH // PROCESSES, shuffle=True)
    generator = CountingGenerator(SHAPE, CLASSES).map(lambda x, y: {"pixel_values": x, "labels": y})
    return onthefly.wrap(
        loader, generator, ratio=FEWER, epochs=EPOCHS, seed=5, labels=data.labels, device="cpu", tag=True
    )


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.cross_entropy(self.network(pixel_values), labels)}


class Mixed(Trainer):
    def __init__(self, loader: MixLoader[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loader, self.batches = loader, [[] for _ in range(EPOCHS)]

    def get_train_dataloader(self) -> DataLoader[Any]:
        return self.loader

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *rest: Any) -> Tensor:
        mix = inputs.pop("mix")
        self.batches[self.loader.state_dict()["epoch"]].append(seen(inputs["pixel_values"], inputs["labels"], mix))
        return super().training_step(model, inputs, *rest)


class KeepPlace(TrainerCallback):
    """The loader's place in training, in every checkpoint."""

    def __init__(self, loader: MixLoader[Any]) -> None:
        self.loader = loader

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            torch.save(self.loader.state_dict(), Path(args.output_dir, f"checkpoint-{state.global_step}", "loader.pt"))


def train(folder: Path, checkpoint: str | None = None, skip: bool = True) -> dict[str, Any]:
    torch.manual_seed(0)
    loader = mixed()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=GLOBAL_BATCH // PROCESSES,
        learning_rate=0.1,
        save_strategy="steps" if checkpoint is None else "no",
        save_steps=7,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        ignore_data_skip=skip,
    )
    trainer = Mixed(loader, Model(), arguments, callbacks=[KeepPlace(loader)])
    if checkpoint is not None:
        loader.load_state_dict(torch.load(folder / checkpoint / "loader.pt"))
        checkpoint = str(folder / checkpoint)
    trainer.train(resume_from_checkpoint=checkpoint)
    weights = [part.detach() for part in trainer.model.parameters()]
    return {"batches": trainer.batches, "weights": weights, "step": trainer.state.global_step}


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"whole": train(folder), "rest": train(folder, "checkpoint-7")}
    try:
        train(folder, "checkpoint-7", skip=False)
    except TypeError as error:
        found["skipped"] = str(error)
    keep(folder, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
