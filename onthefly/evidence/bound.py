"""The bound: the least time that a batch can take, from what its parts take alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What one part of the work takes for a batch, when nothing else runs.

    Attributes:
        seconds: by the clock.
        cpu: seconds of all cores, workers included.
    """

    seconds: float
    cpu: float


NOTHING = Part(0.0, 0.0)


@dataclass(frozen=True)
class Bound:
    """The least time for a batch: real samples are fetched, others generated, then all are augmented.

    Where the device is the CPU all three share its cores, so it is no less than the work of all three over the cores.

    Attributes:
        fetch: real samples, by the workers.
        generate: synthetic ones, in the generator's best batches.
        augment: all of them.
        cores: that the three share; None where generation and augmentation have a device of their own.
        beside: whether real samples can be fetched beside generation, which the main process can't do by itself.

    >>> bound = Bound(Part(0.04, 0.08), Part(0.03, 0.06), Part(0.01, 0.02), cores=2)
    >>> f"{bound.on_clock:.2f} {bound.on_cores:.2f} {bound.seconds:.2f}", bound.limit
    ('0.05 0.08 0.08', 'the cores')
    >>> f"{bound.efficiency(0.1):.2f} {bound.utilisation(0.1):.2f}"
    '0.80 0.30'
    """

    fetch: Part
    generate: Part
    augment: Part
    cores: int | None
    beside: bool = True

    @property
    def before_augment(self) -> float:
        """Seconds until the samples are there."""
        fetch, generate = self.fetch.seconds, self.generate.seconds
        return max(fetch, generate) if self.beside else fetch + generate

    @property
    def on_clock(self) -> float:
        """Seconds, if nothing stands in the way."""
        return self.before_augment + self.augment.seconds

    @property
    def on_cores(self) -> float:
        """Seconds, if the cores are never idle; 0 where they aren't shared."""
        work = self.fetch.cpu + self.generate.cpu + self.augment.cpu
        return 0.0 if self.cores is None else work / self.cores

    @property
    def seconds(self) -> float:
        """The larger of the two."""
        return max(self.on_clock, self.on_cores)

    @property
    def limit(self) -> str:
        """What would help most if it were quicker."""
        if self.on_cores > self.on_clock:
            return "the cores"
        parts = {"fetching": self.fetch, "generation": self.generate, "augmentation": self.augment}
        return max(parts, key=lambda name: parts[name].seconds)

    def efficiency(self, delivered: float) -> float:
        """The bound over the seconds that a batch really took: 1 is all that can be had."""
        return self.seconds / delivered

    def utilisation(self, delivered: float) -> float:
        """The generator's time alone for what it made, over the seconds that the batch took: the share of the time in
        which it did what it can do. It can come near 1 only where generation is the limit."""
        return self.generate.seconds / delivered
