"""Agreement: would a classifier that was trained on real data name the class that a generator was asked for?

python benchmarks/agreement.py DATASET CHECKPOINT... --data DIR --json FILE

Beside it stands how often the same classifier is right about real data that it has not seen.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Subset

from onthefly.data.hermetic import hermetic
from onthefly.generators import load
from onthefly.reading import Clips, Named, Pictures, Rows, Texts, split

Ints = NDArray[np.int64]
Judge = Callable[[Any], Ints]  # samples to their classes

EPOCHS = {"mnist": 12, "cifar10": 24, "fsdd": 30}
EACH = 200  # synthetic samples of each class
TAKES = 5  # of each digit and speaker in FSDD, kept for the test


class Real(NamedTuple):
    """Real data, divided as its authors do."""

    train: Any
    test: Any
    names: tuple[str, ...]


def real_data(name: str, folder: Path, unpacked: Path) -> Real:
    """A data set by name; archives are looked for in ``unpacked``."""
    if name == "mnist":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that only one file of it is there
            train, test = (Named("MNIST", data=folder / "mnist", which=which) for which in ("train", "test"))
    elif name == "cifar10":
        train, test = (Pictures(unpacked / "cifar10" / which, size=32) for which in ("train", "test"))
    elif name == "fsdd":
        clips = Clips(unpacked / "fsdd" / "recordings", seconds=1.0, pattern="{label}_{speaker}_{take}.wav")
        is_test = np.array([int(take) < TAKES for take in clips.attributes["take"]])
        parts = (Subset(clips, np.flatnonzero(which).tolist()) for which in (~is_test, is_test))
        return Real(*parts, clips.classes or ())
    elif name == "sms":
        train, test = split(Texts(folder / "sms_spam" / "SMSSpamCollection.tsv"), 0.2)
    else:
        train, test = split(Rows(folder / "mammography" / "mammography.csv"), 0.2)
    return Real(train, test, tuple(train.classes))


def whole(dataset: Any) -> tuple[Any, Ints]:
    """All samples of a dataset, and their classes."""
    samples, labels = zip(*(dataset[row] for row in range(len(dataset))), strict=True)
    return torch.stack(samples) if isinstance(samples[0], Tensor) else list(samples), np.array(labels, np.int64)


def judge_of(name: str, samples: Any, labels: Ints, classes: int) -> Judge:
    """A classifier of the kind that suits the data, trained on these."""
    if name == "sms":
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        return make_pipeline(words, LogisticRegression(C=30, class_weight="balanced")).fit(samples, labels).predict
    if name == "mammography":
        from sklearn.ensemble import HistGradientBoostingClassifier

        found = HistGradientBoostingClassifier(class_weight="balanced", random_state=0).fit(samples.numpy(), labels)
        return lambda rows: found.predict(rows.numpy())
    return trained(pictures(samples), torch.from_numpy(labels), classes, EPOCHS[name], mirror=name == "cifar10")


def pictures(samples: Tensor) -> Tensor:
    """Sounds as their spectrograms."""
    if samples.ndim == 4:
        return samples
    from torchaudio.transforms import MelSpectrogram

    return (MelSpectrogram(8000, n_fft=256, hop_length=128, n_mels=40)(samples) + 1e-5).log() / 4 + 1


def trained(images: Tensor, labels: Tensor, classes: int, epochs: int, *, mirror: bool) -> Judge:
    """A small convolutional network, trained with shifts, and mirrored where that means nothing."""
    with hermetic(0):
        network = _network(images.shape[1], classes)
        optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.01)
        steps = epochs * len(images) // 128
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in range(steps):
            rows = torch.randint(len(images), (128,))
            batch = torch.roll(images[rows], tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3))
            if mirror and torch.rand(()) < 0.5:
                batch = batch.flip(3)
            optimiser.zero_grad()
            F.cross_entropy(network(batch), labels[rows], label_smoothing=0.05).backward()
            optimiser.step()
            schedule.step()
    network.eval()

    @torch.no_grad()
    def judge(samples: Tensor) -> Ints:
        return torch.cat([network(some).argmax(dim=1) for some in pictures(samples).split(256)]).numpy()

    return judge


def _network(channels: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((channels, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, classes))


def by_class(judged: Ints, labels: Ints, names: tuple[str, ...]) -> dict[str, float]:
    """The share of each class that was named."""
    return {name: round(float((judged[labels == at] == at).mean()), 3) for at, name in enumerate(names)}


def agreement(checkpoint: Path, judge: Judge, names: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """What a checkpoint's samples are taken for."""
    made = load(checkpoint, **options)
    labels = torch.arange(len(names)).repeat_interleave(EACH)
    keys = torch.arange(len(labels)) + 10_000
    some = [made.sample(*part) for part in zip(labels.split(100), keys.split(100), strict=True)]
    samples = torch.cat(some) if isinstance(some[0], Tensor) else [text for part in some for text in part]
    found = by_class(judge(samples), labels.numpy(), names)
    return {
        "family": (made.card or {})["family"],
        "mean": round(float(np.mean(list(found.values()))), 3),
        "each": found,
    }


def main() -> None:
    """Judge checkpoints, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["mnist", "cifar10", "fsdd", "sms", "mammography"])
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--unpacked", type=Path, default=Path())
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    real = real_data(asked.dataset, asked.data, asked.unpacked)
    samples, labels = whole(real.train)
    judge = judge_of(asked.dataset, samples, labels, len(real.names))
    tested, answers = whole(real.test)
    right = by_class(judge(tested), answers, real.names)
    found = {"real test data": {"mean": round(float(np.mean(list(right.values()))), 3), "each": right}}
    print(json.dumps(found))
    for path in asked.checkpoints:
        found[path.stem] = agreement(path, judge, real.names)
        print(path.stem, json.dumps(found[path.stem]), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps({asked.dataset: found}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
