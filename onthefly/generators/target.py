"""Target: what a network is to make."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a network is to make: one tensor for each sample, as its coding sees it.

    Attributes:
        shape: of one: ``(D,)`` a vector, ``(C, T)`` a signal, ``(C, H, W)`` an image.
        classes: how many there are.
        bounded: whether values lie in [0, 1]; else their mean is about 0 and their scale about 1.
        conditions: how many numbers describe a sample beside its class.
        tokens: how many different whole numbers it is made of, from 0; 0 where it is made of others.
    """

    shape: tuple[int, ...]
    classes: int
    bounded: bool = True
    conditions: int = 0
    tokens: int = 0

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape without channels: none of a vector."""
        return self.shape[1:]
