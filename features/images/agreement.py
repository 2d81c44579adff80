"""Compare Pillow's decoding of an image with the featurizer's."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from features.images import check

#: Largest difference that counts as agreement, of 255 levels.
_LEVELS = 2.01
#: Pixels of a larger image that are compared, about: every so many rows and columns.
_PIXELS = 1 << 20


def difference(own: bytes, kept: bytes, rules: Mapping[str, Any]) -> str | None:
    """Compare Pillow's pixels, upright and over white, with those of the featurizer's decoders."""
    picture = check.upright(own, rules)
    step = max(1, math.isqrt(picture.width * picture.height // _PIXELS))
    expected = _over_white(picture, step)
    decoded = _decoded(kept, step, rules["max_pixels"])
    if decoded.shape != expected.shape:
        return f"{_size(decoded)} pixels in the served graph, {_size(expected)} at ingest"
    # In place: of a large photo, new arrays cost more than what is computed.
    apart = np.abs(np.subtract(decoded, expected, out=decoded), out=decoded)
    if 255 * apart.max() <= _LEVELS:
        return None
    levels = 255 * apart
    return f"pixels differ by up to {levels.max():.0f} of 255 levels, {levels.mean():.1f} on average"


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _over_white(picture: Any, step: int) -> np.ndarray:
    """Return every n-th row and column of an image: float32 [h, w, 3] in [0, 1]."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture)[::step, ::step].astype(np.float32)
        white = levels == picture.info.get("transparency", -1)
        return np.repeat(np.where(white, 1.0, levels / 65535)[..., None], 3, axis=-1).astype(np.float32)
    if not picture.has_transparency_data:
        return _in_unit(np.asarray(picture.convert("RGB"))[::step, ::step])
    samples = _in_unit(np.asarray(picture.convert("RGBA"))[::step, ::step])
    return samples[..., :3] * samples[..., 3:] + (1 - samples[..., 3:])


def _in_unit(pixels: np.ndarray) -> np.ndarray:
    """Return levels of 8 bits as float32 in [0, 1]."""
    shares = pixels.astype(np.float32)
    shares /= 255
    return shares


def _decoded(data: bytes, step: int, max_pixels: int) -> np.ndarray:
    """Return every n-th row and column of an image as the featurizer decodes it."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        pixels: np.ndarray = _image_graph(max_pixels)(tf.constant(data)).numpy()
    return _in_unit(pixels[::step, ::step])


@functools.lru_cache(maxsize=2)
def _image_graph(max_pixels: int) -> Any:
    import tensorflow as tf

    from features.images import decoding

    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(
        lambda image: decoding.upright(image, max_pixels), input_signature=signature, autograph=False
    )
