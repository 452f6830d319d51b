"""The plan of a stream: which rows of each batch become synthetic, decided as the batches come."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onthefly.mixing.balance import NAMED, Shares, as_balance
from onthefly.mixing.changes import Change, Log, as_feedback, epochs_at, reuse_at, scores_before
from onthefly.mixing.classes import Classes
from onthefly.mixing.counts import BITS, ONE, Quotas
from onthefly.mixing.expected import expected
from onthefly.mixing.explain import Explanation
from onthefly.mixing.given import as_reuse, at_least_one, check_weights, fixed, shown, whole
from onthefly.mixing.keys import Purpose, hash64, sample_key
from onthefly.mixing.reuse import Reuse
from onthefly.mixing.schedule import Census, as_schedule
from onthefly.mixing.slots import Slots

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class StreamPlan:
    """Which rows of each batch of a stream become synthetic, by quotas that run on from batch to batch.

    Replacing, the batch keeps its size. Of each class it has as many slots as the balance gives it (the natural one: as
    many as came); the ratio says how many of these are synthetic, exactly, counted over all batches up to now; the rest
    are real rows of the class as far as the batch has any, and other rows of the batch where it has too few. Topping
    up, all real rows stay, and synthetic ones are added until they are the ratio's share of their class.

    Args:
        classes: their number or names.
        counts: ``int[C]``, real samples of each class in a pass; None if unknown.
        length: batches of a pass; None if unknown.
        balance, ratio, epochs, seed, reuse: as for ``MixPlan``.
        top_up: add synthetic rows instead of replacing real ones.
        sources: whether synthetic samples are made from real ones.

    Attributes:
        log: what was changed since training began.

    >>> plan = StreamPlan(2, balance="natural", ratio={1: 0.5})
    >>> slots, kept = plan.batch(np.array([0, 0, 1, 1]), epoch=0, step=0)
    >>> slots.label, int(slots.synthetic.sum()), len(kept)
    (array([0, 0, 1, 1]), 1, 3)
    """

    def __init__(
        self,
        classes: Any,
        *,
        balance: Any,
        ratio: Any,
        counts: ArrayLike | None = None,
        length: int | None = None,
        epochs: int | None = None,
        seed: int = 0,
        top_up: bool = False,
        sources: bool = False,
        reuse: int | ArrayLike = 1,
    ) -> None:
        self.classes = Classes.of(classes)
        self.balance, self.schedule = as_balance(balance, self.classes), as_schedule(ratio)
        self.counts = None if counts is None else _as_counts(counts, self.classes)
        self.length = None if length is None else at_least_one(length, "length")
        self.epochs = None if epochs is None else at_least_one(epochs, "epochs")
        self.seed, self.top_up, self.sources = whole(seed, "seed"), bool(top_up), bool(sources)
        self.natural = self.balance == NAMED["natural"]
        self.times = as_reuse(reuse, self.classes)
        self.log: Log = ()
        self._check_sources()
        self._each = np.arange(self.classes.count)
        self._weights = self._known_weights()
        self.census = self._known_census()
        self._check_schedule()
        phase = hash64(self.seed, Purpose.PHASE, self._each) >> np.uint64(64 - BITS)
        self.due = phase.astype(np.int64)
        self.made = np.zeros(self.classes.count, np.int64)
        self.widest = np.zeros(self.classes.count, np.int64)
        self.batches = 0

    def settings(self) -> dict[str, str | int | None]:
        """What two plans must share to be the same, as plain values that can be compared and shown."""
        return {
            "classes": repr(self.classes),
            "counts": None if self.counts is None else shown(self.counts.tolist()),
            "length": self.length,
            "balance": shown(self.balance),
            "ratio": shown(self.schedule),
            "epochs": self.epochs,
            "seed": self.seed,
            "top_up": int(self.top_up),
            "sources": int(self.sources),
            "reuse": shown(self.times.tolist()),
        }

    @property
    def weights(self) -> Floats | None:
        """The natural share of each class over that of the balance, ``float64[C]``; None where it isn't known."""
        if self.counts is None or self.top_up:
            return None
        natural = self.counts / self.counts.sum()
        return np.asarray(np.divide(natural, self.shares, out=np.zeros_like(natural), where=self.shares > 0))

    @property
    def shares(self) -> Floats:
        """The share of each class that the balance asks for: ``float64[C]``, sums to 1."""
        return np.asarray(self._weights / self._weights.sum())

    def progress(self, epoch: int, step: int) -> float:
        """The part of training that is over at a batch; 0 where its length is unknown."""
        epochs, length = epochs_at(self.log, epoch, self.epochs), self.length
        return 0.0 if epochs is None or length is None else min((epoch + min((step + 0.5) / length, 1)) / epochs, 1.0)

    def explain(self) -> Explanation:
        """About what a stream of these ``counts`` will deliver of each class, epoch by epoch.

        Raises:
            ValueError: if nobody said what comes.
        """
        return expected(self)

    def rate(self, slots: Ints, epoch: int, step: int) -> Floats:
        """The synthetic samples that each slot earns its class in a batch: ``float64[C]``.

        Args:
            slots: ``int64[C]``, how many there are of each class.
            epoch: the pass.
            step: the number of the batch in it.
        """
        return self._rate(slots, fixed(self.ratio(self.progress(epoch, step), epoch), self.schedule)) / ONE

    def ratio(self, progress: float, epoch: int = 0) -> Floats:
        """The ratio of every class at one moment of training: as for ``MixPlan``."""
        census = replace(self.census, scores=scores_before(self.log, epoch, self.classes.count))
        return self.schedule(np.full(self.classes.count, progress), self._each, census)

    def check_epoch(self, epoch: int) -> None:
        """Refuse an epoch outside of training."""
        if self.epochs is not None and epoch >= self.epochs:
            raise ValueError(
                f"StreamPlan: expected an epoch from 0 to {self.epochs - 1}, found {epoch}; epochs= is the length of "
                "training; loader.set_epoch(e) says which epoch is next"
            )

    def feedback(self, epoch: int, scores: ArrayLike | Mapping[Any, float]) -> None:
        """As for ``MixPlan``."""
        self.change(as_feedback(epoch, scores, self.schedule, self.classes))

    def change(self, *changes: Change) -> None:
        """Add to the log."""
        self.log = (*self.log, *changes)

    def synthetic_before(self, epoch: int) -> Ints:
        """About how many synthetic slots of each class a pass before this one had: ``int64[C]``."""
        return np.asarray(self.made // max(epoch, 1))

    def quotas(self) -> dict[str, Ints]:
        """What the next batch depends on besides its place in training: by name, ``int64[C]`` or ``int64[1]``."""
        return {"due": self.due, "made": self.made, "widest": self.widest, "batches": np.array([self.batches])}

    def restore(self, log: Log, quotas: dict[str, Ints]) -> None:
        """Take over what was changed, and had, when a state was saved."""
        self.log, self.batches = log, int(quotas["batches"][0])
        self.due, self.made, self.widest = (quotas[name].copy() for name in ("due", "made", "widest"))

    def batch(self, labels: Ints, epoch: int, step: int, rank: int = 0) -> tuple[Slots, Ints]:
        """The slots of the next batch.

        Args:
            labels: ``int64[n]``, the class of each row that came.
            epoch: the pass.
            step: the number of the batch in it.
            rank: of this process; each has samples of its own.

        Returns:
            The slots of the batch to deliver; and ``int64[m]``, the rows that its real slots hold, in their order.
        """
        came = np.bincount(labels, minlength=self.classes.count)
        wanted = came if self.natural or self.top_up else self._share(len(labels))
        synthetic = self._quota(wanted, fixed(self.ratio(self.progress(epoch, step), epoch), self.schedule))
        if not synthetic.any():
            self.batches += 1
            return Slots.of_classes(labels), np.arange(len(labels))
        numbers = np.repeat(self._each, synthetic)
        if self.top_up:
            kept, places = np.arange(len(labels)), len(labels) + np.arange(len(numbers))
        else:
            kept = self._kept(labels, wanted - synthetic, len(labels) - len(numbers))
            places = np.setdiff1d(np.arange(len(labels)), kept, assume_unique=True)
        slots = self._slots(labels[kept], numbers, places, epoch, rank)
        self.batches += 1
        return slots, kept

    def rows_by_key(self, purpose: Purpose, labels: Ints, label: Ints, key: Ints) -> Ints:
        """A row of the batch that came for each synthetic sample, of its class, by its key.

        Args:
            purpose: what it is for.
            labels: ``int64[m]``, the class of each row.
            label: ``int64[n]``, of each synthetic sample.
            key: ``int64[n]``.

        Returns:
            ``int64[n]``; -1 for a class that has none.
        """
        count = np.bincount(labels, minlength=self.classes.count)
        first, some = np.cumsum(count) - count, np.maximum(count[label], 1).astype(np.uint64)
        nth = (hash64(self.seed, purpose, key) % some).astype(np.int64)
        by_class = np.append(np.argsort(labels, kind="stable"), -1)
        return np.asarray(np.where(count[label] > 0, by_class[first[label] + nth], -1))

    def _quota(self, slots: Ints, ratio: Ints) -> Ints:
        """How many synthetic samples of each class these slots earn: ``int64[C]``."""
        earned = self.due + slots * self._rate(slots, ratio)
        self.due = earned & (ONE - 1)
        return earned >> BITS

    def _rate(self, slots: Ints, ratio: Ints) -> Ints:
        """What each of these slots earns towards a synthetic sample: ``int64[C]``, in units of 2**-32."""
        if not self.top_up:
            return ratio
        rest = np.where(slots > 0, ONE - ratio, ONE)
        if not rest.all():
            raise ValueError("ratio: expected less than 1 where real rows are topped up, found 1; leave top_up out")
        return np.rint(ratio / rest * ONE).astype(np.int64)

    def _share(self, rows: int) -> Ints:
        """The slots that the balance gives each class in a batch, within 1 of its share, without drift."""
        quotas = Quotas(self._weights, batch_size=max(rows, 1), length=rows, seed=self.seed)
        return quotas.counts(self.batches).epoch

    def _nth_of_class(self, labels: Ints) -> Ints:
        """Each row's place among those of its class, in a random order: ``int64[n]``."""
        order = np.lexsort((hash64(self.seed, Purpose.ROWS, self.batches, np.arange(len(labels))), labels))
        count = np.bincount(labels, minlength=self.classes.count)
        nth = np.empty(len(labels), np.int64)
        nth[order] = np.arange(len(labels)) - np.repeat(np.cumsum(count) - count, count)
        return nth

    def _kept(self, labels: Ints, real: Ints, many: int) -> Ints:
        """The rows that stay: of each class those that it is to have, then any others."""
        surplus = self._nth_of_class(labels) - real[labels]
        return np.sort(np.argsort(np.maximum(surplus, -1), kind="stable")[:many])

    def _slots(self, real: Ints, numbers: Ints, places: Ints, epoch: int, rank: int) -> Slots:
        """Real slots of these classes, and synthetic ones of those in these places, in a random order of classes.

        How far a sample's uses must lie apart shows as batches come: where it turns out to be farther, the class begins
        with samples of its own again; as do all from an epoch on for which their reuse was changed.
        """
        count = np.bincount(numbers, minlength=self.classes.count)
        self.widest = np.maximum(self.widest, count)
        times, since = reuse_at(self.log, epoch)
        reuse = Reuse.apart(np.maximum(self.times, times), self.widest)
        nth = self.made[numbers] + np.arange(len(numbers)) - np.repeat(np.cumsum(count) - count, count)
        self.made += count
        seed = hash64(
            self.seed, Purpose.SAMPLE, rank, numbers, reuse.stride[numbers], *(() if since is None else (since,))
        )
        order = np.argsort(hash64(self.seed, Purpose.ORDER, self.batches, np.arange(len(numbers))))
        slots = Slots.of_classes(np.empty(len(real) + len(numbers), np.int64))
        slots.synthetic[places] = True
        slots.label[~slots.synthetic], slots.label[places] = real, numbers[order]
        slots.key[places] = sample_key(seed, reuse.sample(numbers, nth))[order]
        slots.last[places] = reuse.is_last(numbers, nth)[order]
        return slots

    def _known_weights(self) -> Floats:
        known = self.balance == NAMED["uniform"] or isinstance(self.balance, Shares)
        if self.counts is None and not (known or self.natural):
            raise ValueError(
                f"counts: {self.balance} needs the number of real samples of each class; pass counts={{class: number}}"
            )
        counts = np.ones(self.classes.count, np.int64) if self.counts is None else self.counts
        return check_weights(self.balance.weights(counts), self.balance)

    def _known_census(self) -> Census:
        slots = self.shares * (0 if self.counts is None else self.counts.sum())
        return Census(self.classes, self.counts, slots)

    def _check_sources(self) -> None:
        if self.sources and self.times.max() > 1:
            raise ValueError(
                "reuse: expected 1 where the samples of a stream are made from real ones, found "
                f"{self.times.max()}: when a sample is used again, what it was made from is gone; leave reused() out"
            )

    def _check_schedule(self) -> None:
        for progress in np.linspace(0, 1, 101) if self.schedule.changes else (0.0,):
            self._rate(self._each + 1, fixed(self.ratio(progress), self.schedule))
        if self.schedule.changes and (self.epochs is None or self.length is None):
            missing = "epochs=" if self.epochs is None else "length=, the batches of a pass"
            raise ValueError(f"ratio: {self.schedule} changes over training, whose length is unknown; pass {missing}")


def _as_counts(counts: Any, classes: Classes) -> Ints:
    found = np.asarray(counts)
    if found.shape != (classes.count,) or found.dtype.kind not in "iu" or (found < 0).any():
        raise ValueError(
            f"counts: expected a whole number of real samples for each of {classes}, found {shown(counts)}"
        )
    return found.astype(np.int64)
