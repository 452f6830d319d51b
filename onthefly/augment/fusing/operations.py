"""The operations of a pipeline in the order in which they run, containers taken apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_TAKEN_APART = ("AugmentationSequential", "ImageSequential")


@dataclass(frozen=True)
class Operation:
    """One operation: the module, and what it drew for this batch; None for what draws nothing, or before a batch.

    Attributes:
        name: in its container.
        module: Kornia's, or any other.
        params: as Kornia's ``forward_parameters`` gives them: a dict of tensors, or a list for a container.
    """

    name: str
    module: nn.Module
    params: Any = None

    @property
    def kind(self) -> str:
        """The name of its class, if that is exactly one of Kornia's or torch's: a subclass may do anything."""
        owner = type(self.module)
        return owner.__name__ if owner.__module__.startswith(("kornia.augmentation.", "torch.nn.modules.")) else ""

    @property
    def applied(self) -> Tensor:
        """``bool[N]`` on the CPU: the samples that Kornia's gate lets it change."""
        drawn: Tensor = self.params["batch_prob"].cpu()
        return torch.ones_like(drawn, dtype=torch.bool) if self.is_sure else drawn > 0.5

    @property
    def is_sure(self) -> bool:
        """Whether Kornia applies it to all, and doesn't ask its gate."""
        module: Any = self.module
        return bool(module.p == 1.0 and module.p_batch == 1.0)


def as_container(pipeline: Any) -> nn.Module:
    """What ``fused`` was given, as Kornia's container or an ``nn.Sequential``.

    Raises:
        ValueError: if it is no pipeline, or has transforms of torchvision.
    """
    container: nn.Module = pipeline
    if not isinstance(pipeline, nn.Module) or not (is_container(pipeline) or type(pipeline) is nn.Sequential):
        steps = list(pipeline) if isinstance(pipeline, (list, tuple)) else [pipeline]
        if not steps or not all(isinstance(step, nn.Module) for step in steps):
            raise ValueError(
                f"augment.fused: expected a Kornia pipeline, or a list of operations, found {pipeline!r}; write "
                "fused([kornia.augmentation.RandomHorizontalFlip()])"
            )
        container = nn.Sequential(*steps)
    for part in container.modules():
        if type(part).__module__.startswith("torchvision.transforms"):
            raise ValueError(
                f"augment.fused: expected Kornia's operations or modules of your own, found {part} of torchvision, "
                "whose transforms draw once for a whole batch and leave masks where they are; write Kornia's, or give "
                "it to the dataset"
            )
    return container


def is_of_kornia(module: nn.Module) -> bool:
    """Whether it and all that it holds are Kornia's."""
    return all(type(part).__module__.startswith("kornia.") for part in module.modules())


def not_of_kornia(module: nn.Module) -> Iterator[nn.Module]:
    """The user's own modules of a pipeline."""
    for child in module.children():
        if is_container(child):
            yield from not_of_kornia(child)
        elif not type(child).__module__.startswith("kornia.augmentation."):
            yield child


def is_container(module: nn.Module) -> bool:
    """Whether it only runs its children one after the other, so that these can be fused with what is around it."""
    return type(module).__name__ in _TAKEN_APART and type(module).__module__.startswith("kornia.augmentation.")


def children_of(container: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The children that one call runs, by name; drawn, where their order or their number is random."""
    drawn: Iterator[tuple[str, nn.Module]] = (
        container.get_forward_sequence() if is_container(container) else _as_they_stand(container)  # type: ignore[operator]
    )
    return drawn


def operations(container: nn.Module, params: Any = None) -> list[Operation]:
    """All operations in the order of ``params``, or as they stand in the pipeline before anything was drawn."""
    if params is None:
        given = [Operation(name, child) for name, child in _as_they_stand(container)]
    else:
        given = [Operation(item.name, container.get_submodule(item.name), item.data) for item in params]
    return [inner for one in given for inner in (_inside(one) if is_container(one.module) else [one])]


def _as_they_stand(container: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A step that stands twice runs twice in torch's containers, once in Kornia's."""
    named = container.named_children() if is_container(container) else container._modules.items()
    return ((name, child) for name, child in named if child is not None)


def _inside(one: Operation) -> list[Operation]:
    return [
        Operation(f"{one.name}.{inner.name}", inner.module, inner.params)
        for inner in operations(one.module, one.params)
    ]
