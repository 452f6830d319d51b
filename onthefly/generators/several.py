"""Several generators behind one door: what is common to all ways of joining them."""

from collections.abc import Sequence
from typing import Self

import torch

from onthefly.generators.base import FrozenGenerator


class SeveralGenerators(FrozenGenerator):
    """Generators that are asked as one.

    Args:
        inner: each of them.
    """

    def __init__(self, inner: Sequence[FrozenGenerator]) -> None:
        self.inner = list(inner)
        self.wants_source = any(made.wants_source for made in self.inner)
        self.cache_bytes = max(made.cache_bytes for made in self.inner)
        self.max_overhead = min((made.max_overhead for made in self.inner if made.max_overhead), default=None)

    @property
    def device(self) -> torch.device | None:  # type: ignore[override]
        """Where all of them were put; None if that isn't one place."""
        places = {made.device for made in self.inner}
        return places.pop() if len(places) == 1 else None

    @property
    def where(self) -> torch.device:
        """Where all of them are; else it may be asked anywhere."""
        places = {made.where for made in self.inner}
        return places.pop() if len(places) == 1 else torch.device("cpu")

    @property
    def makers(self) -> list[FrozenGenerator]:
        return [maker for made in self.inner for maker in made.makers]

    def reused(self, times: int = 1, *, cache_bytes: int = 1 << 30, max_overhead: float | None = None) -> Self:
        again = super().reused(times, cache_bytes=cache_bytes, max_overhead=max_overhead)
        again.inner = [made.reused(times, cache_bytes=cache_bytes) for made in self.inner]
        return again

    def to(self, device: torch.device | str) -> Self:
        for made in self.inner:
            made.to(device)
        return self

    def placed(self, device: torch.device) -> torch.device:
        """One device if all run there, else the loader's: each is then asked where it runs."""
        places = {made.placed(device) for made in self.inner}
        return places.pop() if len(places) == 1 else device
