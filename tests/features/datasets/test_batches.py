"""Batches against direct indexing; an epoch's order as a function of seed and epoch."""

import numpy as np
import pytest
import tensorflow as tf

from features.datasets.batches import batches, epoch_order
from features.images.augmentation import AugmentationSettings, ImageAugmentation


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 4, 23, 50])
def test_batches_are_slices_of_the_order(rows: np.ndarray, size: int) -> None:
    targets, weights = np.arange(23), np.linspace(0, 1, 23)
    order = np.random.default_rng(1).permutation(23)
    got = list(batches(rows, targets, batch_size=size, weights=weights, order=order))
    assert len(got) == -(-23 // size)
    np.testing.assert_array_equal(np.concatenate([x for x, _, _ in got]), rows[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in got]), targets[order])
    np.testing.assert_array_equal(np.concatenate([w for _, _, w in got]), weights[order].astype(np.float32))


def test_the_middle_of_an_epoch_goes_on_where_it_was(rows: np.ndarray) -> None:
    options = {
        "batch_size": 4,
        "seed": 3,
        "epoch": 2,
        "augmentation": lambda x, y, seeds: (x + tf.cast(seeds[:, :1], x.dtype), y),
    }
    whole = list(batches(rows, np.arange(23), **options))
    rest = list(batches(rows, np.arange(23), **options, start=2))
    assert len(rest) == len(whole) - 2
    for (x, y, w), (other_x, other_y, other_w) in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(w, other_w)


def test_weights_are_one_where_none_are_given(rows: np.ndarray) -> None:
    assert all((w.numpy() == 1).all() for _, _, w in batches(rows, np.arange(23), batch_size=7))


def test_an_order_is_a_permutation_that_seed_and_epoch_decide() -> None:
    orders = {
        (seed, epoch): tuple(epoch_order(50, seed=seed, epoch=epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(orders.values())) == 9
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert tuple(epoch_order(50, seed=1, epoch=2)) == orders[1, 2]


def test_balanced_orders_draw_every_class_equally_often() -> None:
    targets = np.array([0] * 80 + [1] * 15 + [2] * 5)
    order = epoch_order(100, seed=0, epoch=0, groups=targets, balanced=True)
    assert sorted(np.bincount(targets[order])) == [33, 33, 34]
    # A small class is gone through evenly, a large one not repeated.
    small = np.bincount(order, minlength=100)[95:]
    assert small.max() - small.min() <= 1
    assert np.bincount(order, minlength=100)[:80].max() == 1


def test_the_same_example_is_changed_differently_in_each_epoch() -> None:
    images = np.random.default_rng(0).random((6, 8, 8, 3)).astype(np.float32)
    changed = ImageAugmentation(AugmentationSettings(flip="both", contrast=0.5))

    def epoch(number: int) -> np.ndarray:
        got = batches(images, np.arange(6), batch_size=4, augmentation=changed, seed=1, epoch=number)
        return np.concatenate([x for x, _, _ in got])

    np.testing.assert_array_equal(epoch(0), epoch(0))
    assert np.abs(epoch(0) - epoch(1)).max() > 0.01
