"""What wrap refuses, and what it warns of: everything that would be lost, or go wrong later, without a word."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from onthefly.data.batches import size_of
from onthefly.data.processes import this_shard
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.mixing.balance import NAMED
from onthefly.mixing.classes import Classes
from onthefly.mixing.plan import MixPlan
from onthefly.mixing.stream import StreamPlan


def as_generators(generator: Any) -> Any:
    """The generator that a user means by itself, by the path of its checkpoint, by ``{class: either}``, or by None."""
    if isinstance(generator, Mapping):
        return {key: as_generators(one) for key, one in generator.items()}
    if isinstance(generator, (str, Path)):
        return load(generator)
    if generator is None or isinstance(generator, FrozenGenerator):
        return generator
    hint = "wrap it with from_module(...)" if isinstance(generator, torch.nn.Module) else "load one, or train one"
    raise TypeError(
        f"generator: expected a FrozenGenerator or the path of a checkpoint, found a {type(generator).__name__}; {hint}"
    )


def is_streamed(loader: Any) -> bool:
    """Whether a loader's batches are known only when they come."""
    if not isinstance(loader, DataLoader) or not is_stock(loader) or isinstance(loader.dataset, IterableDataset):
        return True
    return loader.batch_size is None and type(loader.batch_sampler) is not BatchSampler


def is_stock(loader: DataLoader[Any]) -> bool:
    """Whether a loader makes its batches as torch's own does."""
    return all(getattr(type(loader), name) is getattr(DataLoader, name) for name in ("__iter__", "__len__"))


def check_dataset(dataset: Any) -> None:
    """Refuse a dataset that can't be planned."""
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            f"dataset: expected a map-style dataset, with len() and dataset[i], found a {type(dataset).__name__} "
            "without __len__; define it"
        )
    if len(dataset) == 0:
        raise ValueError(f"dataset: expected at least one sample, found an empty {type(dataset).__name__}")


def refuse_stream_options(**options: Any) -> None:
    """Refuse what means nothing for this loader."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(
            f"{given[0]}: expected a stream of batches to mix (an iterable dataset, an iterable of batches), found a "
            f"loader that needs none of it; leave {', '.join(given)} out"
        )


def check_stream_options(loader: Any, balance: Any) -> None:
    """Refuse a balance for batches that somebody else puts together for a reason."""
    batches = getattr(loader, "batch_sampler", None)
    natural = balance is None or balance == "natural" or balance == NAMED["natural"]
    if not natural and batches is not None and not isinstance(loader.dataset, IterableDataset) and is_stock(loader):
        raise ValueError(
            f"wrap: the batches of {type(batches).__name__} would be lost, since the mix plans every batch with "
            f"balance={balance!r}; write DataLoader(dataset, batch_size=..., shuffle=True), or leave balance= out to "
            "keep them"
        )


def counts_of(counts: Any, generators: Any) -> tuple[Classes, Any]:
    """The classes of a stream, and the real samples of each if they were given: in order, or ``{class: number}``."""
    if isinstance(counts, Mapping):
        classes = Classes.of_keys(counts, "counts")
        given = {classes.number(key, "counts"): number for key, number in counts.items()}
        return classes, [given.get(number, 0) for number in range(classes.count)]
    if isinstance(generators, Mapping):
        classes = Classes.of_keys(generators, "generator")
    elif generators is not None:
        classes = generators.classes
    elif counts is None:
        raise ValueError(
            "counts: expected to know the classes of the stream; pass counts={class: real samples of a pass}"
        )
    else:
        classes = Classes.of(len(counts))
    return classes if counts is None or len(counts) == classes.count else Classes.of(len(counts)), counts


def as_batch_labels(labels: Any) -> Callable[[Any], Any] | None:
    """How the class of every row of a batch is told: by the batch itself, by a function, or not at all, for one
    group."""
    if labels is None:
        return None
    if callable(labels):
        return cast(Callable[[Any], Any], labels)
    if isinstance(labels, int) and labels == 0:
        return _one_group
    raise ValueError(
        f"labels: expected a function from a batch to the class of each row, or 0 for one group, found {labels!r}; a "
        "stream's rows have no numbers: write labels=lambda batch: batch[1]"
    )


def _one_group(batch: Any) -> Any:
    return np.zeros(size_of(batch), np.int64)


def as_plannable(loader: DataLoader[Any]) -> BatchSampler:
    """How a loader makes its batches; refuses what a plan would take away without a word, and warns of what looks like
    validation data."""
    batches, dataset = cast(BatchSampler, loader.batch_sampler), cast(Any, loader.dataset)
    sampler = batches.sampler
    replaced = isinstance(sampler, RandomSampler) and (sampler.replacement or sampler.num_samples != len(dataset))
    if type(sampler) not in (RandomSampler, SequentialSampler) or replaced:
        raise ValueError(
            f"wrap: the sampler {type(sampler).__name__} would be lost, since the mix plans every batch; write "
            "shuffle=True instead of it, and say what it is for with balance= ('natural', 'uniform', {class: share})"
        )
    if not loader.in_order:
        raise ValueError("wrap: expected in_order=True, found False: a planned stream has an order; leave in_order out")
    if isinstance(sampler, SequentialSampler):
        warnings.warn(
            "wrap: this loader isn't shuffled, as loaders of validation data aren't; its samples will be mixed and "
            "shuffled. If it is training data, write shuffle=True",
            stacklevel=3,
        )
    return batches


def check_divided(loader: DataLoader[Any]) -> None:
    """Refuse a loader without a plan that nothing divides among the processes, where something trusts that it is."""
    samplers = (loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    processes = this_shard().world
    if processes > 1 and not any(isinstance(sampler, DistributedSampler) for sampler in samplers):
        raise RuntimeError(
            f"MixLoader: expected a loader that is divided among {processes} processes, found the sampler "
            f"{type(loader.sampler).__name__}, with which each gets all of it; let the mix divide it: wrap(loader, "
            "augment=..., labels=0, balance='uniform'), or wrap what Accelerate has divided: "
            "wrap(accelerator.prepare(loader), augment=..., sharded=True, length=...)"
        )


def warn_of_repeating(step: int) -> None:
    """Warn if an epoch that was under way begins again, where its order is not ours to restore."""
    if step:
        warnings.warn(
            f"MixLoader.load_state_dict: {step} batches of this epoch were delivered, and the next pass begins it "
            "again: without a plan the order is that of the loader's own sampler; to go on exactly, let the mix plan "
            "it, with labels=0 and balance='uniform' if classes don't matter",
            stacklevel=3,
        )


def check_some_synthetic(plan: MixPlan | StreamPlan) -> None:
    """Warn if no slot will be synthetic, at any time."""
    if any((plan.ratio(progress) * plan.shares).any() for progress in np.linspace(0, 1, 101)):
        return
    warnings.warn(
        f"wrap: no synthetic sample is planned: with {plan.schedule} and {plan.balance} every class has enough real "
        "ones; ask for some with ratio=0.3, or for another balance",
        stacklevel=3,
    )
