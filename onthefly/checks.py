"""What wrap refuses, and what it warns of: everything that would be lost, or go wrong later, without a word."""

import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler

from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.mixing.plan import MixPlan


def as_generator(generator: Any) -> FrozenGenerator | None:
    """The generator that a user means by itself, by the path of its checkpoint, or by None."""
    if isinstance(generator, (str, Path)):
        return load(generator)
    if generator is None or isinstance(generator, FrozenGenerator):
        return generator
    hint = "wrap it with from_module(...)" if isinstance(generator, torch.nn.Module) else "load one, or train one"
    raise TypeError(
        f"generator: expected a FrozenGenerator or the path of a checkpoint, found a {type(generator).__name__}; {hint}"
    )


def check_loader(loader: Any) -> None:
    """Refuse what can't be wrapped at all."""
    if not isinstance(loader, DataLoader):
        raise TypeError(
            f"wrap: expected a torch.utils.data.DataLoader, found a {type(loader).__name__}; write "
            "wrap(DataLoader(dataset, ...), ...)"
        )
    for method in ("__iter__", "__len__"):
        if getattr(type(loader), method) is not getattr(DataLoader, method):
            raise TypeError(
                f"wrap: {type(loader).__name__} has a {method} of its own, which would be lost; expected a plain "
                "DataLoader of its dataset"
            )
    if loader.batch_size is None and loader.batch_sampler is None:
        raise ValueError(
            "wrap: expected a loader that makes batches, found batch_size=None; write DataLoader(dataset, "
            "batch_size=64, ...)"
        )
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            "wrap: expected a map-style dataset, with len() and dataset[i], found the IterableDataset "
            f"{type(loader.dataset).__name__}, whose samples can't be planned; give its samples to a list or a "
            "map-style dataset"
        )
    dataset: Any = loader.dataset
    if not hasattr(dataset, "__len__"):
        raise TypeError(
            f"dataset: expected a map-style dataset, with len() and dataset[i], found a {type(dataset).__name__} "
            "without __len__; define it"
        )
    if len(dataset) == 0:
        raise ValueError(f"dataset: expected at least one sample, found an empty {type(dataset).__name__}")


def as_plannable(loader: DataLoader[Any]) -> BatchSampler:
    """How a loader makes its batches; refuses what a plan would take away without a word, and warns of what looks like
    validation data."""
    batches, dataset = loader.batch_sampler, cast(Any, loader.dataset)
    if type(batches) is not BatchSampler:
        raise ValueError(
            f"wrap: the batches of {type(batches).__name__} would be lost, since the mix plans every batch; write "
            "DataLoader(dataset, batch_size=..., shuffle=True), and say what it is for with balance="
        )
    sampler = batches.sampler
    replaced = isinstance(sampler, RandomSampler) and (sampler.replacement or sampler.num_samples != len(dataset))
    if type(sampler) not in (RandomSampler, SequentialSampler) or replaced:
        raise ValueError(
            f"wrap: the sampler {type(sampler).__name__} would be lost, since the mix plans every batch; write "
            "shuffle=True instead of it, and say what it is for with balance= ('natural', 'uniform', {class: share})"
        )
    if (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_world_size() > 1
    ):
        raise ValueError(
            f"wrap: expected one process, found {torch.distributed.get_world_size()}: a mix is not yet divided among "
            "them, and each would get all of it; train with one process"
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


def check_some_synthetic(plan: MixPlan) -> None:
    """Warn if no slot will be synthetic, at any time."""
    if any((plan.ratio(progress) * plan.shares).any() for progress in np.linspace(0, 1, 101)):
        return
    warnings.warn(
        f"wrap: no synthetic sample is planned: with {plan.schedule} and {plan.balance} every class has enough real "
        "ones; ask for some with ratio=0.3, or for another balance",
        stacklevel=3,
    )
