"""Networks that see an image and its mirror image, and give both the same answer."""

import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.datasets.feature_store import fingerprint


@keras.saving.register_keras_serializable("servable")
class BothWays(keras.Layer):
    """Apply a model to images and to their mirror images: [batch, h, w, c] to vectors [batch, 2 d].

    Args:
        inner: layer or model from [n, h, w, c] to [n, d].
        width: d.
    """

    def __init__(self, inner: Any, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.inner, self.width = inner, width
        self.built = True

    @property
    def fingerprint(self) -> str:
        """Hash of what is computed: 16 hexadecimal digits."""
        return hashlib.sha256(f"both ways {fingerprint(self.inner)}".encode()).hexdigest()[:16]

    def call(self, images: Any, training: bool = False) -> Any:
        """Put the vector of each image before that of its mirror image."""
        count = tf.shape(images)[0]
        vectors = self.inner(tf.concat([images, images[:, :, ::-1]], 0), training=training)
        return tf.ensure_shape(tf.concat([vectors[:count], vectors[count:]], -1), [None, 2 * self.width])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, 2 d]."""
        return (input_shape[0], 2 * self.width)

    def compute_output_spec(self, images: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(self.compute_output_shape(images.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's own settings; the inner model's layers are described by themselves."""
        return super().get_config() | {"width": self.width}


def agreed(head: keras.Model, width: int, signs: np.ndarray) -> keras.Model:
    """Make a head over vectors of both ways: the mean of its answers, of one way after a change of sign.

    Args:
        head: from vectors [batch, d] to outputs.
        width: d.
        signs: -1 for outputs that a mirror image has with the opposite sign, 1 for the others: [outputs].

    Returns:
        The head over both, with the signs as its attribute ``signs``.
    """
    inputs = keras.Input((2 * width,), name="both_ways")
    forward, backward = head(inputs[:, :width]), head(inputs[:, width:])
    model = keras.Model(inputs, (forward + backward * signs.astype(np.float32)) / 2, name="agreed")
    model.signs = tuple(map(float, signs))
    return model
