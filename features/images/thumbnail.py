"""Small JPEG copies of images, of at most a fixed number of bytes, so that they lie in one array."""

import hashlib
import json
from typing import Any

import tensorflow as tf

from features.images.decoding import map_upright
from features.images.featurizer import MAX_PIXELS

#: Pixels of the longer side, and bytes of one thumbnail at most.
SIDE, BYTES = 96, 4096
#: Tried in this order, until the file is small enough; noise of 96 x 96 pixels is at the last.
QUALITIES = (85, 60, 35, 10)


class Thumbnailer:
    """From encoded images, string [batch], to JPEG files, uint8 [batch, BYTES], filled up with zeros.

    Upright, the longer side at most SIDE pixels, in the aspect ratio of the image; small images keep their
    size. Decoded as by ImageFeaturizer.
    """

    #: Increase it whenever the same image produces another thumbnail.
    revision = 2

    def __init__(self) -> None:
        # Traced once: run eagerly, every image would build the decoders again.
        self._graph = tf.function(
            self._thumbnails, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.revision, SIDE, BYTES, QUALITIES]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def __call__(self, images: Any) -> Any:
        """Make the thumbnails.

        Raises:
            tf.errors.InvalidArgumentError: an image cannot be decoded or declares too many pixels.
        """
        return self._graph(images)

    def _thumbnails(self, images: Any) -> Any:
        return map_upright(images, _small, tf.TensorSpec([BYTES], tf.uint8), MAX_PIXELS)


def _small(pixels: Any) -> Any:
    size = tf.cast(tf.shape(pixels)[:2], tf.float32)
    factor = tf.minimum(1.0, SIDE / tf.reduce_max(size))
    target = tf.cast(tf.maximum(1.0, tf.round(size * factor)), tf.int32)
    resized = tf.image.resize(tf.ensure_shape(pixels, [None, None, 3]), target, antialias=True)
    levels = tf.cast(tf.round(tf.clip_by_value(resized / 255.0, 0.0, 1.0) * 255.0), tf.uint8)
    files = tf.stack([tf.io.encode_jpeg(levels, quality=quality) for quality in QUALITIES])
    fits = tf.strings.length(files) <= BYTES
    return tf.io.decode_raw(files[tf.argmax(fits)], tf.uint8, fixed_length=BYTES)
