"""The source of a stream: any iterable of batches, opened anew for every pass, at any batch."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from onthefly.data.processes import this_shard
from onthefly.mixing.ranks import Shard

Batches = Iterable[Any] | Callable[[], Iterable[Any]]


class Source:
    """Batches as somebody's loader makes them, for this process.

    Args:
        batches: an iterable that can be gone through more than once, or a function that makes one.
        length: how many batches to take in a pass; None for all.
        shard: this process's part; None for what ``torch.distributed`` says.
        sharded: with several processes, whether the source yields other batches in each; if not, they take turns.

    Raises:
        TypeError: for anything else, or what can be gone through only once.
    """

    def __init__(
        self, batches: Batches, *, length: int | None = None, shard: Shard | None = None, sharded: bool | None = None
    ) -> None:
        if isinstance(batches, Iterator):
            raise TypeError(
                f"wrap: expected batches that every epoch can go through again, found a {type(batches).__name__}, "
                "which is used up after one; pass a function that makes it: wrap(lambda: my_batches(), ...)"
            )
        if not isinstance(batches, Iterable | Callable):
            raise TypeError(
                f"wrap: expected a DataLoader, an iterable of batches, or a function that makes one, found a "
                f"{type(batches).__name__}; write wrap(DataLoader(dataset, ...), ...)"
            )
        self.batches: Any = batches
        self.length = length
        self._shard, self._sharded = shard, sharded
        self._state: Any = None
        self.shard  # noqa: B018 - refuses what is missing now rather than later

    @property
    def is_one_of_several(self) -> bool:
        """Whether ``torch.distributed`` knows of others that go through theirs together with this one."""
        return self._shard is None and self.shard.world > 1

    @property
    def shard(self) -> Shard:
        """This process's part."""
        shard = this_shard() if self._shard is None else self._shard
        if shard.world > 1 and self._sharded is None:
            raise ValueError(
                f"wrap: expected to know whether the stream is divided among the {shard.world} processes already, "
                "found sharded=None; pass sharded=True if each process's source yields batches of its own, False if "
                "all yield the same"
            )
        if shard.world > 1 and self._sharded and self.length is None:
            raise ValueError(
                "wrap: expected the number of batches that every process takes in a pass, found length=None; shards "
                "may differ, and a process that ends early leaves the others waiting: pass length="
            )
        return shard

    def __len__(self) -> int:
        """Batches in a pass of this process.

        Raises:
            TypeError: if nobody said so.
        """
        if self.length is not None:
            return self.length
        try:
            return len(self.batches) // self.turns
        except TypeError as error:
            name = type(self.batches).__name__
            raise TypeError(f"{name} has no len(); pass length= to wrap, the batches of a pass") from error

    @property
    def known_length(self) -> int | None:
        """The same, or None."""
        try:
            return len(self)
        except TypeError:
            return None

    def state(self) -> Any:
        """Where it stands, or will when it is opened, if it can say so itself; else None."""
        if self._state is not None:
            return self._state
        return self.batches.state_dict() if self._can_resume else None

    def resume(self, state: Any) -> None:
        """Let the next pass begin where a state was taken."""
        if state is not None and not self._can_resume:
            raise ValueError(
                f"state: expected a stream that can load_state_dict, as when it was saved, found a "
                f"{type(self.batches).__name__} that can't; wrap the same kind of loader"
            )
        self._state = state

    def open(self, epoch: int, step: int) -> "Pass":
        """The batches of a pass from a step on."""
        batches = self.batches if isinstance(self.batches, Iterable) else self.batches()
        for part in _with_parts(batches):
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(epoch)
        resumed = step > 0 and self._state is not None
        if resumed:
            self.batches.load_state_dict(self._state)
        self._state = None
        return Pass(iter(batches), self, epoch, step, behind=step if resumed else 0)

    @property
    def turns(self) -> int:
        """How many batches the source yields for each one that this process takes."""
        return 1 if self._sharded else self.shard.world

    @property
    def _can_resume(self) -> bool:
        return all(callable(getattr(self.batches, name, None)) for name in ("state_dict", "load_state_dict"))


class Pass(Iterator[Any]):
    """One pass over a source. An error costs its own batch only; iteration can go on after it.

    Attributes:
        step: batches handed out, or lost to an error, since the pass began.
    """

    def __init__(self, batches: Iterator[Any], source: Source, epoch: int, step: int, *, behind: int) -> None:
        self._batches, self._source, self._epoch, self.step = batches, source, epoch, step
        self._turns, self._shard = source.turns, source.shard
        self._asked = behind * self._turns

    def __next__(self) -> Any:
        if self.step == self._source.length:
            raise StopIteration
        try:
            self._catch_up()
            turn = [self._ask() for _ in range(self._turns)]
        except StopIteration:
            self._check_end()
            raise
        except Exception:
            self.step += 1
            raise
        self.step += 1
        return turn[self._shard.rank if self._turns > 1 else 0]

    def _catch_up(self) -> None:
        """Leave out what lies before this step: earlier batches, and the rest of a turn that was lost to an error."""
        while self._asked < self.step * self._turns:
            try:
                self._ask()
            except StopIteration:
                raise
            except Exception:  # noqa: BLE001 - it has cost its own batch, which lies behind
                continue

    def _ask(self) -> Any:
        self._asked += 1
        return next(self._batches)

    def _check_end(self) -> None:
        """Several processes must have equally many batches."""
        if self._source.length is not None and self._shard.world > 1:
            raise ValueError(
                f"length: expected {self._source.length} batches in epoch {self._epoch} on each of {self._shard.world} "
                f"processes, found {self.step} on rank {self._shard.rank}: the shards are uneven, and the other "
                "processes would wait for ever; pass the length of the shortest"
            ) from None


def _with_parts(batches: Any) -> list[Any]:
    """A loader and what it is made of, each once: samplers and datasets that may want to know the epoch."""
    sampler = getattr(batches, "batch_sampler", None)
    found = [batches, getattr(batches, "sampler", None), sampler, getattr(sampler, "sampler", None)]
    found.append(getattr(batches, "dataset", None))
    return list({id(part): part for part in found if part is not None}.values())
