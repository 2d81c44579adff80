"""Sequences of windows through a network of one window: what is not there counts for nothing.

A window that an example lacks is NaN (see features.sounds.featurizer). It is left out of every layer, so
that it moves no batch-norm statistic and costs no time, and comes out as NaN again.
"""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("servable")
class EachWindow(keras.Layer):
    """Apply a model to each window: [batch, windows, ...] to [batch, windows, d].

    Args:
        inner: layer or model from [n, ...] to [n, d].
    """

    def __init__(self, inner: Any, **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner
        self._width = int(inner.output_shape[-1])
        self.built = True

    def call(self, windows: Any, training: bool = False) -> Any:
        """Apply the inner model to the windows that are there."""
        shape = tf.shape(windows)
        there = present(windows)
        places = tf.where(there)
        answers = self.inner(tf.gather_nd(windows, places), training=training)
        size = tf.concat([shape[:2], [self._width]], 0)
        spread = tf.scatter_nd(places, answers, tf.cast(size, tf.int64))
        result = tf.where(there[..., tf.newaxis], spread, float("nan"))
        return tf.ensure_shape(result, [None, None, self._width])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, windows, d]."""
        return (*input_shape[:2], self._width)

    def compute_output_spec(self, windows: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(self.compute_output_shape(windows.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's own settings; the inner model's layers are described by themselves."""
        return super().get_config()


@keras.saving.register_keras_serializable("servable")
class MeanScore(keras.Layer):
    """Average the class probabilities over the windows that are there; give their logarithm as logits."""

    def call(self, logits: Any) -> Any:
        """Turn logits [batch, windows, classes] into logits [batch, classes]."""
        return tf.math.log(tf.maximum(mean(scores(logits), present(logits)), 1e-30))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, classes]."""
        return (input_shape[0], input_shape[2])


@keras.saving.register_keras_serializable("servable")
class MeanVector(keras.Layer):
    """Average vectors [batch, windows, d] over the windows that are there."""

    def call(self, vectors: Any) -> Any:
        """Return [batch, d]."""
        there = present(vectors)
        return mean(tf.where(there[..., tf.newaxis], vectors, 0.0), there)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, d]."""
        return (input_shape[0], input_shape[2])


def present(windows: Any) -> Any:
    """Return which windows [batch, windows, ...] are there: bool [batch, windows]."""
    first = windows
    while len(first.shape) > 2:
        first = first[..., 0]
    return ~tf.math.is_nan(first)


def scores(logits: Any) -> Any:
    """Turn logits [batch, windows, classes] into probabilities; 0 for a window that is not there."""
    there = present(logits)[..., tf.newaxis]
    # The inner choice keeps NaN out of the gradient, too.
    return tf.where(there, tf.nn.softmax(tf.where(there, logits, 0.0)), 0.0)


def mean(values: Any, there: Any) -> Any:
    """Average [batch, windows, d], 0 where not there, over the windows that are: [batch, d]."""
    count = tf.reduce_sum(tf.cast(there, tf.float32), 1, keepdims=True)
    return tf.reduce_sum(values, 1) / tf.maximum(count, 1.0)
