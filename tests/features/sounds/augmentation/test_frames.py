"""Random changes of whole spectrograms that keep what is said."""

import numpy as np
import pytest
import tensorflow as tf

from features.sounds.augmentation.frames import FrameAugmentation, FrameAugmentationSettings, present


def batch() -> tuple:
    """Make three ramps of 20, 10 and 15 frames, each 100 dB above the one before."""
    frames = np.full((3, 20, 8), np.nan, np.float32)
    for place, length in enumerate((20, 10, 15)):
        frames[place, :length] = np.arange(length)[:, None] + 100 * place
    targets = np.array([[0, 1, 2], [3, -1, -1], [4, 5, -1]], np.int32)
    seeds = np.arange(6, dtype=np.int32).reshape(3, 2)
    return tf.constant(frames), tf.constant(targets), tf.constant(seeds)


def test_joined_sounds_say_what_both_say() -> None:
    frames, targets = FrameAugmentation(FrameAugmentationSettings(join=1.0), (9,))(*batch())
    assert targets.numpy().tolist() == [
        [0, 1, 2, 9, 4, 5, -1],
        [3, 9, 0, 1, 2, -1, -1],
        [4, 5, 9, 3, -1, -1, -1],
    ]
    first = frames[0, :, 0].numpy()
    np.testing.assert_allclose(first, [*range(20), *range(200, 215)])
    assert present(frames).numpy().tolist() == [35, 30, 25]


def test_tempo_changes_lengths_by_interpolation() -> None:
    frames, targets = FrameAugmentation(FrameAugmentationSettings(speed=0.4))(*batch())
    lengths = present(frames).numpy()
    assert (lengths != [20, 10, 15]).all()
    assert (np.abs(lengths / [20, 10, 15] - 1) <= 0.5).all()
    for place, length in enumerate(lengths):
        ramp = frames[place, :length, 0].numpy() - 100 * place
        steps = np.diff(ramp)
        # A ramp stays one; its last frame may repeat the end.
        np.testing.assert_allclose(steps[:-2], steps[0], atol=1e-4)
    assert targets.numpy().tolist() == batch()[1].numpy().tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"noise": 1.0, "noise_snr": 0},
        {"gain": 10},
        {"tilt": 10},
        {"band_stretch": 0.3},
        {"time_masks": 2},
        {"band_masks": 2},
    ],
)
def test_changes_follow_their_seeds_and_leave_absent_frames_alone(settings: dict) -> None:
    augmentation = FrameAugmentation(FrameAugmentationSettings(**settings))
    assert augmentation.active
    frames, targets, seeds = batch()
    random = tf.random.stateless_normal(frames.shape, [1, 2]) + frames
    once, twice = (augmentation(random, targets, seeds)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    other = augmentation(random, targets, seeds + 1)[0].numpy()
    there = ~np.isnan(random.numpy())
    assert (np.isnan(once) == ~there).all()
    assert not np.allclose(once[there], random.numpy()[there])
    assert not np.allclose(once[there], other[there])


def test_nothing_changes_by_default() -> None:
    augmentation = FrameAugmentation(FrameAugmentationSettings())
    assert not augmentation.active
    frames, targets = augmentation(*batch())
    np.testing.assert_array_equal(frames, batch()[0])
    np.testing.assert_array_equal(targets, batch()[1])
