"""A table of word vectors as a Keras layer, and the questions a graph can ask it."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("servable")
class WordSpace(keras.Layer):
    """From ids to vectors; the id after the last word's is every unknown word's and has a vector of zeros.

    Args:
        words: how many are known.
        dimensions: of a vector.
    """

    def __init__(self, words: int, dimensions: int, **options: Any) -> None:
        super().__init__(**({"trainable": False, "dtype": "float32", "name": "space"} | options))
        self.words, self.dimensions = words, dimensions
        # A column for each word: one query times the table is three times as quick as row by row.
        self.vectors = self.add_weight(shape=(dimensions, words + 1), initializer="zeros", name="vectors")
        # Kept, not computed: a request would otherwise pass over the whole table once more.
        self.norms = self.add_weight(shape=(words + 1,), initializer="ones", name="norms")
        self.built = True

    def fill(self, vectors: Any) -> None:
        """Take over the vectors of the known words, float32 [words, dimensions]."""
        table = keras.ops.concatenate([vectors, keras.ops.zeros((1, self.dimensions))])
        norms = keras.ops.norm(table, axis=1)
        self.vectors.assign(keras.ops.transpose(table))
        self.norms.assign(keras.ops.where(norms > 0, norms, 1.0))

    def call(self, ids: Any) -> Any:
        """Return the vectors of ids: int32 [...] to float32 [..., dimensions]."""
        columns = tf.gather(tf.convert_to_tensor(self.vectors), ids, axis=1)
        return tf.transpose(columns, [*range(1, columns.shape.rank), 0])

    @property
    def known(self) -> np.ndarray:
        """The vectors of the known words, float32 [words, dimensions]."""
        return np.ascontiguousarray(np.array(self.vectors)[:, : self.words].T)

    def unit(self, ids: Any) -> Any:
        """Return the vectors of ids at length 1; zeros for an unknown word."""
        return self(ids) / tf.gather(tf.convert_to_tensor(self.norms), ids)[..., tf.newaxis]

    def cosines(self, queries: Any) -> Any:
        """Compare vectors of length 1 with every known word: [batch, dimensions] to [batch, words]."""
        table, norms = tf.convert_to_tensor(self.vectors), tf.convert_to_tensor(self.norms)
        return (tf.matmul(queries, table) / norms)[:, : self.words]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"words": self.words, "dimensions": self.dimensions}
