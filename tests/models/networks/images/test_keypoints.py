"""Heads that find points, and their loss, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.images import keypoints
from models.networks.images.keypoints import SPREAD, Doubt, Expectation, point_error, points_loss

BATCH, POINTS = 6, 4


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Targets with some points missing, and outputs."""
    random = np.random.default_rng(0)
    targets = random.random((BATCH, POINTS, 3)).astype(np.float32)
    targets[..., 2] = random.random((BATCH, POINTS)) < 0.6
    targets[0, :, 2] = 1
    targets[1, :, 2] = 0
    outputs = random.normal(0.5, 0.3, (BATCH, POINTS, 5)).astype(np.float32)
    outputs[..., 2:4] += 1
    outputs[..., 4] -= 3
    return targets, outputs


@pytest.mark.parametrize(("height", "width"), [(5, 9), (1, 7), (8, 3)])
def test_the_expectation_is_numpys(height: int, width: int) -> None:
    heat = np.random.default_rng(1).normal(0, 3, (BATCH, height, width, POINTS))
    found = Expectation()(tf.constant(heat, tf.float32)).numpy()
    weights = np.exp(heat)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    down, across = np.mgrid[:height, :width] + 0.5
    for axis, places, length in ((0, across, width), (1, down, height)):
        mean = (weights * places[..., None]).sum(axis=(1, 2))
        variance = (weights * (places[..., None] - mean[:, None, None]) ** 2).sum(axis=(1, 2))
        np.testing.assert_allclose(found[..., axis], mean / length, rtol=1e-4)
        np.testing.assert_allclose(found[..., 2 + axis], np.sqrt(variance + 1e-6), rtol=1e-3, atol=1e-3)


def test_points_lie_between_the_places_of_a_heat_map() -> None:
    """Two equal places: the point lies in the middle of them, which is no place."""
    heat = np.full((1, 4, 6, 1), -50, np.float32)
    heat[0, 1, 2:4, 0] = 50
    x, y = Expectation()(heat).numpy()[0, 0, :2]
    assert (x * 6, y * 4) == pytest.approx((3.0, 1.5), abs=1e-5)


def test_the_loss_is_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    targets, outputs = (one.astype(np.float64) for one in pair)
    found = points_loss(0.3)(*map(tf.constant, pair)).numpy()
    off = np.abs(outputs[..., :2] - targets[..., :2]) * 128
    huber = np.where(off < 1, off**2 / 2, off - 0.5).mean(axis=2)
    width = ((outputs[..., 2:4] - SPREAD) ** 2).mean(axis=2)
    apart = np.linalg.norm(outputs[..., :2] - targets[..., :2], axis=2) / np.sqrt(2)
    doubt = outputs[..., 4]
    # An exponential distribution with the mean exp(doubt).
    likelihood = -np.log(np.exp(-doubt) * np.exp(-apart * np.exp(-doubt)))
    each, known = huber + 0.3 * width + 0.1 * likelihood, targets[..., 2]
    expected = (each * known).sum(1) / np.maximum(known.sum(1), 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found[1] == 0
    error = (apart * known).sum(1) / np.maximum(known.sum(1), 1)
    np.testing.assert_allclose(point_error(*map(tf.constant, pair)), error, rtol=1e-4, atol=1e-6)


def test_missing_points_change_neither_loss_nor_gradient(pair: tuple[np.ndarray, np.ndarray]) -> None:
    targets, outputs = pair
    loss = points_loss(0.3)
    missing = targets[..., 2] == 0

    def graded(given: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        variable = tf.Variable(answers)
        with tf.GradientTape() as tape:
            value = loss(tf.constant(given), variable)
        return value.numpy(), tape.gradient(value, variable).numpy()

    value, gradient = graded(targets, outputs)
    others, elsewhere = targets.copy(), outputs.copy()
    others[missing, :2] = 7
    elsewhere[missing] = 3
    again, moved = graded(others, elsewhere)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(moved, gradient)
    assert (gradient[missing] == 0).all()
    assert (gradient[~missing] != 0).all()


def test_the_doubt_learns_and_moves_nothing_else(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Scaled up, the likelihood changes the gradient of the doubt alone."""
    targets, outputs = map(tf.constant, pair)
    variable = tf.Variable(outputs)
    with tf.GradientTape() as tape:
        loss = points_loss(0.0)(targets, variable)
    known = tape.gradient(loss, variable).numpy()
    error = np.abs(outputs[..., :2] - targets[..., :2]) * 128
    count = np.maximum(pair[0][..., 2].sum(1), 1)[:, None, None]
    sign = np.sign(pair[1][..., :2] - pair[0][..., :2])
    huber = np.minimum(error, 1) * sign * 128 / 2 / count * pair[0][..., 2:]
    np.testing.assert_allclose(known[..., :2], huber, rtol=1e-4, atol=1e-5)
    assert (known[..., 2:4] == 0).all()
    assert (known[..., 4][pair[0][..., 2] == 1] != 0).all()


def test_the_doubt_of_a_heat_map_changes_nothing_before_it() -> None:
    layer = Doubt()
    found = tf.Variable(np.random.default_rng(2).uniform(0.5, 2, (BATCH, POINTS, 4)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        answers = layer(found)
        doubt = answers[..., 4]
    np.testing.assert_array_equal(answers[..., :4], found)
    np.testing.assert_allclose(doubt, np.log(found.numpy()[..., 2:].mean(axis=2)) - 4, rtol=1e-5)
    assert (tape.gradient(doubt, found).numpy() == 0).all()
    gradients = tape.gradient(doubt, [layer.slope, layer.offset])
    assert all((gradient.numpy() != 0).all() for gradient in gradients)


@pytest.mark.parametrize("head", ["heatmaps", "coordinates"])
def test_heads_begin_in_the_middle_and_at_the_mean_shape(head: str) -> None:
    keras.utils.set_random_seed(0)
    maps = keras.Input((6, 5, 8))
    mean = np.random.default_rng(3).random((POINTS, 2))
    if head == "heatmaps":
        outputs, start = keypoints.heat_maps(maps, POINTS, 8), np.full((POINTS, 2), 0.5)
    else:
        outputs, start = keypoints.coordinates(maps, mean, 8, 0.2), mean
    model = keras.Model(maps, outputs)
    assert model.output_shape == (None, POINTS, 5)
    zeros = model(np.zeros((2, 6, 5, 8), np.float32)).numpy()
    np.testing.assert_allclose(zeros[..., :2], np.tile(start, (2, 1, 1)), atol=1e-3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    copy.set_weights(model.get_weights())
    maps = np.random.default_rng(4).random((2, 6, 5, 8)).astype(np.float32)
    np.testing.assert_allclose(copy(maps), model(maps), atol=1e-6)
