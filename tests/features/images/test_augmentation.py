"""Augmentations against their definitions in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.images.augmentation import (
    AugmentationSettings,
    ImageAugmentation,
    NumberAugmentation,
    NumberAugmentationSettings,
)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((64, 10, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def seeds() -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).integers(0, 2**31 - 1, (64, 2)), tf.int32)


def changed(images: np.ndarray, seeds: tf.Tensor, **settings) -> np.ndarray:
    augmentation = ImageAugmentation(AugmentationSettings(**settings))
    classes = tf.range(len(images))
    result, targets = augmentation(tf.constant(images), classes, seeds)
    np.testing.assert_array_equal(targets, classes)
    return result.numpy()


def test_off_means_untouched(images, seeds) -> None:
    augmentation = ImageAugmentation(AugmentationSettings())
    assert not augmentation.active
    np.testing.assert_array_equal(augmentation(tf.constant(images), tf.zeros(64), seeds)[0], images)


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", [None, 1]), ("vertical", [None, 0]), ("both", [None, 0, 1, (0, 1)])]
)
def test_a_flip_is_a_flip_about_half_the_time(images, seeds, flip, axes) -> None:
    result = changed(images, seeds, flip=flip)
    counts = dict.fromkeys(axes, 0)
    for before, after in zip(images, result, strict=True):
        ways = {axis: before if axis is None else np.flip(before, axis) for axis in axes}
        (found,) = [axis for axis, wanted in ways.items() if np.allclose(wanted, after, atol=1e-5)]
        counts[found] += 1
    # Four standard deviations of a fair draw.
    share = 1 / len(axes)
    for count in counts.values():
        assert abs(count - 64 * share) < 4 * (64 * share * (1 - share)) ** 0.5


def test_a_shift_moves_by_whole_pixels(images, seeds) -> None:
    result = changed(images, seeds, translation=0.2)
    seen = set()
    for before, after in zip(images, result, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
        ways = {(y, x): padded[y : y + 10, x : x + 12] for y in range(5) for x in range(5)}
        (found,) = [place for place, wanted in ways.items() if np.allclose(wanted, after, atol=1e-5)]
        seen.add(found)
    assert len(seen) > 10


def test_contrast_is_about_the_mean(images, seeds) -> None:
    result = changed(images, seeds, contrast=0.3)
    factors = []
    for before, after in zip(images, result, strict=True):
        mean = before.mean((0, 1), keepdims=True)
        inside = (after > 0) & (after < 1)
        ratios = ((after - mean) / (before - mean))[inside & (np.abs(before - mean) > 0.05)]
        assert np.ptp(ratios) < 1e-3
        factors.append(ratios.mean())
    assert min(factors) < 0.85
    assert max(factors) > 1.15
    assert all(0.7 - 1e-3 <= factor <= 1.3 + 1e-3 for factor in factors)


def test_brightness_adds_one_number_an_image(images, seeds) -> None:
    result = changed(images, seeds, brightness=0.2)
    added = []
    for before, after in zip(images, result, strict=True):
        inside = (after > 0) & (after < 1)
        difference = (after - before)[inside]
        assert np.ptp(difference) < 1e-5
        added.append(difference.mean())
    assert min(added) < -0.1
    assert max(added) > 0.1
    assert all(abs(one) <= 0.2 + 1e-5 for one in added)


def test_equal_seeds_give_equal_images_whatever_the_batch(images, seeds) -> None:
    settings = {"flip": "both", "rotation": 0.1, "zoom": 0.2, "translation": 0.1, "contrast": 0.2}
    whole = changed(images, seeds, **settings)
    assert whole.min() >= 0
    assert whole.max() <= 1
    alone = changed(images[5:7], seeds[5:7], **settings)
    np.testing.assert_array_equal(alone, whole[5:7])
    assert not np.allclose(whole, images)


def test_a_turn_moves_a_mark_as_far_as_the_angle_says() -> None:
    """A bright dot right of the centre ends up at the angle of its turn, within the range."""
    image = np.zeros((1, 41, 41, 1), np.float32)
    image[0, 20, 32] = 1.0
    image[0, 19:22, 31:34] = 1.0
    many = np.repeat(image, 200, 0)
    seeds = tf.constant(np.random.default_rng(2).integers(0, 2**31 - 1, (200, 2)), tf.int32)
    result = changed(many, seeds, rotation=0.1)[..., 0]
    y, x = np.mgrid[:41, :41] - 20.0
    total = result.sum((1, 2))
    angles = np.arctan2((result * y).sum((1, 2)) / total, (result * x).sum((1, 2)) / total)
    assert np.abs(angles).max() <= 0.1 * 2 * np.pi + 0.02
    assert np.abs(angles).max() > 0.08 * 2 * np.pi
    assert np.hypot((result * y).sum((1, 2)) / total, (result * x).sum((1, 2)) / total) == pytest.approx(
        12, abs=0.5
    )


def followed(images: np.ndarray, seeds: tf.Tensor, targets: np.ndarray, **settings) -> tuple:
    augmentation = NumberAugmentation(NumberAugmentationSettings(**settings), ("angle", "speed"))
    result, numbers = augmentation(tf.constant(images), tf.constant(targets), seeds)
    return result.numpy(), numbers.numpy()


def test_how_numbers_follow_is_no_change_by_itself() -> None:
    settings = {"negated": ("angle",), "shifted": {"angle": 0.5}}
    assert not NumberAugmentation(NumberAugmentationSettings(**settings), ["angle"]).active
    assert NumberAugmentation(NumberAugmentationSettings(**settings, flip="horizontal"), ["angle"]).active


def test_numbers_follow_mirrored_images(images, seeds) -> None:
    targets = np.random.default_rng(2).normal(0, 1, (len(images), 2)).astype(np.float32)
    result, numbers = followed(images, seeds, targets, flip="horizontal", negated=["angle"])
    mirrored = np.array([np.allclose(a, b[:, ::-1], atol=1e-5) for a, b in zip(result, images, strict=True)])
    assert 0 < mirrored.sum() < len(images)
    np.testing.assert_allclose(numbers[:, 0], np.where(mirrored, -targets[:, 0], targets[:, 0]))
    np.testing.assert_array_equal(numbers[:, 1], targets[:, 1])


def test_numbers_follow_shifted_images(seeds) -> None:
    """A bright column stands where the number says, before and after."""
    images = np.zeros((64, 8, 101, 3), np.float32)
    images[:, :, 50] = 1
    targets = np.full((64, 2), 50, np.float32)
    options = {"translation": 0.3, "shifted": {"angle": 101}}
    for flip in ("none", "horizontal"):
        result, numbers = followed(images, seeds, targets, flip=flip, **options)
        places = result[:, 0, :, 0].argmax(1)
        assert np.ptp(places) > 20
        np.testing.assert_allclose(numbers[:, 0], places, atol=0.51)
        np.testing.assert_array_equal(numbers[:, 1], targets[:, 1])


def test_a_number_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="names an unknown target; got 'steering'"):
        NumberAugmentation(NumberAugmentationSettings(negated=["steering"]), ("angle",))
