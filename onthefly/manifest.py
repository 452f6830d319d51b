"""The manifest: what was delivered and from what; enough to make any planned sample again."""

import platform
import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from onthefly.checks import as_generators
from onthefly.data.batches import to_device, unbatch
from onthefly.data.images import on_image
from onthefly.data.labels import labels_of
from onthefly.data.normalize import Normalization
from onthefly.generators.base import FrozenGenerator
from onthefly.generators.checkpoint import load
from onthefly.generators.identity import identity
from onthefly.matching import match_classes
from onthefly.mixing.changes import from_plain as changes_from_plain
from onthefly.mixing.keys import Purpose
from onthefly.mixing.plain import from_plain, to_plain
from onthefly.mixing.plan import MixPlan, fingerprint_of
from onthefly.mixing.stream import StreamPlan
from onthefly.version import __version__

Manifest = dict[str, Any]
Generators = FrozenGenerator | Mapping[Any, FrozenGenerator] | None


def manifest_of(plan: MixPlan, dataset: Any, generator: Any, sources: Any) -> Manifest:
    """What a planned mix delivers, as values that JSON can hold; the generator as ``identities`` tells it, the sources
    as ``DeviceCollate.sources``."""
    classes = plan.classes
    return _common(plan, generator) | {
        "sources": sources if plan.sources else None,
        "dataset": {"is": type(dataset).__name__, "samples": len(plan.labels), "labels": plan.fingerprint},
        "plan": {
            "classes": classes.count if classes.names is None else list(classes.names),
            "real": plan.real.tolist(),
            "batch_size": plan.batch_size,
            "balance": to_plain(plan.balance),
            "ratio": to_plain(plan.schedule),
            "epochs": plan.epochs,
            "seed": plan.seed,
            "drop_last": plan.drop_last,
            "sources": plan.sources,
            "reuse": plan.reuse.times.tolist(),
        },
    }


def stream_manifest_of(plan: StreamPlan, generator: Any) -> Manifest:
    """The same for a stream, of which no sample can be made again by its place: that depends on what came."""
    return _common(plan, generator) | {"stream": plan.settings()}


