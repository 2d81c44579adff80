"""Takes heard by windows that overlap are heard once, whatever lies beside them in a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.sounds.takes import AT_ONCE, Joined, WindowMaps

FRAMES, HOP, KEYS = 10, 6, 4


def doubled() -> keras.Model:
    frames = keras.Input((FRAMES, KEYS))
    return keras.Model(frames, keras.layers.Rescaling(2.0)(frames))


def windows(counts: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Cut takes of random frames into windows; NaN where a take has fewer than another."""
    dice = np.random.default_rng(0)
    takes = [dice.normal(0, 1, (HOP * (count - 1) + FRAMES, KEYS)).astype(np.float32) for count in counts]
    cut = np.full((len(counts), max(counts), FRAMES, KEYS), np.nan, np.float32)
    for place, take in enumerate(takes):
        for number in range(counts[place]):
            cut[place, number] = take[number * HOP : number * HOP + FRAMES]
    return cut, takes


@pytest.mark.parametrize("counts", [[1], [3, 1, 5], [2 * AT_ONCE + 3, 1]])
@pytest.mark.parametrize("training", [False, True])
def test_takes_come_out_as_they_were_cut(counts: list[int], training: bool) -> None:
    cut, takes = windows(counts)
    layer, joined = WindowMaps(doubled()), Joined(HOP)
    whole = tf.function(lambda x: joined(layer(x, training=training)))(cut).numpy()
    assert whole.shape == (len(counts), max(map(len, takes)), KEYS)
    for take, heard in zip(takes, whole, strict=True):
        np.testing.assert_array_equal(heard[: len(take)], 2 * take)
        assert np.isnan(heard[len(take) :]).all()


def test_each_frame_is_taken_from_the_window_in_which_it_is_most_central() -> None:
    numbered = np.broadcast_to(np.arange(3, dtype=np.float32)[None, :, None, None], (1, 3, FRAMES, 1))
    joined = Joined(HOP)(tf.constant(numbered)).numpy()[0, :, 0]
    assert joined.tolist() == [0] * 8 + [1] * 6 + [2] * 8


def test_gradients_reach_the_inner_model_and_are_finite() -> None:
    inner = keras.Sequential([keras.Input((FRAMES, KEYS)), keras.layers.Dense(KEYS)])
    cut, _ = windows([2, 1])
    with tf.GradientTape() as tape:
        whole = Joined(HOP)(WindowMaps(inner)(cut, training=True))
        total = tf.reduce_sum(tf.where(tf.math.is_nan(whole), 0.0, whole))
    gradients = tape.gradient(total, [weight.value for weight in inner.trainable_variables])
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
