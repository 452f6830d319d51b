"""The order of an epoch: which class each slot has, from how many slots each class gets."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onthefly.mixing.counts import Counts
from onthefly.mixing.keys import Purpose, hash64, shuffle_decks

Ints = NDArray[np.int64]

_GOLDEN = 0.6180339887498949
_RUN = 512  # batches worked on at once


def shuffled_order(counts: Counts, *, seed: int, epoch: int) -> Ints:
    """Classes in an entirely random order, as a shuffled loader has them: ``int64[L]``."""
    labels = np.repeat(np.arange(len(counts.epoch)), counts.epoch)
    return labels[shuffle_decks(np.array([len(labels)]), hash64(seed, Purpose.ORDER, epoch, np.arange(1)))]


def stratified_order(counts: Counts, *, batch_size: int, seed: int, epoch: int) -> Ints:
    """Classes spread so that every batch holds each one's share, rounded up or down: ``int64[L]``.

    Every full batch gets the whole part of a class's slots per batch. The slots left over, fewer than the batches for
    each class, are laid end to end and dealt out in steps of about 0.618 of the number of batches, coprime to it: no
    class visits a batch twice, and every batch gets equally many. Inside its batch each slot is then shuffled.
    """
    full = counts.epoch - counts.tail
    batches = int(full.sum()) // batch_size
    seeds = hash64(seed, Purpose.ORDER, epoch, np.arange(batches + 1))
    order = np.empty(int(counts.epoch.sum()), np.int64)
    order[batches * batch_size :] = np.repeat(np.arange(len(full)), counts.tail)[
        shuffle_decks(counts.tail.sum(keepdims=True), seeds[batches:])
    ]
    for some, labels in _full_batches(full, batches, seed, epoch) if batches else ():
        card = shuffle_decks(np.full(len(labels), batch_size), seeds[some]).reshape(labels.shape)
        order[some.start * batch_size : some.stop * batch_size] = np.take_along_axis(labels, card, axis=1).ravel()
    return order


def _full_batches(counts: Ints, batches: int, seed: int, epoch: int) -> Iterator[tuple[slice, Ints]]:
    """The classes in each full batch, not yet shuffled, for some batches at a time: ``int64[batches, batch_size]``."""
    classes = np.argsort(hash64(seed, Purpose.SPREAD, epoch, np.arange(len(counts))))
    whole, left = np.divmod(counts[classes], batches)
    everywhere = np.repeat(classes, whole)
    spread = np.repeat(classes, left).reshape(-1, batches)
    step, start = _coprime_step(batches), int(hash64(seed, Purpose.SPREAD, epoch)) % batches
    visitor = (np.arange(batches) - start) * pow(step, -1, batches) % batches
    for begin in range(0, batches, _RUN):
        some = slice(begin, min(begin + _RUN, batches))
        dealt = spread[:, visitor[some]].T
        yield some, np.concatenate([np.broadcast_to(everywhere, (len(dealt), len(everywhere))), dealt], axis=1)


def _coprime_step(batches: int) -> int:
    step = max(1, round(_GOLDEN * batches))
    while math.gcd(step, batches) > 1:
        step += 1
    return step