def _common(plan: MixPlan | StreamPlan, generator: Any) -> Manifest:
    versions = {"onthefly": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    return {
        "versions": versions | {"python": platform.python_version()},
        "generator": generator,
        "log": [change.to_plain() for change in plan.log],
    }


def identities(generators: Generators) -> Any:
    """Which generators they are: one, a list of several with their classes, or None."""
    if isinstance(generators, Mapping):
        return [{"class": _plain_key(key)} | identity(one) for key, one in generators.items()]
    return None if generators is None else identity(generators)


def _plain_key(key: Any) -> str | int:
    return int(key) if isinstance(key, Integral) else str(key)


def replay(
    manifest: Manifest, epoch: int, slot: int, *, generator: Any = None, dataset: Any = None, labels: Any = None
) -> Any:
    """Make one delivered sample again, as it was before normalisation and augmentation.

    Args:
        manifest: what ``MixLoader.manifest()`` returned, or JSON made of it.
        epoch: from 0.
        slot: its place in the epoch, over the batches of all processes laid side by side: ``step * batch_size + row``.
        generator: the one of that mix, where a checkpoint's path doesn't say it: one of a module of your own, or that
            went through ``map`` or ``relabel``.
        dataset: that of the mix, for a real sample, or a synthetic one that is made from one.
        labels: as they were given to ``wrap``.

    Returns:
        What the generator makes for that slot, ``[sample, label]`` unless it was mapped; or ``dataset[row]``.

    Raises:
        ValueError: if the generator or the dataset is not that of the manifest, or is needed and missing.

    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> import onthefly
    >>> from onthefly.testing import CountingGenerator
    >>> data = TensorDataset(torch.rand(20, 1, 8, 8), torch.arange(20) % 2)
    >>> generator = CountingGenerator((1, 8, 8), classes=2)
    >>> loader = onthefly.wrap(DataLoader(data, 10, shuffle=True), generator, ratio=1, device="cpu")
    >>> images, labels = next(iter(loader))
    >>> image, label = onthefly.replay(loader.manifest(), epoch=0, slot=3, generator=generator)
    >>> torch.equal(image, images[3])
    True
    """
    if not isinstance(manifest, Mapping) or not {"plan", "stream"} & manifest.keys():
        raise ValueError(
            f"replay: expected what MixLoader.manifest() returned, found {type(manifest).__name__}; read a file with "
            "json.load"
        )
    if "plan" not in manifest:
        raise ValueError(
            "replay: expected the manifest of a planned mix, found that of a stream, whose slots depend on what came; "
            "use tag=True, and generator.sample(info.label, info.key)"
        )
    given = _checked_generators(manifest, generator)
    plan = _plan_of(manifest, dataset, labels)
    slots = plan.epoch(epoch)
    if not 0 <= slot < plan.length:
        raise ValueError(f"replay: expected a slot from 0 to {plan.length - 1}, found {slot}")
    one = slots[slot : slot + 1]
    source = dataset[int(one.index[0])] if dataset is not None and one.index[0] >= 0 else None
    if not one.synthetic[0]:
        return _needed(source, f"slot {slot} of epoch {epoch} holds a real sample")
    made = match_classes(given, plan.classes)
    asked = torch.from_numpy(one.label).to(made.where), torch.from_numpy(one.key).to(made.where)
    if plan.sources:
        given = _as_given(_needed(source, "the generator makes samples from real ones"), manifest["sources"])
        source = to_device(given, made.where)
    try:
        return _made(made, asked, source if plan.sources else None, manifest["sources"])
    except Exception:
        (row,) = plan.rows_by_key(Purpose.REFILL, one.label, one.key).tolist()
        if row < 0 or not made.refills[one.label[0]]:
            raise
    return _needed(dataset, f"the sample of slot {slot} of epoch {epoch} went wrong, and a real one was delivered")[row]


def _made(generator: FrozenGenerator, asked: tuple[Tensor, Tensor], source: Any, how: Any) -> Any:
    """One sample, made as it was."""
    if source is None or not how["collated"]:
        return generator.items(*asked, source)[0]
    return unbatch(generator.batch(*asked, source), 1)[0]


def _as_given(sample: Any, sources: Mapping[str, Any]) -> Any:
    """A real sample as the generator was given it."""
    given, normalized = default_collate([sample]) if sources["collated"] else sample, sources["normalized"]
    if normalized is not None:
        given = on_image(given, Normalization(*map(tuple, normalized)).undo, ndim=4 if sources["collated"] else 3)
    return given if sources["collated"] else [given]


def _needed(source: Any, why: str) -> Any:
    if source is None:
        raise ValueError(f"replay: expected the dataset, since {why}; pass dataset=")
    return source


def _plan_of(manifest: Manifest, dataset: Any, labels: Any) -> MixPlan:
    """The plan; from the counts alone where no row of the dataset is asked for, since they decide all but the rows."""
    settings, real = dict(manifest["plan"]), manifest["plan"]["real"]
    values = np.repeat(np.arange(len(real)), real) if dataset is None else labels_of(dataset, labels).values
    found, saved = fingerprint_of(values), manifest["dataset"]["labels"]
    if dataset is not None and found != saved:
        raise ValueError(
            f"replay: expected a dataset whose labels have the fingerprint {saved}, found {found}; pass the dataset of "
            "that mix, and its labels= if it had any"
        )
    del settings["real"]
    settings |= {name: from_plain(settings[name]) for name in ("balance", "ratio")}
    plan = MixPlan(values, **settings)
    plan.log = changes_from_plain(manifest["log"])
    return plan


def _checked_generators(manifest: Manifest, generator: Any) -> Any:
    """The generators of a manifest, given or loaded from where it says."""
    saved = manifest["generator"]
    generator = _loaded(saved) if generator is None else as_generators(generator)
    found = identities(generator)
    if _hashes(found) != _hashes(saved):
        raise ValueError(
            f"replay: expected the generator with the hash {_hashes(saved)}, found {_hashes(found)}; its samples would "
            "be others: pass the one of that mix"
        )
    return generator


def _loaded(saved: Any) -> Any:
    if isinstance(saved, list):
        return {one["class"]: _loaded(one) for one in saved}
    if saved is not None and saved["path"] is None:
        raise ValueError(
            f"replay: expected a generator that is a checkpoint by itself, found {saved['is']}; pass generator=, "
            "mapped and relabelled as it was"
        )
    if saved is None:
        return None
    how = {"dtype": saved.get("dtype"), "on_fault": saved.get("on_fault", "raise"), **saved.get("sampling", {})}
    return load(saved["path"], attributes=saved.get("attributes"), **how)


def warn_of_another_generator(saved: Any, found: Any) -> None:
    """Warn if a state is gone on from with another generator than it was saved with."""
    if _hashes(saved) != _hashes(found):
        warnings.warn(
            f"MixLoader.load_state_dict: the generator is another than when the state was saved: expected the hash "
            f"{_hashes(saved)}, found {_hashes(found)}; synthetic samples of equal keys differ from here on",
            stacklevel=3,
        )


def _hashes(saved: Any) -> Any:
    if isinstance(saved, list):
        return {one["class"]: one["sha256"] for one in saved}
    return None if saved is None else saved["sha256"]
