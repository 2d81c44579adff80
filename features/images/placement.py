"""Where a resized image's pixels come from: the one geometry of resizing, of points and of boxes.

Coordinates count from the top left corner of the top left pixel, whose centre is at (0.5, 0.5).
"""

from typing import Any

import tensorflow as tf


def centred_part(h: Any, w: Any, height: int, width: int) -> tuple[Any, Any, Any, Any]:
    """Find the largest centred part of an image that has the aspect ratio of height and width.

    Returns:
        Its top and left, and its height and width, in pixels of the image.
    """
    inner_h, inner_w = tf.minimum(h, _side(w, height, width)), tf.minimum(w, _side(h, width, height))
    return (h - inner_h) // 2, (w - inner_w) // 2, inner_h, inner_w


def padded_part(h: Any, w: Any, height: int, width: int) -> tuple[Any, Any, Any, Any]:
    """Find the largest centred part of height and width that has an image's aspect ratio.

    Returns:
        Its top and left, and its height and width, in pixels of the result.
    """
    too_tall = tf.cast(h, tf.int64) * width > tf.cast(w, tf.int64) * height
    inner_h = tf.where(too_tall, height, _side(tf.constant(width), h, w))
    inner_w = tf.where(too_tall, _side(tf.constant(height), w, h), width)
    return (height - inner_h) // 2, (width - inner_w) // 2, inner_h, inner_w


def _side(other: Any, numerator: Any, denominator: Any) -> Any:
    """Return other * numerator / denominator, rounded half up, at least 1: exact in integers."""
    other, numerator, denominator = (tf.cast(value, tf.int64) for value in (other, numerator, denominator))
    return tf.cast(tf.maximum((2 * other * numerator + denominator) // (2 * denominator), 1), tf.int32)


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
    w, h = tf.unstack(tf.cast(sizes, tf.int32), axis=1)
    result = tf.constant([width, height], tf.float32)
    if resize == "stretch":
        scale = result / tf.cast(sizes, tf.float32)
        offset = tf.zeros_like(scale)
    elif resize == "crop":
        top, left, inner_h, inner_w = centred_part(h, w, height, width)
        scale = result / _pair(inner_w, inner_h)
        offset = -_pair(left, top) * scale
    else:
        top, left, inner_h, inner_w = padded_part(h, w, height, width)
        scale = _pair(inner_w, inner_h) / tf.cast(sizes, tf.float32)
        offset = _pair(left, top)
    return scale[:, None], offset[:, None], result


def _pair(x: Any, y: Any) -> Any:
    return tf.cast(tf.stack([x, y], axis=1), tf.float32)
