"""What is measured beside a loader: itself at fixed ratios, the same without a mix, and what people do instead."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch.utils.data import default_collate

from onthefly.augment.apply import is_kornia
from onthefly.augment.fused import fused
from onthefly.data.batches import to_device
from onthefly.data.images import image_in
from onthefly.evidence.alternatives import by_hand, from_files, in_getitem, prefetching
from onthefly.evidence.contender import Contender, of_loader
from onthefly.evidence.subject import Subject
from onthefly.extras import require
from onthefly.loader import Mix, MixLoader
from onthefly.wrapping import wrap

RATIOS = (0.1, 0.25, 0.5)

Made = Contender | str  # or why it is left out


def contenders_of(
    subject: Subject, share: float, folder: Path, seconds: float
) -> Iterator[tuple[str, Callable[[], Made]]]:
    """The name of every contender, and what makes it or says why there is none.

    Args:
        subject: the user's loader.
        share: of synthetic samples in the alternatives.
        folder: where pictures may be written.
        seconds: that it may take to write them.
    """
    yield "plain", lambda: _plain(subject)
    yield "plain + augment", lambda: _augmented(subject)
    yield "plain + fused", lambda: _fused(subject)
    yield "mix", lambda: _mix(subject)
    for ratio in (*RATIOS, share) if share not in RATIOS else RATIOS:
        yield at(ratio), partial(_at, subject, ratio)
    yield "in __getitem__", lambda: _alternative(subject) or in_getitem(subject, share)
    yield "by hand", lambda: _alternative(subject) or _needs_collate(subject) or by_hand(subject, share)
    yield (
        "from files",
        lambda: _alternative(subject) or _needs_pictures(subject) or from_files(subject, share, folder, seconds),
    )
    yield "timm", lambda: _timm(subject)


def at(ratio: float) -> str:
    """What the mix with a fixed ratio is called.

    >>> at(0.25)
    'mix 0.25'
    """
    return f"mix {ratio:g}"


def of_mix(name: str, about: str, loader: MixLoader[Any]) -> Contender:
    """A mix, which counts what it delivers and what its generator makes."""
    meter = loader.meter
    return of_loader(
        name, about, loader, synthetic=lambda: int(meter.synthetic.sum()), made=lambda: int(meter.fresh.sum())
    )


def _plain(subject: Subject) -> Made:
    about = "your loader before it was wrapped, nothing mixed"
    return of_loader("plain", about, subject.plain(), partial(to_device, device=subject.device))


def _mix(subject: Subject) -> Made:
    if subject.mix is None:
        wrapped = wrap(subject.plain(), device=subject.device)
        return of_loader("mix", "your loader, wrapped, with nothing to mix: what wrapping alone costs", wrapped)
    return of_mix("mix", f"your loader as you wrapped it{_uses(subject)}", subject.mixed())


def _at(subject: Subject, ratio: float) -> Made:
    if subject.generator is None:
        return _NO_GENERATOR
    about = f"your mix, {ratio:.0%} of every class synthetic wherever the generator can{_uses(subject)}"
    return of_mix(at(ratio), about, subject.mixed(ratio))


def _uses(subject: Subject) -> str:
    """How often samples are used, where that is more than once."""
    generator = subject.generator
    uses = [1] if generator is None else generator.uses[generator.makes].tolist()
    times = f"{min(uses)}" if min(uses) == max(uses) else f"{min(uses)} to {max(uses)}"
    return f", each sample used {times} times" if max(uses) > 1 else ""


_NO_AUGMENTATION = "the loader has no augmentation"
_NO_GENERATOR = "there is no generator; pass one to wrap(), and its cost is told too"


def _augmented(subject: Subject) -> Made:
    if subject.augment is None:
        return _NO_AUGMENTATION
    return of_loader(
        "plain + augment",
        f"the plain loader, its batches augmented in the loop by hand{subject.not_fused}",
        subject.plain(),
        _run(subject, subject.sequential),
    )


def _fused(subject: Subject) -> Made:
    pipeline = subject.sequential
    if pipeline is None:
        return _NO_AUGMENTATION
    if not is_kornia(pipeline) or isinstance(pipeline, Mapping):
        return "the augmentation is no pipeline of Kornia's"
    return of_loader(
        "plain + fused",
        "the plain loader, its batches augmented in the loop with onthefly.augment.fused",
        subject.plain(),
        _run(subject, fused(pipeline)),
    )


def _run(subject: Subject, augment: Any) -> Callable[[Any], Any]:
    change = subject.change(augment)
    return lambda batch: change(to_device(batch, subject.device), None)


def _alternative(subject: Subject) -> str | None:
    """Why none can be made, if so."""
    if subject.generator is None:
        return _NO_GENERATOR
    if subject.plan is None:
        return "the batches are a stream, whose rows can't be asked for"
    return "the generator makes samples of real ones" if subject.generator.wants_source else None


def _needs_collate(subject: Subject) -> str | None:
    if subject.loader.collate_fn.collate_fn is not default_collate:
        return "the loader has a collate function of its own"
    return "a batch is one sample" if subject.loader.batch_size == 1 else None


def _needs_pictures(subject: Subject) -> str | None:
    fields = [] if subject.generator is None else list(subject.generator.spec.fields.values())
    is_picture = len(fields) == 1 and len(fields[0].shape) == 3 and fields[0].shape[0] in (1, 3)
    in_floats = image_in(subject.first, ndim=4) is not None
    if is_picture and in_floats and fields[0].range == (0.0, 1.0) and _is_pair(cast(Mix, subject.mix).collate.example):
        return None
    return "its samples are no pictures of floats in [0, 1] with a label"


def _is_pair(sample: Any) -> bool:
    """Whether it is an image and its label, or a batch of both."""
    return isinstance(sample, (tuple, list)) and len(sample) == 2


def _timm(subject: Subject) -> Made:
    if subject.is_stream or not _is_pair(subject.first):
        return "timm wants a DataLoader of pictures and labels"
    try:
        loader = require("timm.data.loader", extra="timm").PrefetchLoader
    except ImportError as error:
        return str(error)
    return prefetching(subject, loader)
