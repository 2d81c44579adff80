"""Centres of clusters as a Keras layer, and the one nearest to each vector."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.search import ranking

#: In every dimension of a centre that is not used: vectors have length 1.
_FAR = 10.0


@keras.saving.register_keras_serializable("servable")
class Clusters(keras.Layer):
    """From vectors [batch, dimensions] of any length to the distances of their directions to each centre.

    Args:
        count: of the clusters.
        dimensions: of a vector.
    """

    def __init__(self, count: int, dimensions: int, **options: Any) -> None:
        super().__init__(**({"trainable": False, "dtype": "float32", "name": "clusters"} | options))
        self.count, self.dimensions = count, dimensions
        self.centres = self.add_weight(shape=(count, dimensions), initializer="zeros", name="centres")
        self.built = True

    def fill(self, centres: np.ndarray) -> None:
        """Take centres over, float32 [at most count, dimensions]; the others lie out of reach."""
        rest = np.full((self.count - len(centres), self.dimensions), _FAR, np.float32)
        self.centres.assign(np.concatenate([centres, rest]))

    def call(self, vectors: Any) -> Any:
        """Return the Euclidean distances of the normalised vectors to the centres: [batch, count]."""
        unit, centres = tf.math.l2_normalize(vectors, 1), tf.convert_to_tensor(self.centres)
        # Differences, not products: near a centre the product form loses all digits.
        return tf.norm(unit[:, tf.newaxis] - centres[tf.newaxis], axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, count]."""
        return (input_shape[0], self.count)

    def nearest(self, vectors: Any) -> tuple[Any, Any]:
        """Return each vector's distance to the nearest centre, and its index (int32), both [batch]."""

        def work(chunk: Any) -> tuple[Any, Any]:
            distances = self(chunk)
            best = tf.argmin(distances, 1, output_type=tf.int32)[:, tf.newaxis]
            return tf.reduce_min(distances, 1, keepdims=True), best

        values, clusters = ranking.by_chunks(work, vectors)
        return values[:, 0], clusters[:, 0]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"count": self.count, "dimensions": self.dimensions}
