"""Where a resized image's pixels come from: the one geometry of resizing, of points and of boxes.

Coordinates count from the top left corner of the top left pixel, whose centre is at (0.5, 0.5).
"""

from typing import Any

import numpy as np
import tensorflow as tf


def centred_part(outer: Any, shape: Any) -> tuple[Any, Any]:
    """Find the largest centred part of a size that has the aspect ratio of another, exact in integers.

    Args:
        outer: width and height, or height and width, int64 [..., 2].
        shape: those of the aspect ratio, in the same order, int64 [..., 2].

    Returns:
        Where the part begins, and its size, rounded half up, at least 1; in the order and units of `outer`.
    """
    other, base = outer[..., ::-1], shape[..., ::-1]
    inner = tf.minimum(outer, tf.maximum((2 * other * shape + base) // (2 * base), 1))
    return (outer - inner) // 2, inner


def placed(resize: str, points: Any, sizes: Any, height: int, width: int) -> Any:
    """Move points from images into what they are resized to; both as shares of width and height.

    Args:
        resize: as of `ImageFeaturizer`.
        points: x and y, float32 [batch, n, 2].
        sizes: width and height of the images, [batch, 2].
        height: of the result.
        width: of the result.
    """
    scale, offset, result = _map(resize, sizes, height, width)
    return (points * tf.cast(sizes, tf.float32)[:, None] * scale + offset) / result


def restored(resize: str, points: Any, sizes: Any, height: int, width: int) -> Any:
    """Move points from what images were resized to, as shares of it, into the images, in pixels.

    Arguments as of `placed`.
    """
    scale, offset, result = _map(resize, sizes, height, width)
    return (points * result - offset) / scale


def _map(resize: str, sizes: Any, height: int, width: int) -> tuple[Any, Any, Any]:
    """Return scale and offset, [batch, 1, 2], from pixels of images to pixels of the result; and its size."""
    result, sizes = np.array([width, height]), tf.cast(sizes, tf.int64)
    size = tf.constant(result, tf.float32)
    if resize == "pad":
        corner, inner = (tf.cast(value, tf.float32) for value in centred_part(result, sizes))
        scale, offset = inner / tf.cast(sizes, tf.float32), corner
    elif resize == "crop":
        corner, inner = (tf.cast(value, tf.float32) for value in centred_part(sizes, result))
        scale, offset = size / inner, -corner * (size / inner)
    else:
        scale = size / tf.cast(sizes, tf.float32)
        offset = tf.zeros_like(scale)
    return scale[:, None], offset[:, None], size
