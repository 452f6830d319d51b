"""The source of a stream: any iterable of batches, opened anew for every pass, at any batch."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
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
        self._state_of: tuple[int, int] | None = None
        self._last: Any = None
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
    def workers(self) -> int:
        """Its worker processes, if it says how many it has."""
        return int(getattr(self.batches, "num_workers", 0))

    @property
    def place(self) -> tuple[int, int]:
        """Which process's part it is: rank and number of processes."""
        return self.shard.rank, self.shard.world

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

    def resume(self, state: Any, epoch: int, step: int) -> None:
        """Let the next pass, if it begins here, begin where a state was taken."""
        if state is not None and not self._can_resume:
            raise ValueError(
                f"state: expected a stream that can load_state_dict, as when it was saved, found a "
                f"{type(self.batches).__name__} that can't; wrap the same kind of loader"
            )
        self._state, self._state_of = state, (epoch, step)

    def open(self, epoch: int, step: int) -> "Pass":
        """The batches of a pass from a step on."""
        batches = self._made()
        resumed = self._state is not None and self._state_of == (epoch, step)
        if resumed:
            self.batches.load_state_dict(self._state)
        self._state = None
        for part in _with_parts(batches):
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(epoch)
        return Pass(batches, self, epoch, step, resumed=resumed)

    def _made(self) -> Any:
        """What is gone through in a pass: the batches, or those that the function makes."""
        if isinstance(self.batches, Iterable):
            return self.batches
        made = self.batches()
        if made is self._last and isinstance(made, Iterator):
            raise TypeError(
                "wrap: expected a function that makes its batches anew for every epoch, found one that returned the "
                f"same {type(made).__name__} again, which is used up; make it inside the function"
            )
        self._last = made
        return made

    @property
    def turns(self) -> int:
        """How many batches the source yields for each one that this process takes."""
        return 1 if self._sharded else self.shard.world

    @property
    def _can_resume(self) -> bool:
        return all(callable(getattr(self.batches, name, None)) for name in ("state_dict", "load_state_dict"))


class Pass(Iterator[Any]):
    """One pass over a source. An error costs its own batch only; iteration can go on after it.

    Args:
        batches: what is gone through.
        source: that they are of.
        epoch: the number of the pass.
        step: where in it to begin.
        resumed: whether the batches begin there by themselves; else what lies before is gone through.

    Attributes:
        step: batches handed out, or lost to an error, since the pass began.
    """

    def __init__(self, batches: Any, source: Source, epoch: int, step: int, *, resumed: bool) -> None:
        self._all, self._batches, self._source, self._epoch, self.step = batches, iter(batches), source, epoch, step
        self._turns, self._shard = source.turns, source.shard
        self._behind = 0 if resumed else step
        self._may_be_over = resumed and step == 0

    def __next__(self) -> Any:
        if self.step == self._source.length:
            raise StopIteration
        try:
            while self._behind:
                self._skip()
            batch = self._turn()
        except StopIteration:
            if self._may_be_over:
                return self._begin_again()
            self._check_end()
            raise
        except Exception:
            self.step += 1
            raise
        self.step += 1
        self._may_be_over = False
        return batch

    def _skip(self) -> None:
        """Go through a batch that lies behind; an error that it costs has been told."""
        self._behind -= 1
        with suppress(Exception):
            self._turn()

    def _turn(self) -> Any:
        """A batch for each process that shares the source, of which this one's is taken; an error costs all of them."""
        error: Exception | None = None
        turn = []
        for _ in range(self._turns):
            try:
                turn.append(next(self._batches))
            except StopIteration:
                raise
            except Exception as one:  # noqa: BLE001 - it is raised when the turn is over
                error = one
        if error is not None:
            raise error
        return turn[self._shard.rank if self._turns > 1 else 0]

    def _begin_again(self) -> Any:
        """A state taken at the end of a pass may be of its end, or of the beginning of the next."""
        self._may_be_over, self._batches = False, iter(self._all)
        return next(self)

    def _check_end(self) -> None:
        """As many batches must come as were said to; of several processes without fail."""
        if self._source.length is not None and self._shard.world > 1:
            raise ValueError(
                f"length: expected {self._source.length} batches in epoch {self._epoch} on each of {self._shard.world} "
                f"processes, found {self.step} on rank {self._shard.rank}: the shards are uneven, and the other "
                "processes would wait for ever; pass the length of the shortest"
            ) from None
        if self._source.length is not None:
            warnings.warn(
                f"length: expected {self._source.length} batches in epoch {self._epoch}, found {self.step}: schedules "
                "reckon with more than comes; pass the number of batches of a pass",
                stacklevel=2,
            )


def _with_parts(batches: Any) -> list[Any]:
    """A loader and what it is made of, each once: samplers and datasets that may want to know the epoch."""
    sampler = getattr(batches, "batch_sampler", None)
    found = [batches, getattr(batches, "sampler", None), sampler, getattr(sampler, "sampler", None)]
    found.append(getattr(batches, "dataset", None))
    return list({id(part): part for part in found if part is not None}.values())
