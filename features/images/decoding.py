"""Encoded images to upright pixels, in the graph: the same code in training, in the SavedModel and in tests.

The graph takes plain forms, which TensorFlow's decoders read right and safely: JPEG, PNG of 8 bits, GIF
of one opaque frame, uncompressed BMP of 24 or 32 bits, still WebP. Ingest and our client rewrite every other
form once, as PNG (check.plain); sent by anybody else, it is refused by its name. The size is read
from the header and held to a limit before memory is taken. docs/featurizers.md describes the result.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from features.images.files import exif
from features.images.files.forms import FORMS, GIF_EXTENSIONS, HEAD, MASKS, VALUES, color_table

#: Decoded side by side: enough for the cores, few enough for the memory of large images.
_SIDE_BY_SIDE = 8
#: Most steps of a walk through a GIF's blocks, each over up to so many blocks of one size.
_STEPS, _RUN = 16_384, 64
_ALL = 2**31 - 1

#: Of height and width of each form: weights of the head's bytes, then divisor, modulus and summand.
_NUMBERS = [(form.height, form.width) for form in FORMS]
_WEIGHTS = np.array([[number.weights for number in pair] for pair in _NUMBERS])
_RULES = np.array([[[number.divisor, number.modulus, number.plus] for number in pair] for pair in _NUMBERS])
_DECODERS = np.array([form.decoder for form in FORMS], np.int32)
_REFUSALS = np.array([form.refusal for form in FORMS], object)
_TABLES = np.array([color_table(flags) for flags in range(256)])


def map_upright(images: Any, finish: Callable[[Any], Any], result: Any, max_pixels: int) -> Any:
    """Decode images, turn them upright and hand each to a function.

    Args:
        images: encoded, string [batch].
        finish: takes pixels, uint8 [height, width, 3]; transparent ones are composed over white.
        result: the TensorSpec of what `finish` returns for one image, or a tuple of them.
        max_pixels: largest width times height that is decoded.

    Returns:
        The results, [batch, ...].

    Raises:
        tf.errors.InvalidArgumentError: no image, a form that is not plain, a damaged image, or a large one.
    """
    return tf.map_fn(
        lambda image: finish(upright(image, max_pixels)),
        images,
        fn_output_signature=result,
        parallel_iterations=_SIDE_BY_SIDE,
    )


def upright(image: Any, max_pixels: int) -> Any:
    """Decode one image, string [], and turn it upright: uint8 [height, width, 3]."""
    pixels, orientation = _over_white(_decode(image, max_pixels)), _orientation(image)

    def turned() -> Any:
        # Of each orientation, which axes are swapped, then whether rows and columns are reversed.
        axes = tf.gather([[0, 1, 2]] * 5 + [[1, 0, 2]] * 4, orientation)
        flips = [[0, 0], [0, 0], [0, 1], [1, 1], [1, 0], [0, 0], [0, 1], [1, 1], [1, 0]]
        dims = tf.gather([[*map(bool, flip), False] for flip in flips], orientation)
        return tf.raw_ops.Reverse(tensor=tf.transpose(pixels, axes), dims=dims)

    return tf.ensure_shape(tf.cond(orientation > 1, turned, lambda: pixels), [None, None, 3])


def _orientation(image: Any) -> Any:
    """Read the EXIF orientation of an encoded image: int32, 1 to 8."""
    head = tf.strings.substr(image, 0, exif.SEARCHED)
    head = tf.strings.regex_replace(head, exif.PREFIX, "", replace_global=False)
    block = tf.strings.substr(head, 0, exif.BLOCK)
    digits = tf.strings.regex_replace(block, exif.BLOCK_PATTERN, exif.DIGITS, replace_global=False)
    return tf.cast(_byte(digits, 0), tf.int32)


def _decode(image: Any, max_pixels: int) -> Any:
    """Decode one image as stored: uint8 [h, w, 3 or 4]."""
    head = tf.io.decode_raw(tf.strings.substr(image, 0, HEAD), tf.uint8, fixed_length=HEAD)
    form = tf.argmax(tf.reduce_all(tf.bitwise.bitwise_and(head, MASKS) == VALUES, 1))
    refusal = tf.gather(_REFUSALS, form)
    head = tf.cast(head, tf.int64)
    sums = tf.reduce_sum(head * tf.gather(_WEIGHTS, form), 1)
    divisor, modulus, plus = tf.unstack(tf.gather(_RULES, form), axis=1)
    height, width = tf.unstack(sums // divisor % modulus + plus)
    with tf.control_dependencies([_require(tf.equal(refusal, ""), refusal)]):
        pixels = tf.cond(
            form == 0,
            lambda: tf.reduce_prod(tf.io.extract_jpeg_shape(image, tf.int64)[:2]),
            lambda: height * width,
        )
    limit = _require(
        pixels <= max_pixels, "the image is too large; its pixels, and most decoded:", pixels, max_pixels
    )
    with tf.control_dependencies([limit]):
        branches = [
            # The accurate transform is Pillow's and browsers'; the default is up to 6 grey levels away.
            lambda: tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_png(image, 4),
            lambda: _gif(image, head),
            lambda: _bmp(image, head, height, width),
            # The op DecodeWebP is unknown to TensorFlow Serving 2.19, which would refuse the whole model.
            lambda: tf.io.decode_image(image, expand_animations=False),
        ]
        return tf.switch_case(tf.gather(_DECODERS, form), branches)


def _over_white(pixels: Any) -> Any:
    """Compose uint8 [h, w, 4] over white, rounded to the nearest level; [h, w, 3] stays as it is."""

    def composed() -> Any:
        color, alpha = (tf.cast(part, tf.uint16) for part in tf.split(pixels, [3, 1], -1))
        mixed = color * alpha + (255 - alpha) * 255 + 128
        # Division by 255, exact for products of two bytes: the sum of the number's own base-256 digits.
        return tf.cast((mixed + mixed // 256) // 256, tf.uint8)

    return tf.cond(tf.shape(pixels)[2] > 3, composed, lambda: pixels)


def _bmp(image: Any, head: Any, height: Any, width: Any) -> Any:
    """Read plain pixels; the fourth byte of 32 bits is not read, for most writers leave it at zero."""
    start, sign, bits = tf.unstack(tf.gather(head, [10, 25, 28]))
    used = width * bits // 8
    row = (used + 3) // 4 * 4
    start = tf.minimum(start, tf.cast(tf.strings.length(image), tf.int64))
    raw = tf.io.decode_raw(tf.strings.substr(image, start, row * height), tf.uint8)
    whole = _require(tf.size(raw, tf.int64) == row * height, "the BMP ends inside its pixels")
    with tf.control_dependencies([whole]):
        rows = tf.reshape(raw, [height, row])
    colors = tf.reshape(rows[:, :used], [height, width, bits // 8])
    # Blue comes first; rows are stored from the bottom up unless the height is negative.
    return tf.raw_ops.Reverse(tensor=colors[..., :3], dims=tf.stack([sign < 128, False, True]))


def _gif(image: Any, head: Any) -> Any:
    """Decode a GIF that holds one opaque frame and nothing else: TensorFlow decodes every frame there is."""
    # Zeros behind it end a walk that runs past the end.
    blocks = tf.strings.join([image, bytes(2048)])
    blocks = tf.strings.substr(blocks, 13 + tf.gather(_TABLES, head[10]), _ALL)
    blocks = tf.strings.regex_replace(blocks, "^" + GIF_EXTENSIONS, "")
    whole = tf.strings.join([b",\0\0\0\0", tf.strings.substr(image, 6, 4)])
    end = _end_of_blocks(blocks, 11 + tf.gather(_TABLES, _byte(blocks, 9)))
    plain = tf.equal(tf.strings.substr(blocks, 0, 9), whole) & tf.strings.regex_full_match(
        tf.strings.substr(blocks, end + 1, _ALL), GIF_EXTENSIONS + r";\C*"
    )
    message = (
        "the GIF is animated, transparent, damaged or smaller than its screen: save its first frame as PNG"
    )
    with tf.control_dependencies([_require(plain, message)]):
        return tf.squeeze(tf.io.decode_gif(image), 0)


def _end_of_blocks(blocks: Any, start: Any) -> Any:
    """Walk along the sub-blocks of a GIF's frame to the empty one that ends them; most have 255 bytes."""

    def step(place: Any) -> list[Any]:
        size = 1 + _byte(blocks, place)
        sizes = tf.io.decode_raw(tf.strings.substr(blocks, place, _RUN * size), tf.uint8)[::size]
        return [place + size * tf.reduce_sum(tf.math.cumprod(tf.cast(sizes == sizes[0], tf.int64)))]

    return tf.while_loop(
        lambda place: _byte(blocks, place) > 0,
        step,
        [start],
        parallel_iterations=1,
        maximum_iterations=_STEPS,
    )[0]


def _byte(text: Any, place: Any) -> Any:
    """Read one byte, int64; 0 past the end."""
    byte = tf.io.decode_raw(tf.strings.substr(text, place, 1), tf.uint8, fixed_length=1)
    return tf.cast(tf.squeeze(byte), tf.int64)


def _require(condition: Any, message: Any, *values: Any) -> tf.Operation:
    """Fail with INVALID_ARGUMENT, the message and the values unless the condition holds."""
    return tf.raw_ops.Assert(condition=condition, data=[tf.convert_to_tensor(message), *values], summarize=9)
