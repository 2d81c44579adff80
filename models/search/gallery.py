"""The examples a published model shows again: their vectors, names and thumbnails, all in the SavedModel."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.images import thumbnail
from models.search.vector_index import VectorIndex


@keras.saving.register_keras_serializable("servable")
class Gallery(VectorIndex):
    """A vector index whose items have an id, a path and a thumbnail.

    Args:
        ids: of the items; copies of one content share theirs.
        paths: as the data name them.
        dimensions: of a vector.
        **options: cells and probes, as VectorIndex takes them.
    """

    def __init__(self, ids: Sequence[str], paths: Sequence[str], dimensions: int, **options: Any) -> None:
        super().__init__(len(ids), dimensions, **options)
        self.thumbnails = self.add_weight(
            shape=(len(ids), thumbnail.BYTES), initializer="zeros", dtype="uint8", name="thumbnails"
        )
        # Tensors, not Python: every signature would otherwise carry a copy of its own.
        self.ids = tf.constant([one.encode() for one in ids], tf.string)
        self.paths = tf.constant([one.encode() for one in paths], tf.string)

    def show(self, thumbnails: np.ndarray) -> None:
        """Take thumbnails over, uint8 [items, bytes], as ``features.images.thumbnail`` makes them."""
        self.thumbnails.assign(thumbnails)

    def pictures(self, ids: Any) -> Any:
        """Return thumbnails by id as JPEG files: string [batch] to string [batch]; "" for an unknown id."""
        same = tf.equal(ids[:, tf.newaxis], self.ids[tf.newaxis])
        rows = tf.gather(tf.convert_to_tensor(self.thumbnails), tf.argmax(same, 1))
        return tf.where(tf.reduce_any(same, 1), _joined(rows), "")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        config = super().get_config()
        del config["items"]
        named = {name: [one.decode() for one in getattr(self, name).numpy()] for name in ("ids", "paths")}
        return config | named


#: Each byte as a string of its own: TensorFlow has no op from numbers to bytes.
_BYTES = np.array([bytes([number]) for number in range(256)], object)


def _joined(rows: Any) -> Any:
    """Make byte strings of uint8 [batch, n], without the zeros at their ends."""
    reach = tf.range(1, tf.shape(rows)[1] + 1) * tf.cast(rows > 0, tf.int32)
    whole = tf.strings.reduce_join(tf.gather(tf.constant(_BYTES, tf.string), tf.cast(rows, tf.int32)), 1)
    return tf.strings.substr(whole, tf.zeros_like(reach[:, 0]), tf.reduce_max(reach, 1))
