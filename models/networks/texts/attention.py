"""Attention over sequences, with keys and values that can be kept from one step to the next."""

import math
from typing import Any

import keras
import tensorflow as tf

#: Added to what must not be attended to.
NOWHERE = -1e9
_EPSILON = 1e-5


def dense(inputs: int, units: int, **options: Any) -> keras.layers.Dense:
    """Make a dense layer with its weights."""
    layer = keras.layers.Dense(units, **options)
    layer.build((None, None, inputs))
    return layer


def normalisation(width: int) -> keras.layers.LayerNormalization:
    """Make a layer normalisation with its weights."""
    layer = keras.layers.LayerNormalization(epsilon=_EPSILON)
    layer.build((None, None, width))
    return layer


def positions(start: Any, length: Any, width: int) -> Any:
    """Return sines and cosines of places (Vaswani and others 2017): float32 [length, width]."""
    places = tf.cast(start + tf.range(length), tf.float32)[:, tf.newaxis]
    rates = tf.exp(tf.range(0, width, 2, dtype=tf.float32) * (-math.log(10000.0) / width))
    return tf.concat([tf.sin(places * rates), tf.cos(places * rates)], -1)


@keras.saving.register_keras_serializable("servable")
class Attention(keras.Layer):
    """Attend from queries [batch, n, width] to keys and values made of others [batch, m, width].

    Args:
        width: of all vectors.
        heads: parts of a vector that attend by themselves.
    """

    def __init__(self, width: int, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.width, self.heads = width, heads
        self.query = dense(width, width)
        self.pair = dense(width, 2 * width)
        self.output_layer = dense(width, width)
        self.built = True

    def pairs(self, others: Any) -> Any:
        """Make keys and values: [batch, m, 2 width], which is what a search keeps."""
        return self.pair(others)

    def call(self, queries: Any, pairs: Any, bias: Any, weights: bool = False) -> Any:
        """Attend.

        Args:
            queries: [batch, n, width].
            pairs: as `pairs` gives them.
            bias: added to the logits, broadcast to [batch, heads, n, m].
            weights: give the attention [batch, heads, n, m] as well.
        """
        keys, values = tf.split(pairs, 2, -1)
        scale = (self.width // self.heads) ** -0.5
        logits = tf.matmul(self._parted(self.query(queries) * scale), self._parted(keys), transpose_b=True)
        attention = tf.nn.softmax(logits + bias)
        joined = tf.transpose(tf.matmul(attention, self._parted(values)), [0, 2, 1, 3])
        output = self.output_layer(tf.reshape(joined, tf.shape(queries)))
        return (output, attention) if weights else output

    def _parted(self, vectors: Any) -> Any:
        shape = tf.shape(vectors)
        parted = tf.reshape(vectors, [shape[0], shape[1], self.heads, self.width // self.heads])
        return tf.transpose(parted, [0, 2, 1, 3])

    def compute_output_spec(self, queries: Any, pairs: Any, bias: Any, weights: bool = False) -> Any:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(queries.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"width": self.width, "heads": self.heads}


@keras.saving.register_keras_serializable("servable")
class Feed(keras.Layer):
    """Two dense layers over each place: [batch, n, width] to the same.

    Args:
        width: of the vectors.
        inner: units between.
        dropout: share of these that is dropped.
    """

    def __init__(self, width: int, inner: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.width, self.inner, self.dropout = width, inner, dropout
        self.first, self.second = dense(width, inner, activation="relu"), dense(inner, width)
        self.drop = keras.layers.Dropout(dropout)
        self.built = True

    def call(self, vectors: Any, training: bool = False) -> Any:
        """Apply both."""
        return self.second(self.drop(self.first(vectors), training=training))

    def compute_output_spec(self, vectors: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(vectors.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"width": self.width, "inner": self.inner, "dropout": self.dropout}
