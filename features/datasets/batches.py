"""The one input pipeline: from cached rows to batches, the same for the same seed and epoch."""

import concurrent.futures
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf


def epoch_order(
    n: int, *, seed: int, epoch: int, groups: np.ndarray | None = None, balanced: bool = False
) -> np.ndarray:
    """Return the order of examples in one epoch: a pure function of its arguments.

    Args:
        n: number of examples.
        seed: of the training.
        epoch: from 0 on.
        groups: class or other group of each example; needed for ``balanced``.
        balanced: draw every group equally often, small ones with repetition.

    Returns:
        Positions [n].
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    if not balanced or groups is None:
        return random.permutation(n)
    kinds = np.unique(groups)
    share = np.full(len(kinds), n // len(kinds)) + (np.arange(len(kinds)) < n % len(kinds))
    drawn = [
        _cycled(np.flatnonzero(groups == one), int(count), random)
        for one, count in zip(kinds, share, strict=True)
    ]
    return random.permutation(np.concatenate(drawn))


def bucketed(order: np.ndarray, lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> np.ndarray:
    """Bring sequences of about the same length together in batches: a pure function of its arguments.

    Within stretches of 4 to 32 batches, a quarter of the epoch if it has as many, the examples are sorted by
    length; the batches are then shuffled, but for a last one that is not full.

    Args:
        order: positions, as `epoch_order` gives them.
        lengths: of all rows.
        batch_size: examples in a batch.
        seed: of the training.
        epoch: from 0 on.
    """
    # In a single stretch the same examples would stand together in every epoch.
    stretch = max(4, min(32, len(order) // batch_size // 4)) * batch_size
    parts = [order[start : start + stretch] for start in range(0, len(order), stretch)]
    by_length = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    full = len(order) // batch_size
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, 2])))
    batches = by_length[: full * batch_size].reshape(full, batch_size)[random.permutation(full)]
    return np.concatenate([batches.ravel(), by_length[full * batch_size :]])


def _cycled(members: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rounds = [random.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate(rounds)[:count]


def batches(
    rows: Any,
    targets: np.ndarray,
    *,
    batch_size: int,
    weights: np.ndarray | None = None,
    order: np.ndarray | None = None,
    augmentation: Any | None = None,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    share: Callable[[int], slice] = slice,
) -> Iterator[tuple[Any, Any, Any]]:
    """Make batches of (inputs, targets, weights); the last one may be smaller.

    The cached rows are arrays already, so a batch is one gather: a tf.data graph made anew for every
    epoch cost more than the training steps of a small model. The next batch is gathered while the
    present one is worked on.

    Args:
        rows: cached inputs, indexed by arrays of positions.
        targets: [rows] or [rows, ...].
        batch_size: examples in a batch.
        weights: of each example, 1 where None.
        order: positions in the wanted order; as they lie where None.
        augmentation: a callable from inputs, targets and seeds int32 [batch, 2] to inputs and targets.
        seed: of the training.
        epoch: from 0 on; with the seed and the place in the order it decides the augmentation.
        start: batches to pass over, for a training that goes on in the middle of an epoch.
        share: from the size of a batch to the part of it that is made; all of it unless given.

    Yields:
        Tensors [batch, ...], targets and float32 weights [batch].
    """
    order = np.arange(len(rows)) if order is None else order
    weights = np.ones(len(rows), np.float32) if weights is None else np.asarray(weights, np.float32)
    seeds = _seeds(len(order), seed, epoch) if augmentation else None

    def gather(begin: int) -> tuple[Any, Any, Any]:
        places = np.arange(begin, min(begin + batch_size, len(order)))
        part = places[share(len(places))]
        positions = order[part]
        pair = tf.constant(rows[positions]), tf.constant(targets[positions])
        if augmentation is not None and seeds is not None:
            pair = augmentation(*pair, tf.constant(seeds[part]))
        return *pair, tf.constant(weights[positions])

    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        coming = None
        for begin in range(start * batch_size, len(order), batch_size):
            present = coming or ahead.submit(gather, begin)
            following = begin + batch_size
            coming = ahead.submit(gather, following) if following < len(order) else None
            yield present.result()


def _seeds(count: int, seed: int, epoch: int) -> np.ndarray:
    # One pair per place in the epoch's order: the same example is changed differently in each epoch.
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, 1])))
    return random.integers(np.iinfo(np.int32).max, size=(count, 2), dtype=np.int32)
