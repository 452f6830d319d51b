"""Explain: what a plan will deliver, class by class and epoch by epoch, told before training."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from onthefly.mixing.cautions import cautions, no_room, none_wanted, peak
from onthefly.mixing.classes import Classes
from onthefly.mixing.picture import draw
from onthefly.mixing.ranks import Shard
from onthefly.mixing.reuse import Reuse
from onthefly.mixing.schedule import Census, Schedule
from onthefly.mixing.slots import Totals
from onthefly.mixing.table import in_bytes, in_words, table

if TYPE_CHECKING:
    from onthefly.mixing.plan import MixPlan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_PATIENCE = 2.0  # seconds without a progress bar


@dataclass(frozen=True)
class Costs:
    """What a mix costs one process.

    Attributes:
        made: ``int64[E]``, samples that are made in each epoch; of several processes, about so many in each.
        sample_bytes: of one synthetic sample; None where nobody knows before it is made.
        remembered_bytes: the most that is remembered of samples that come again; None if ``sample_bytes`` is.
        cache_bytes: what remembered samples may take.
        plan_bytes: of the plan, with the slots of one epoch.
    """

    made: Ints
    sample_bytes: int | None
    remembered_bytes: int | None
    cache_bytes: int
    plan_bytes: int

    def __str__(self) -> str:
        lines = [f"the plan takes {in_bytes(self.plan_bytes)}"]
        if self.made.any():
            lines.append(f"{in_words(int(self.made.max()), 'sample')} to make an epoch")
        if self.made.any() and self.sample_bytes is not None:
            lines.append(f"a sample takes {in_bytes(self.sample_bytes)}")
        if self.remembered_bytes:
            room = in_bytes(self.cache_bytes)
            lines.append(f"those to be used again {in_bytes(self.remembered_bytes)}, of {room} that they may take")
        return "in each process: " + "; ".join(lines)


@dataclass(frozen=True)
class Explanation:
    """What will be delivered. Printed, it is a table and warnings.

    Attributes:
        about: what it is of, in words.
        classes: the classes.
        samples: ``int64[C]``, real samples that there are of each class.
        real: ``int64[E, C]``, real samples delivered in each epoch.
        synthetic: ``int64[E, C]``, synthetic samples delivered.
        fresh: ``int64[E, C]``, those of them that no slot had before; the others are used again.
        warnings: what looks unintended, a line each.
        costs: of one process; None where only the plan is known.

    >>> from onthefly import MixPlan
    >>> plan = MixPlan([0] * 90 + [1] * 10, batch_size=20, balance="uniform", ratio={1: 0.75}, epochs=3)
    >>> found = plan.explain()
    >>> found.total_real, found.total_synthetic
    (array([150,  38]), array([  0, 112]))
    >>> print(found)
    3 epochs of 100 slots in 5 batches of 20
                          epoch 0           epoch 1           epoch 2        all 3 epochs
    class   samples   real  synthetic   real  synthetic   real  synthetic   real  synthetic  ratio
    1            10     13         37     12         38     13         37     38        112  0.747
    0            90     50          0     50          0     50          0    150          0  0.000
    all         100     63         37     62         38     63         37    188        112  0.373
    warning: more synthetic than real: 1 (up to 75%); make the ratio smaller, or give less to classes of few real
    samples with balance=
    """

    about: str
    classes: Classes
    samples: Ints
    real: Ints
    synthetic: Ints
    fresh: Ints
    warnings: tuple[str, ...] = ()
    costs: Costs | None = None

    @property
    def epochs(self) -> int:
        """How many are explained."""
        return len(self.real)

    @property
    def total_real(self) -> Ints:
        """Real samples of each class delivered over all epochs: ``int64[C]``."""
        return np.asarray(self.real.sum(axis=0))

    @property
    def total_synthetic(self) -> Ints:
        """Synthetic samples of each class delivered over all epochs: ``int64[C]``."""
        return np.asarray(self.synthetic.sum(axis=0))

    @property
    def total_fresh(self) -> Ints:
        """Distinct synthetic samples of each class over all epochs: ``int64[C]``."""
        return np.asarray(self.fresh.sum(axis=0))

    @property
    def ratio(self) -> Floats:
        """The synthetic share of each class in each epoch: ``float64[E, C]``, NaN where it has no slot."""
        return share(self.real, self.synthetic)

    @property
    def total_ratio(self) -> Floats:
        """The synthetic share of each class over all epochs: ``float64[C]``, NaN where it has no slot."""
        return share(self.total_real, self.total_synthetic)

    def plot(self, path: str | Path) -> Path:
        """Draw what each class gets over all epochs, and its ratio in each, to a PNG file.

        Args:
            path: where to.

        Returns:
            The path.

        Raises:
            ValueError: for a path that doesn't end in .png.
            ImportError: if matplotlib is missing, naming the extra that brings it.
        """
        names = [self.classes.name(number) for number in range(self.classes.count)]
        return draw(self.about, names, self.real, self.synthetic, self.ratio, Path(path))

    def __str__(self) -> str:
        names = [self.classes.name(number) for number in range(self.classes.count)]
        rows = table(names, self.samples, self.real, self.synthetic, self.fresh)
        costs = [] if self.costs is None else [str(self.costs)]
        return "\n".join([self.about, *rows, *costs, *(f"warning: {line}" for line in self.warnings)])


def share(real: Ints, synthetic: Ints) -> Floats:
    """The synthetic share of what is delivered, NaN where nothing is."""
    slots = real + synthetic
    return np.asarray(np.divide(synthetic, slots, out=np.full(slots.shape, np.nan), where=slots > 0))


def explained(plan: "MixPlan", wished: Schedule | None = None, makes: Bools | None = None) -> Explanation:
    """What a plan will deliver, by arithmetic on its totals.

    Args:
        plan: of one epoch if it doesn't know how long training is.
        wished: the ratio as it was asked for, if the plan's is without the classes that the generator can't make.
        makes: ``bool[C]``, which these are not; None if it can make all.

    Raises:
        ValueError: as ``plan.epoch`` does, if a class without real samples has a slot for one.
    """
    epochs = plan.epochs or 1
    going = tqdm(
        plan.each_totals(epochs), total=epochs + 1, desc="explaining", unit="epoch", delay=_PATIENCE, leave=False
    )
    totals = list(going)
    slots, synthetic = (
        np.diff(np.array(counts), axis=0)
        for counts in zip(*((one.slots, one.synthetic) for one in totals), strict=True)
    )
    fresh = np.array([_fresh(plan, epoch, totals) for epoch in range(epochs)])
    real = slots - synthetic
    plan.check_real(real.sum(axis=0))
    batches = in_words(plan.steps, "batch", "batches")
    about = f"{lasting(plan.epochs)} of {plan.length} slots in {batches} of {plan.batch_size}"
    found = Explanation(about, plan.classes, plan.real, real, synthetic, fresh)
    return cautioned(found, plan.schedule if wished is None else wished, plan.census, makes)


def _window(reuse: Reuse, synthetic: Ints) -> int:
    """The most samples that are remembered at once."""
    return int(reuse.window[(reuse.times > 1) & (synthetic > 0)].sum())


def _fresh(plan: "MixPlan", epoch: int, totals: list[Totals]) -> Ints:
    """Samples of each class that are made for an epoch: ``int64[C]``."""
    reuse, since = plan.reuse_at(epoch), totals[plan.reused_since(epoch)].synthetic
    before, after = (reuse.distinct(totals[one].synthetic, since) for one in (epoch, epoch + 1))
    return after - before


def cautioned(found: Explanation, wished: Schedule, census: Census, makes: Bools | None) -> Explanation:
    """The same, with warnings.

    Args:
        found: what will be delivered.
        wished: the ratio that was asked for.
        census: what that may know about the classes.
        makes: ``bool[C]``, which of them the generator can make; None for all.
    """
    made = np.ones(found.classes.count, np.bool_) if makes is None else makes
    asked, lasts = peak(wished, census), lasting(found.epochs)
    lines = cautions(found.classes, found.total_real, found.total_synthetic, asked, made, lasts)
    return replace(found, warnings=(*lines, *none_wanted(wished, asked)))


def lasting(epochs: int | None) -> str:
    """How long training is, in words."""
    return "1 epoch (epochs= is not given)" if epochs is None else in_words(epochs, "epoch")


def with_costs(
    found: Explanation, plan: "MixPlan", shard: Shard, *, sample_bytes: int | None, cache_bytes: int
) -> Explanation:
    """The same; and what it costs one process.

    Args:
        found: the plan, explained.
        plan: that one.
        shard: the process.
        sample_bytes: of one synthetic sample, where that is known.
        cache_bytes: what remembered samples may take.
    """
    window = max(_window(plan.reuse_at(epoch), found.total_synthetic) for epoch in range(found.epochs or 1))
    remembered = None if sample_bytes is None else -(-window // shard.world) * sample_bytes
    costs = Costs(
        made=-(-found.fresh.sum(axis=1) // shard.world),
        sample_bytes=sample_bytes,
        remembered_bytes=remembered,
        cache_bytes=cache_bytes,
        plan_bytes=plan.nbytes,
    )
    return replace(found, costs=costs, warnings=(*found.warnings, *no_room(remembered, cache_bytes)))
