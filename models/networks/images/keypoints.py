"""Heads that find points, by heat maps or coordinates, each with how sure it is; and how they are trained."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from models.networks.images.pyramid import convolved
from models.objective import Objective, PerExample

#: Width of the bell that a heat map is drawn towards, in places.
SPREAD = 1.5


@keras.saving.register_keras_serializable("servable")
class Expectation(keras.Layer):
    """Turn heat maps into coordinates: the mean place of their softmax (Sun et al. 2018; Nibali et al. 2018).

    It has no grid: points lie between places, and the whole is differentiable.
    """

    def call(self, heat: Any) -> Any:
        """Return x, y, and the deviations of both in places: [batch, h, w, n] to [batch, n, 4]."""
        height, width, points = heat.shape[1:]
        shares = tf.nn.softmax(tf.reshape(heat, [-1, height * width, points]), axis=1)
        shares = tf.reshape(shares, [-1, height, width, points])
        means, deviations = [], []
        for axis, length in ((1, width), (2, height)):
            along = tf.reduce_sum(shares, axis)
            places = (tf.range(length, dtype=heat.dtype) + 0.5)[tf.newaxis, :, tf.newaxis]
            mean = tf.reduce_sum(along * places, 1)
            variance = tf.reduce_sum(along * tf.square(places - mean[:, tf.newaxis]), 1)
            means.append(mean / length)
            deviations.append(tf.sqrt(variance + 1e-6))
        return tf.stack([*means, *deviations], axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, points, 4]."""
        return (input_shape[0], input_shape[3], 4)


@keras.saving.register_keras_serializable("servable")
class Doubt(keras.Layer):
    """Add how far off each point probably is: the logarithm of the mean error, in shares of the side.

    A line for each point over the logarithm of its heat map's deviation; it learns from the errors and
    changes nothing before it.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make slope and offset of each point."""
        points = input_shape[1]
        self.slope = self.add_weight(shape=(points,), initializer="ones", name="slope")
        self.offset = self.add_weight(
            shape=(points,), initializer=keras.initializers.Constant(-4.0), name="offset"
        )

    def call(self, found: Any) -> Any:
        """Return x, y, both deviations and the doubt: [batch, n, 4] to [batch, n, 5]."""
        spread = tf.stop_gradient(tf.math.log(tf.reduce_mean(found[..., 2:], axis=2)))
        doubt = self.slope * spread + self.offset
        return tf.concat([found, doubt[..., tf.newaxis]], axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, points, 5]."""
        return (*input_shape[:2], 5)


def heat_maps(maps: Any, points: int, channels: int) -> Any:
    """Find points by heat maps over the finest maps of a pyramid.

    Args:
        maps: [batch, h, w, channels].
        points: how many there are.
        channels: of the convolution before the heat maps.

    Returns:
        [batch, points, 5]: x and y as shares of width and height, the deviation of the heat map along both in
        places, and the logarithm of the expected error.
    """
    x = convolved(maps, channels)
    # Near zero at first: the expectation then starts in the middle.
    small = keras.initializers.RandomNormal(stddev=1e-3)
    heat = layers.Conv2D(points, 1, kernel_initializer=small, name="heat")(x)
    return Doubt(name="doubt")(Expectation(name="expectation")(heat))


def coordinates(maps: Any, mean: np.ndarray, channels: int, dropout: float) -> Any:
    """Find points by a dense layer over the coarsest maps.

    Args:
        maps: [batch, h, w, channels].
        mean: x and y of each point over the training split, where the layer starts: [points, 2].
        channels: that the maps are brought to first.
        dropout: share of activations dropped before the layer.

    Returns:
        As `heat_maps`; the deviations are what a heat map is drawn towards.
    """
    points = len(mean)
    x = layers.Flatten()(convolved(maps, channels, 1))
    x = layers.Dropout(dropout)(x) if dropout else x
    offsets = layers.Reshape((points, 2))(layers.Dense(2 * points, name="offsets")(x))
    placed = layers.Rescaling(0.1, mean.astype(np.float32), name="coordinates")(offsets)
    doubts = layers.Dense(points, name="doubts", bias_initializer=keras.initializers.Constant(-3.0))
    doubt = layers.Reshape((points, 1))(doubts(keras.ops.stop_gradient(x)))
    flat = keras.ops.ones_like(placed) * SPREAD
    return layers.Concatenate(axis=2)([placed, flat, doubt])


#: Points are trained as if images were so many pixels wide: errors beyond one pixel count absolutely.
_REFERENCE = 128.0


def _annotated_mean(values: Any, targets: Any) -> Any:
    """Return the mean of values [batch, points] over the annotated points of each example."""
    labelled = targets[..., 2]
    return tf.reduce_sum(values * labelled, 1) / tf.maximum(tf.reduce_sum(labelled, 1), 1.0)


def _distance(targets: Any, outputs: Any) -> Any:
    """Return how far points are off, in shares of the diagonal of a square: [batch, points]."""
    return tf.norm(outputs[..., :2] - targets[..., :2] + 1e-9, axis=2) / 2**0.5


def points_loss(spread: float) -> PerExample:
    """Make the loss of points [batch, points, 5] as the heads give them.

    The Huber loss of the coordinates; the squared distance of a heat map's deviation from 1.5 places, times
    ``spread`` (Nibali et al. 2018); and the negative log-likelihood of the distance under an exponential
    distribution with the network's doubt as its mean, which moves the doubt alone.

    Targets are [batch, points, 3]: x, y and 1 where annotated.
    """

    def loss(targets: Any, outputs: Any) -> Any:
        error = tf.abs(outputs[..., :2] - targets[..., :2]) * _REFERENCE
        off = tf.reduce_mean(tf.where(error <= 1, tf.square(error) / 2, error - 0.5), 2)
        width = tf.reduce_mean(tf.square(outputs[..., 2:4] - SPREAD), 2)
        doubt = outputs[..., 4]
        likelihood = doubt + tf.stop_gradient(_distance(targets, outputs)) * tf.exp(-doubt)
        return _annotated_mean(off + spread * width + 0.1 * likelihood, targets)

    return loss


def point_error(targets: Any, outputs: Any) -> Any:
    """Return the mean distance of an example's points, in shares of the features' diagonal: [batch]."""
    return _annotated_mean(_distance(targets, outputs), targets)


KEYPOINTS = Objective(
    loss=lambda settings: points_loss(settings.spread),
    measured_loss=points_loss(0.0),
    metrics={"error": point_error},
    best="error",
    higher_is_better=False,
    report="test/mean_error_px",
)
