"""Trains with Lightning's Trainer: all of it, the rest of it from checkpoints, and without a plan."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from onthefly import MixLoader
from onthefly.schedule import Feedback
from tests.frameworks.training import EPOCHS, augmented, mixed, network, plain, rows_of, seen
from tests.processes import keep as keep_found
from tests.processes import leave

PROCESSES = int(os.environ["WORLD_SIZE"])


class Classifier(LightningModule):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.network, self.make, self.batches = network(), make, [[] for _ in range(EPOCHS)]
        self.recall = [[0.9, 0.9, 0.9, 0.9], [0.9, 0.5, 0.1, 0.9], [0.1, 0.1, 0.1, 0.1]]

    def train_dataloader(self) -> DataLoader[Any]:
        return self.make()

    def training_step(self, batch: Any, number: int) -> Any:
        x, y, *info = batch
        self.batches[self.current_epoch].append(seen(x, y, *info) if info else rows_of(x))
        return torch.nn.functional.cross_entropy(self.network(x), y)

    def on_train_epoch_end(self) -> None:
        loader: Any = self.trainer.train_dataloader
        if loader.plan is not None and isinstance(loader.plan.schedule, Feedback):
            loader.feedback(self.recall[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class KeepMix(Callback):
    """What was told to a loader, in the checkpoints of ends of epochs too."""

    def __init__(self, loader: MixLoader[Any]) -> None:
        self.loader = loader

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)


def fit(
    folder: Path, make: Any, checkpoint: str | None = None, hook: bool = True, epochs: int = EPOCHS, keep: bool = False
) -> Any:
    torch.manual_seed(0)
    loader = make()
    model = Classifier(lambda: loader if keep else make())
    saved = (
        ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1),
        ModelCheckpoint(folder, "end-{epoch}", every_n_epochs=1, save_on_train_epoch_end=True, save_top_k=-1),
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=PROCESSES,
        strategy="ddp" if PROCESSES > 1 else "auto",
        max_epochs=epochs,
        logger=False,
        callbacks=[*(saved if checkpoint is None else ()), *([KeepMix(loader)] if keep else ())],
        enable_checkpointing=checkpoint is None,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, None if hook else loader, ckpt_path=checkpoint and str(folder / checkpoint))
    return {"batches": model.batches, "weights": [part.detach() for part in model.parameters()]}


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    found = {"whole": fit(folder / "mix", lambda: mixed(PROCESSES), hook=False)}
    for name in ("step=7", "step=10", "end-epoch=1"):
        found[name] = fit(folder / "mix", lambda: mixed(PROCESSES), name + ".ckpt")
    for name, checkpoint in {"told": None, "told again": "end-epoch=1.ckpt"}.items():
        found[name] = fit(folder / "told", lambda: mixed(PROCESSES, Feedback(0.8)), checkpoint, keep=True)
    found["augmented"] = fit(folder / "augmented", lambda: augmented(plain(PROCESSES)), hook=False, epochs=1)
    keep_found(folder, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
