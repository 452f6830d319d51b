"""What a generator is shown: a dataset's samples, encoded, in batches without end, a few of them held out."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, default_collate

from onthefly.data.conditions import Condition, condition_of, encoded, plain_values
from onthefly.data.dataset import HostCollate, SyntheticMixDataset
from onthefly.data.hermetic import hermetic
from onthefly.data.images import image_in, is_unit
from onthefly.data.labels import Labels
from onthefly.data.nested import outline, parts
from onthefly.data.normalize import Normalization, find_normalization
from onthefly.data.spec import Field, Spec
from onthefly.generators.coding import Coding
from onthefly.generators.codings import coding_of, usual_coding
from onthefly.generators.family import Parts
from onthefly.mixing.plan import MixPlan
from onthefly.reading.split import held_out as rows_apart

_FITTED = 10_000  # samples that a coding is fitted to
_HASHED = 16  # samples that data are told apart by
_SLACK = 1e-4  # how far a signal may leave [-1, 1] by rounding


_CODINGS = {"image": ["unit"], "audio": ["unit", "log_mel", "stft"], "row": ["table", "unit"], "text": ["text"]}


class Batch(NamedTuple):
    """A batch to learn from.

    Attributes:
        samples: ``[N, ...]``, encoded.
        labels: ``int64[N]``.
        conditions: ``float32[N, numbers]``; None where there are none.
        sources: ``[N, ...]``, what the samples are to be made from, encoded; None where that is nothing.
    """

    samples: Tensor
    labels: Tensor
    conditions: Tensor | None
    sources: Tensor | None = None


class Shown:
    """A dataset as a generator sees it.

    Args:
        dataset: map-style.
        labels: the class of every sample.
        normalized: as for ``train``.
        conditions: values for every sample, by name.
        coding: by name; None for what is usual.
        like: a generator that is gone on with: its coding and its conditions are kept.
        sizes: a family's config, which some codings share.
        held_out: the share of each class that isn't shown.
        seed: of what is held out, and of the order.
        device: where batches go.
        paired: whether the dataset yields ``(source, sample, ...)``, two of one shape, the second to be made from the
            first.
        jitter: whether encoded samples are moved at random, as far as they stay the same.

    Attributes:
        spec: what a sample is.
        coding: fitted to the samples.
        count: samples of each class that are shown.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Labels,
        *,
        normalized: Any,
        conditions: Mapping[str, Sequence[Any]] | None,
        coding: str | None,
        like: Parts | None,
        held_out: float,
        seed: int,
        device: torch.device,
        sizes: Mapping[str, Any] | None = None,
        paired: bool = False,
        jitter: bool = False,
    ) -> None:
        self.dataset, self.labels, self.device, self.seed = dataset, labels, device, seed
        self.paired, self._jitter = paired, jitter
        self.norm = find_normalization(dataset) if normalized is None else Normalization.of(normalized)
        apart = rows_apart(labels.values, _checked_share(held_out), seed)
        self._rows, self._apart = np.flatnonzero(~apart), np.flatnonzero(apart)
        first = self._samples(self._spread(1))[0]
        name, field = _field_of(first, dataset)
        self._values = _checked_conditions(conditions or {}, len(labels.values))
        if like is None:
            known: Mapping[str, Condition] = {one: condition_of(values, one) for one, values in self._values.items()}
            kind = coding_of(usual_coding(field) if coding is None else coding)
            _check_suits(kind, name, field)
            self.coding = self._fitted(kind, field, sizes or {})
        else:
            self.coding, known = like.coding, like.spec.conditions
            _check_like(field, like.spec.field)
        self.spec = Spec({name: self.coding.field}, labels.classes, known)
        self.count: list[int] = np.bincount(labels.values[self._rows], minlength=labels.classes.count).tolist()

    def batches(self, size: int, balance: Any, num_workers: int, step: int = 0) -> Iterator[Batch]:
        """Batches without end, from a step on."""
        plan = MixPlan(
            self.labels.values[self._rows],
            batch_size=size,
            balance=self._shares() if balance == "uniform" else balance,
            ratio=0,
            seed=self.seed,
            drop_last=True,
            classes=self.labels.classes,
        )
        mixed = SyntheticMixDataset(Subset(self.dataset, self._rows.tolist()), plan)
        loader = DataLoader(
            mixed,
            batch_size=size,
            sampler=mixed.sampler,
            collate_fn=HostCollate(_collate),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            generator=self._own(),
        )
        epoch, step = divmod(step, len(mixed.sampler) // size)
        while True:
            mixed.sampler.aim(epoch, step)
            for host in loader:
                yield self._batch(host.real, self._rows[host.slots.index])
            epoch, step = epoch + 1, 0

    def drawn(self, rows: Callable[[int], NDArray[np.int64]], num_workers: int, step: int = 0) -> Iterator[Batch]:
        """Batches without end of the samples that are asked for, from a step on; some may be empty.

        Args:
            rows: the numbers of the samples of a step, among those that are shown.
            num_workers: processes that load samples.
            step: the first.
        """
        loader = DataLoader(
            Subset(self.dataset, self._rows.tolist()),
            batch_sampler=(rows(number).tolist() for number in itertools.count(step)),
            collate_fn=_collate_any,
            num_workers=num_workers,
            generator=self._own(),
        )
        for number, found in zip(itertools.count(step), loader, strict=False):
            yield self._nothing() if found is None else self._batch(found, self._rows[rows(number)])

    def held_out(self, most: int = 1000) -> Batch | None:
        """Samples that aren't shown; None if there are none."""
        rows = self._apart[:: max(1, len(self._apart) // most)]
        if not len(rows):
            return None
        with hermetic(self.seed):
            return self._batch(_collate([self.dataset[int(row)] for row in rows]), rows)

    def examples(self, each: int) -> list[list[Any]]:
        """A few samples of every class, fewer where it has fewer."""
        return self._few(each, self._sample)

    def sources(self, each: int) -> list[list[Any]]:
        """What those are to be made from, where they are pairs."""
        return self._few(each, lambda batch: self._found(batch[0]))

    def digest(self) -> str:
        """Tells data apart: a hash of labels, conditions, and a few samples, of those that are always the same."""
        told = hashlib.sha256(self.labels.values.tobytes())
        told.update(repr(self._values).encode())
        rows = self._spread(_HASHED)
        for one, again in zip(self._samples(rows), self._samples(rows), strict=True):
            if _bytes(one) == _bytes(again):  # a dataset may draw by a generator of its own
                told.update(_bytes(one))
        return told.hexdigest()[:16]

    def _few(self, each: int, part: Callable[[Any], Any]) -> list[list[Any]]:
        labels = self.labels.values[self._rows]
        rows = [self._rows[np.flatnonzero(labels == number)[:each]] for number in range(self.labels.classes.count)]
        with hermetic(self.seed):
            return [[part(_collate([self.dataset[int(row)]]))[0] for row in some] for some in rows]

    def _shares(self) -> dict[int, float]:
        """All classes alike that there are samples of."""
        there = [number for number, count in enumerate(self.count) if count]
        return {number: 1 / len(there) if number in there else 0.0 for number in range(len(self.count))}

    def _fitted(self, kind: type[Coding], field: Field, sizes: Mapping[str, Any]) -> Coding:
        asked = {name: sizes[name] for name in kind.options if name in sizes}
        rows = np.arange(len(self.labels.values)) if kind.sees_all else self._spread(_FITTED if kind.looks else 1)
        fit: Callable[..., Coding] = kind.fit
        return fit(field, self._samples(rows), self.dataset, **asked)

    def _spread(self, most: int) -> NDArray[np.int64]:
        """Some rows that are shown."""
        return self._rows[np.linspace(0, len(self._rows) - 1, min(most, len(self._rows))).astype(np.int64)]

    def _samples(self, rows: NDArray[np.int64]) -> list[Any]:
        with hermetic(self.seed):
            return [self._sample(_collate([self.dataset[int(row)]]))[0] for row in rows]

    def _batch(self, batch: Any, rows: NDArray[np.int64]) -> Batch:
        values = {name: [some[row] for row in rows.tolist()] for name, some in self._values.items()}
        conditions = encoded(self.spec.conditions, values)
        labels = torch.from_numpy(self.labels.values[rows]).to(self.device)
        here = None if conditions is None else conditions.to(self.device)
        sources = self._encoded(self._found(batch[0])) if self.paired else None
        shown = self._encoded(self._sample(batch))
        return Batch(self.coding.jitter(shown) if self._jitter else shown, labels, here, sources)

    def _encoded(self, samples: Any) -> Tensor:
        samples = samples.to(self.device) if isinstance(samples, Tensor) else samples
        return self.coding.encode(samples).to(self.device)

    def _own(self) -> torch.Generator:
        """What a loader draws from when it begins, which would be the global generator else."""
        return torch.Generator().manual_seed(self.seed)

    def _nothing(self) -> Batch:
        """A batch without a sample."""
        numbers = sum(one.size for one in self.spec.conditions.values())
        conditions = torch.zeros(0, numbers, device=self.device) if numbers else None
        labels = torch.zeros(0, dtype=torch.int64, device=self.device)
        return Batch(torch.zeros(0, *self.coding.shape, device=self.device), labels, conditions)

    def _sample(self, batch: Any) -> Any:
        """What is to be made, of a batch."""
        if not self.paired:
            return self._found(batch)
        if not isinstance(batch, (list, tuple)) or len(batch) < 2 or outline(batch[0]) != outline(batch[1]):
            raise ValueError(
                f"train: expected {type(self.dataset).__name__} to yield (source, sample, label), source and sample of "
                f"one shape, found {outline(batch)}; or leave paired out of config"
            )
        return self._found(batch[1])

    def _found(self, batch: Any) -> Any:
        """The images, other floats or texts in a batch."""
        image = image_in(batch, ndim=4)
        if image is not None:
            return self._image(image)
        for part in parts(batch):
            if isinstance(part, Tensor) and part.is_floating_point() and part.ndim in (2, 3):
                return _signal(part.float()) if part.ndim == 3 else part.float()
            if isinstance(part, (list, tuple)) and part and isinstance(part[0], str):
                return list(part)
        raise ValueError(
            f"train: expected {type(self.dataset).__name__} to yield an image float32[C, H, W] in [0, 1], a signal "
            f"float32[C, T] in [-1, 1], a row float32[D] or a text, found {outline(batch)}; give pictures "
            "transform=torchvision.transforms.ToTensor()"
        )

    def _image(self, found: Tensor) -> Tensor:
        image: Tensor = self.norm.undo(found) if self.norm else found
        if not is_unit(image):
            raise ValueError(
                f"train: expected images in [0, 1], found values from {image.min():g} to {image.max():g}; pass "
                "normalized=(mean, std), what your transform's Normalize was given"
            )
        return image.float().clamp(0, 1)


def _signal(found: Tensor) -> Tensor:
    most = found.abs().max() if found.numel() else 0.0
    if not most <= 1 + _SLACK:  # NaN isn't
        raise ValueError(
            f"train: expected signals in [-1, 1], found values from {found.min():g} to {found.max():g}; divide all of "
            "them by the largest there is, and leave out what isn't finite"
        )
    return found.clamp(-1, 1)


def _bytes(sample: Any) -> bytes:
    if isinstance(sample, str):
        return sample.encode(errors="surrogatepass")
    return bytes(sample.contiguous().numpy().tobytes())


def check_dataset(dataset: Any) -> None:
    """Refuse what can't be asked for any of its samples."""
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise ValueError(
            f"train: expected a map-style dataset, with len(dataset) and dataset[i], found a {type(dataset).__name__}; "
            "write list(dataset) if its samples fit in memory"
        )


def _check_suits(kind: type[Coding], name: str, field: Field) -> None:
    if kind.kind not in _CODINGS[name]:
        raise ValueError(
            f"coding: expected one for {field} ({', '.join(_CODINGS[name])}), found {kind.kind!r}; leave it out for "
            f"{usual_coding(field)!r}"
        )


def _checked_share(share: Any) -> float:
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ValueError(f"held_out: expected a share from 0 on, below 1, found {share!r}; write held_out=0.1")
    return float(share)


def _field_of(sample: Any, dataset: Any) -> tuple[str, Field]:
    if isinstance(sample, str):
        return "text", Field((), "str")
    shape = tuple(sample.shape)
    if len(shape) == 3:
        return "image", Field(shape, "float32", (0.0, 1.0))
    if len(shape) == 2:
        return "audio", Field(shape, "float32", (-1.0, 1.0), getattr(dataset, "rate", None))
    return "row", Field(shape, "float32")


def _check_like(found: Field, expected: Field) -> None:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"train: expected samples like those of the generator to go on from, {expected}, found {found}; bring them "
            "to that shape"
        )


def _checked_conditions(conditions: Mapping[str, Sequence[Any]], count: int) -> dict[str, Sequence[Any]]:
    if not isinstance(conditions, Mapping):
        raise ValueError(
            f"conditions: expected a value for each sample, by name, found {conditions!r:.80}; write "
            'conditions={"speaker": [...]}'
        )
    names = sorted(conditions)  # as a card gives them back
    listed: dict[str, Sequence[Any]] = {name: plain_values(conditions[name], name) for name in names}
    for name, values in listed.items():
        if len(values) != count:
            raise ValueError(
                f"conditions: expected a value of {name} for each of {count} samples, found {len(values)}; pass "
                f"conditions={{{name!r}: [...]}} in the order of the dataset"
            )
    return listed


def _collate_any(samples: list[Any]) -> Any:
    return _collate(samples) if samples else None


def _collate(samples: list[Any]) -> Any:
    try:
        return default_collate(samples)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"train: expected samples of one shape, images as float32[C, H, W], found {outline(samples[0])} ({error}); "
            "give pictures a transform that ends in torchvision.transforms.ToTensor()"
        ) from error
