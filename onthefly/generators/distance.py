"""How far two sets of samples are from each other: the sliced Wasserstein distance (Rabin et al., SSVM 2011)."""

import torch
from torch import Tensor

_DIRECTIONS = 256
_MOST = 256  # samples of a class: more hardly make it more exact


def sliced_wasserstein(one: Tensor, other: Tensor) -> Tensor:
    """The mean distance of equally many samples ``[N, D]``, seen from random directions, which torch's global generator
    draws.

    >>> near = sliced_wasserstein(torch.zeros(4, 3), torch.zeros(4, 3) + 0.1)
    >>> near < sliced_wasserstein(torch.zeros(4, 3), torch.zeros(4, 3) + 1)
    tensor(True)
    """
    directions = torch.randn(one.shape[1], _DIRECTIONS, device=one.device)
    directions = directions / directions.norm(dim=0)
    seen = [(samples.flatten(1) @ directions).sort(dim=0).values for samples in (one, other)]
    distance: Tensor = (seen[0] - seen[1]).abs().mean()
    return distance


def distance_by_class(real: Tensor, synthetic: Tensor, labels: Tensor) -> Tensor:
    """The mean over classes of the distance between real and synthetic samples ``[N, ...]`` of ``int64[N]`` classes."""
    distances = []
    for label in labels.unique().tolist():
        mine = (labels == label).nonzero()[:_MOST, 0]
        distances.append(sliced_wasserstein(real[mine].flatten(1), synthetic[mine].flatten(1)))
    return torch.stack(distances).mean()
