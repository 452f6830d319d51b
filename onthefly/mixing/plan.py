"""The plan: what every slot of every batch will be, as a function of the epoch alone."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onthefly.mixing.balance import NAMED, as_balance
from onthefly.mixing.changes import Change, Log, as_feedback, epochs_at, reuse_at, scores_before
from onthefly.mixing.classes import Classes
from onthefly.mixing.counts import BITS, ONE, Quotas
from onthefly.mixing.explain import Explanation, explained
from onthefly.mixing.given import as_labels, as_reuse, at_least_one, check_labels, check_weights, fixed, shown, whole
from onthefly.mixing.keys import Purpose, hash64, runs, sample_key
from onthefly.mixing.order import shuffled_order, stratified_order
from onthefly.mixing.reuse import Reuse
from onthefly.mixing.rows import cycle_rows
from onthefly.mixing.schedule import Census, as_schedule
from onthefly.mixing.slots import Slots, Totals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_RUN = 1 << 17  # slots worked on at once
_KNOWN = 3  # epochs whose totals are remembered, beside the first
_SHOWN = 20  # classes that are named where settings are compared


class _Run(NamedTuple):
    """The slots of a few classes, sorted by class and, within each, in the order delivered.

    Attributes:
        classes: ``int64[c]``, the classes.
        begin: ``int64[c]``, where each begins.
        counts: ``int64[c]``, how many slots each has, at least 1.
        label: ``int64[n]``, the class of each slot.
        place: ``int64[n]``, where in the epoch it is delivered.
    """

    classes: Ints
    begin: Ints
    counts: Ints
    label: Ints
    place: Ints


class MixPlan:
    """What every slot of every batch will be: a pure function of the epoch.

    For every class the synthetic slots follow the ratio exactly (never off by a whole sample, at any point of
    training), the class counts follow the balance (within 1 over an epoch, and in every batch unless the balance is
    natural), and the real rows of a class are used equally often.

    Args:
        labels: ``int[N]``, the class of every real sample, from 0.
        batch_size: slots in a batch; with several processes, of all their batches together.
        balance: "natural", "uniform", ``{class: share}``, ``Power(a)`` or ``EffectiveNumber(beta)``.
        ratio: the synthetic share: a number, ``{class: number or schedule}`` or a schedule.
        epochs: the length of training, needed by a ratio that changes.
        seed: any integer; equal seeds give equal plans.
        drop_last: leave out the ragged last batch.
        classes: the number of classes, or their names; by default one more than the largest label.
        sources: whether synthetic samples are made from real ones, so that each is given a row of its class.
        reuse: how often each synthetic sample is used, never twice in a batch: a number, or ``int[C]``.

    Attributes:
        length: slots in an epoch: N, or with ``drop_last`` those of its whole batches.
        steps: batches in an epoch.
        real: ``int64[C]``, real samples of each class.
        log: what was changed since training began.

    Raises:
        ValueError: naming the argument, what was expected, what was found and what to type.

    >>> plan = MixPlan([0] * 90 + [1] * 10, batch_size=20, balance="uniform", ratio={1: 0.8})
    >>> slots = plan.epoch(0)
    >>> np.bincount(slots.label), np.bincount(slots.label[slots.synthetic], minlength=2)
    (array([50, 50]), array([ 0, 40]))
    """

    def __init__(
        self,
        labels: ArrayLike,
        *,
        batch_size: int,
        balance: Any,
        ratio: Any,
        epochs: int | None = None,
        seed: int = 0,
        drop_last: bool = False,
        classes: Any = None,
        sources: bool = False,
        reuse: int | ArrayLike = 1,
    ) -> None:
        self.labels = as_labels(labels)
        self.classes = Classes.of(int(self.labels.max()) + 1 if classes is None else classes)
        self.balance, self.schedule = as_balance(balance, self.classes), as_schedule(ratio)
        self.batch_size = at_least_one(batch_size, "batch_size")
        self.epochs = None if epochs is None else at_least_one(epochs, "epochs")
        self.seed, self.drop_last, self.sources = whole(seed, "seed"), bool(drop_last), bool(sources)
        check_labels(self.labels, self.classes)
        self.length = len(self.labels) - (len(self.labels) % self.batch_size if drop_last else 0)
        self.steps = -(-self.length // self.batch_size)
        if self.length == 0:
            raise ValueError(
                f"MixPlan: {len(self.labels)} samples don't fill one batch of {self.batch_size}; make batch_size "
                "smaller or drop_last=False"
            )
        self.natural = self.balance == NAMED["natural"]

        self.real = real = np.bincount(self.labels, minlength=self.classes.count)
        self._each = np.arange(self.classes.count)
        self._quotas = Quotas(
            check_weights(self.balance.weights(real), self.balance),
            batch_size=self.batch_size,
            length=self.length,
            seed=self.seed,
        )
        self.census = Census(self.classes, real, self._quotas.slots)
        self._rows = np.argsort(self.labels, kind="stable")
        self._first_row = np.cumsum(real) - real
        self._sample_seed = hash64(self.seed, Purpose.SAMPLE, self._each)
        self.log: Log = ()
        self._check_schedule()
        self._most = self._most_synthetic()
        self.reuse = Reuse.apart(as_reuse(reuse, self.classes), self._most)
        self._totals = {0: self._totals_at_first()}
        self._latest: tuple[int, Slots] | None = None
        self._check_empty_classes()

    def with_batch_size(self, batch_size: int) -> "MixPlan":
        """The plan of the same mix in batches of another size."""
        plan = MixPlan(
            self.labels,
            batch_size=batch_size,
            balance=self.balance,
            ratio=self.schedule,
            epochs=self.epochs,
            seed=self.seed,
            drop_last=self.drop_last,
            classes=self.classes,
            sources=self.sources,
            reuse=self.reuse.times,
        )
        plan.log = self.log
        return plan

    @property
    def nbytes(self) -> int:
        """What it takes in memory, with the slots of one epoch."""
        slot = sum(part.itemsize for part in vars(Slots.of_classes(self.labels[:0])).values())
        return int(self.labels.nbytes + self._rows.nbytes + self.length * slot)

    @property
    def shares(self) -> Floats:
        """The share of each class in the delivered stream: ``float64[C]``, sums to 1."""
        return self.census.slots / self.length

    @property
    def weights(self) -> Floats:
        """The natural share of each class over its delivered one, 0 where none is delivered: ``float64[C]``."""
        natural = self.real / len(self.labels)
        return np.divide(natural, self.shares, out=np.zeros_like(natural), where=self.shares > 0)

    def settings(self) -> dict[str, str | int | None]:
        """What two plans must share to be the same, as plain values that can be compared and shown."""
        return dict(self._settings)

    @cached_property
    def _settings(self) -> dict[str, str | int | None]:
        return {
            "samples": len(self.labels),
            "labels": self.fingerprint,
            "classes": repr(self.classes) if self.classes.count <= _SHOWN else self.classes.count,
            "batch_size": self.batch_size,
            "balance": shown(self.balance),
            "ratio": shown(self.schedule),
            "epochs": self.epochs,
            "seed": self.seed,
            "drop_last": int(self.drop_last),
            "sources": int(self.sources),
            "reuse": shown(self.reuse.times if np.ptp(self.reuse.times) else self.reuse.times[0]),
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self.labels)

    def epoch(self, epoch: int) -> Slots:
        """All slots of an epoch: the same ones whenever it is asked for.

        Args:
            epoch: from 0, and below ``epochs`` where that is given.

        Returns:
            ``Slots`` of ``length`` rows.
        """
        if self._latest is None or self._latest[0] != epoch:
            self.check_epoch(epoch)
            self._latest = epoch, self._slots(epoch)
        return self._latest[1]

    def holds(self, epoch: int) -> bool:
        """Whether the slots of an epoch are at hand."""
        return self._latest is not None and self._latest[0] == epoch

    def explain(self) -> Explanation:
        """What all epochs will deliver of each class, without making their slots.

        A ratio that changes is gone through slot by slot, once; any other is only counted.

        Returns:
            The counts that ``epoch`` gives, for one epoch if ``epochs`` is not known; printed, a table and warnings.
        """
        return explained(self)

    def ratio(self, progress: float, epoch: int = 0) -> Floats:
        """The ratio of every class at one moment of training, from 0 to 1: ``float64[C]``.

        Args:
            progress: the moment, from 0 to 1.
            epoch: the one whose scores count, where the ratio follows them.
        """
        return self.schedule(np.full(self.classes.count, progress), self._each, self._census_at(epoch))

    def reuse_at(self, epoch: int) -> Reuse:
        """Which sample each synthetic slot of an epoch gets: as was asked for, or more often each."""
        times, since = reuse_at(self.log, epoch)
        return self.reuse if since is None else Reuse.apart(np.maximum(self.reuse.times, times), self._most)

    def reused_since(self, epoch: int) -> int:
        """The epoch since which samples are used as often as in this one; it began with new ones."""
        return reuse_at(self.log, epoch)[1] or 0

    def rows_by_key(self, purpose: Purpose, label: Ints, key: Ints) -> Ints:
        """A real sample of its class for each synthetic one: a function of its key, or the same key would give another
        sample.

        Args:
            purpose: what it is for.
            label: ``int64[n]``.
            key: ``int64[n]``.

        Returns:
            ``int64[n]``, rows of the dataset; -1 for a class that has none.
        """
        real = self.real[label]
        nth = (hash64(self.seed, purpose, key) % np.maximum(real, 1).astype(np.uint64)).astype(np.int64)
        place = np.minimum(self._first_row[label] + nth, len(self._rows) - 1)
        return np.asarray(np.where(real > 0, self._rows[place], -1))

    def feedback(self, epoch: int, scores: ArrayLike | Mapping[Any, float]) -> None:
        """Let the ratio follow scores from an epoch on.

        Args:
            epoch: the first that is to know of them.
            scores: ``float[C]``, from 0 to 1, or ``{class: score}``.

        Raises:
            ValueError: if the ratio doesn't look at scores, or they aren't one for each class.
        """
        self.change(as_feedback(epoch, scores, self.schedule, self.classes))

    def change(self, *changes: Change) -> None:
        """Add to the log, and forget what was known of the epochs that it changes."""
        first = min(one.epoch for one in changes)
        self.log = (*self.log, *changes)
        self._totals = {known: totals for known, totals in self._totals.items() if known <= first}
        self._latest = None if self._latest is None or self._latest[0] >= first else self._latest

    def totals(self, epoch: int) -> Totals:
        """What each class has had before an epoch begins.

        Where the ratio changes, the epochs before it are gone through, from the latest one whose totals are known.
        """
        known = max(one for one in self._totals if one <= epoch)
        totals = self._totals[known]
        for earlier in range(known, epoch):
            totals = self._totals_after(earlier, totals)
        self.resume(epoch, totals)
        return totals

    def synthetic_before(self, epoch: int) -> Ints:
        """How many synthetic slots of each class the epoch before this one has, or the first one: ``int64[C]``."""
        epoch = max(epoch, 1)
        return self.totals(epoch).synthetic - self.totals(epoch - 1).synthetic

    def each_totals(self, epochs: int) -> Iterator[Totals]:
        """What each class has had before the first epoch, and after each of so many; none of it is remembered."""
        totals = self._totals[0]
        yield totals
        for epoch in range(epochs):
            totals = self._totals_after(epoch, totals)
            yield totals

    def resume(self, epoch: int, totals: Totals) -> None:
        """Take the totals at the start of an epoch as known, from a saved state."""
        others = [known for known in self._totals if known not in (0, epoch)]
        self._totals = {known: self._totals[known] for known in (0, *others[-_KNOWN:])} | {epoch: totals}

    def restore(self, log: Log, epoch: int, totals: Totals) -> None:
        """Take over what was changed, and had, before an epoch of which a state was saved."""
        self.log, self._totals, self._latest = log, {0: self._totals[0]}, None
        self.resume(epoch, totals)

    def _slots(self, epoch: int) -> Slots:
        before, order = self.totals(epoch), self._order(epoch)
        slots = Slots.of_classes(order)
        ratio, reuse, seeds = self._ratio_in(epoch), self.reuse_at(epoch), self._sample_seeds(epoch)
        for run in self._by_class(order):
            made, synthetic = self._quota(run, ratio(run), before.due)
            fake, label = run.place[synthetic], run.label[synthetic]
            slots.synthetic[fake] = True
            nth = before.synthetic[label] + made[synthetic]
            slots.key[fake] = sample_key(seeds[label], reuse.sample(label, nth))
            slots.last[fake] = reuse.is_last(label, nth)
            slots.index[run.place[~synthetic]] = self._real_rows(run, synthetic, before)
            if self.sources:
                slots.index[fake] = self.rows_by_key(Purpose.SOURCE, label, slots.key[fake])
        return slots

    def _sample_seeds(self, epoch: int) -> NDArray[np.uint64]:
        """What the samples of each class are numbered under; anew where their reuse changes, since a number may come
        again then: ``uint64[C]``."""
        since = reuse_at(self.log, epoch)[1]
        return self._sample_seed if since is None else hash64(self.seed, Purpose.SAMPLE, self._each, since)

    def _by_class(self, order: Ints) -> Iterator[_Run]:
        """The slots of an epoch, a few whole classes at a time, so that work on them stays in the cache."""
        place = _stable_argsort(order, self.classes.count)
        count = np.bincount(order, minlength=self.classes.count)
        classes, count = np.flatnonzero(count), count[count > 0]
        ends = np.cumsum(count)
        for some, slots in runs(ends, _RUN):
            label = np.repeat(classes[some], count[some])
            yield _Run(classes[some], (ends - count)[some] - slots.start, count[some], label, place[slots])

    def _order(self, epoch: int) -> Ints:
        counts = self._quotas.counts(epoch)
        if self.natural:
            return shuffled_order(counts, seed=self.seed, epoch=epoch)
        return stratified_order(counts, batch_size=self.batch_size, seed=self.seed, epoch=epoch)

    def _census_at(self, epoch: int) -> Census:
        return replace(self.census, scores=scores_before(self.log, epoch, self.classes.count))

    def _fixed_ratio(self, epoch: int) -> Ints:
        """The ratio of each class in an epoch throughout which it stays: ``int64[C]``."""
        return fixed(self.ratio(0.0, epoch), self.schedule)

    def _ratio_in(self, epoch: int) -> Callable[[_Run], Ints]:
        """The ratio of each slot in fixed point."""
        if not self.schedule.changes:
            of_class = self._fixed_ratio(epoch)
            return lambda run: of_class[run.label]
        census, epochs = self._census_at(epoch), epochs_at(self.log, epoch, self.epochs) or 1

        def ratio(run: _Run) -> Ints:
            progress = (epoch + (run.place + 0.5) / self.length) / epochs
            return fixed(self.schedule(progress, run.label, census), self.schedule)

        return ratio

    def _most_synthetic(self) -> Ints:
        """The most synthetic slots of each class that a batch can have, at any time: ``int64[C]``."""
        share = 1.0 if self.natural else self.shares
        slots = np.minimum(np.floor(self.batch_size * share) + 1, np.ceil(self.census.slots))
        ratio = np.ones_like(self.shares) if self.schedule.changes else self.ratio(0.0)
        return np.asarray(np.minimum(np.floor(slots * ratio) + 1, slots), np.int64)

    def _quota(self, run: _Run, ratio: Ints, due: Ints) -> tuple[Ints, Bools]:
        """Which slots are synthetic: those at which the ratios of the class, summed up, pass a whole number.

        Returns:
            ``int64[n]``, how many of its class before each slot in this epoch are synthetic, and ``bool[n]``, whether
            it is itself.
        """
        earned = np.cumsum(ratio) - ratio
        earned += np.repeat(due[run.classes] - earned[run.begin], run.counts)
        made = earned >> BITS
        return made, (earned + ratio) >> BITS > made

    def _real_rows(self, run: _Run, synthetic: Bools, before: Totals) -> Ints:
        count = run.counts - np.add.reduceat(synthetic, run.begin, dtype=np.int64)
        real = self.real[run.classes]
        missing = run.classes[(real == 0) & (count > 0)]
        if len(missing):
            raise self._no_real_sample(missing)
        rows: Ints = cycle_rows(
            run.classes, real, (before.slots - before.synthetic)[run.classes], count, seed=self.seed
        )
        return np.asarray(self._rows[self._first_row[run.label[~synthetic]] + rows])

    def _totals_at_first(self) -> Totals:
        none = np.zeros(self.classes.count, np.int64)
        phase = (hash64(self.seed, Purpose.PHASE, self._each) >> np.uint64(64 - BITS)).astype(np.int64)
        return Totals(none, none, phase)

    def _totals_after(self, epoch: int, before: Totals) -> Totals:
        slots, due = self._quotas.counts(epoch).epoch, before.due.copy()
        if not self.schedule.changes:
            due += slots * self._fixed_ratio(epoch)
        else:
            ratio = self._ratio_in(epoch)
            for run in self._by_class(self._order(epoch)):
                due[run.classes] += np.add.reduceat(ratio(run), run.begin)
        return Totals(before.slots + slots, before.synthetic + (due >> BITS), due & (ONE - 1))

    def check_epoch(self, epoch: int) -> None:
        """Refuse an epoch outside of training."""
        if epoch < 0 or (self.epochs is not None and epoch >= self.epochs):
            last = "" if self.epochs is None else f" to {self.epochs - 1}"
            raise ValueError(
                f"MixPlan: expected an epoch from 0{last}, found {epoch}; epochs= is the length of training, of which "
                "each pass that delivered a batch is one, a mere look at the first too; loader.set_epoch(e) says which "
                "is next"
            )

    def check_real(self, slots: Ints) -> None:
        """Refuse real slots of a class without real samples.

        Args:
            slots: ``int64[C]``, how many of them each class has.
        """
        missing = np.flatnonzero((self.real == 0) & (slots > 0))
        if len(missing):
            raise self._no_real_sample(missing)

    def _check_schedule(self) -> None:
        """That it can be evaluated for these classes, and that the length of training is known if that matters."""
        fixed(self.ratio(0.0), self.schedule)
        if self.schedule.changes and self.epochs is None:
            raise ValueError(f"ratio: {self.schedule} changes over training, whose length is unknown; pass epochs=")

    def _check_empty_classes(self) -> None:
        """A class without real samples needs ratio 1: looked at over training here, and at every slot when an epoch is
        made."""
        empty = np.flatnonzero((self.real == 0) & (self.census.slots > 0))
        if self.sources and len(empty):
            raise ValueError(
                f"labels: the generator makes samples from real ones, and there is none of {self.classes.listed(empty)}"
            )
        for progress in np.linspace(0, 1, 101) if len(empty) else ():
            missing = empty[self.ratio(progress)[empty] < 1]
            if len(missing):
                raise self._no_real_sample(missing)

    def _no_real_sample(self, missing: Ints) -> ValueError:
        name = self.classes.key(int(missing[0]))
        return ValueError(
            f"labels: no real sample of {self.classes.listed(missing)}, so the generator must make all of it; pass "
            f"ratio={{{name!r}: 1.0, ...}}, ratio=Fill(cap=1.0), or balance={{...}} without it"
        )


def fingerprint_of(labels: Ints) -> str:
    """A few letters that tell labels from others."""
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def _stable_argsort(label: Ints, classes: int) -> Ints:
    """As ``argsort(kind="stable")``, 16 bits at a time: numpy sorts those by radix, several times faster."""
    place = np.argsort(label.astype(np.uint16), kind="stable")
    if classes > 1 << 16:
        place = place[np.argsort((label >> 16).astype(np.uint16)[place], kind="stable")]
    return place
