"""What the generators of other people's folders have in common."""

import copy
from typing import Self

import torch

from onthefly.generators.frozen import NetworkGenerator
from onthefly.generators.running import Compile
from onthefly.mixing.given import at_least_one


class ForeignGenerator(NetworkGenerator):
    """A network of another library, run as that runs it: in float32, so many samples at a time."""

    def running(
        self,
        *,
        batch_size: int | None = None,
        dtype: torch.dtype | str | None = None,
        compile: Compile = False,  # noqa: A002 - torch's own word for it
    ) -> Self:
        """The same generator, with another ``batch_size``: the most samples that are made at a time.

        Raises:
            TypeError: if ``dtype`` or ``compile`` are asked for.
        """
        if dtype not in (None, "float32", torch.float32) or compile is not False:
            return super().running(batch_size=batch_size, dtype=dtype, compile=compile)
        again = copy.copy(self)
        vars(again)["_measured"] = {}
        again.batch_size = None if batch_size is None else at_least_one(batch_size, "batch_size")
        return again
