"""Encoded images to upright pixels, in the graph: the same code in training, in the SavedModel and in tests.

The graph takes plain forms, which TensorFlow's decoders read right and safely: JPEG, PNG of 8 bits, GIF
of one opaque frame, uncompressed BMP of 24 or 32 bits, still WebP. Ingest and our client rewrite every other
form once, as PNG (image_file.plain); sent by anybody else, it is refused by its name. The size is read
from the header and held to a limit before memory is taken. docs/featurizers.md describes the result.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from features.images import exif
from features.images.forms import FORMS, GIF_EXTENSIONS, HEAD

#: Decoded side by side: enough for the cores, few enough for the memory of large images.
_SIDE_BY_SIDE = 8
#: Most steps of a walk through a GIF's blocks, each over up to so many blocks of one size.
_STEPS, _RUN = 16_384, 64
_ALL = 2**31 - 1

_MASKS = np.array([form.mask for form in FORMS])
_VALUES = np.array([form.value for form in FORMS])
#: Of each form: weights of the head's bytes, then divisor, modulus, sign and summand of each number.
_NUMBERS = [(form.height, form.width, form.start) for form in FORMS]
_WEIGHTS = np.array([[number.weights for number in numbers] for numbers in _NUMBERS])
_RULES = np.array([np.transpose([number.rule for number in numbers]) for numbers in _NUMBERS])
_COLUMNS = np.array([[form.decoder, form.samples, form.upward] for form in FORMS], np.int32)
_REFUSALS = np.array([form.refusal for form in FORMS], object)
#: Bytes of a frame's colour table by its flags.
_TABLES = np.array([3 * 2 ** (flags % 8 + 1) if flags >= 128 else 0 for flags in range(256)], np.int32)


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

    def one(pair: tuple[Any, Any]) -> Any:
        return finish(_upright(_decode(pair[0], max_pixels), pair[1]))

    elements = (images, orientations(images))
    return tf.map_fn(one, elements, fn_output_signature=result, parallel_iterations=_SIDE_BY_SIDE)


def upright(image: Any, max_pixels: int) -> Any:
    """Decode one image, string [1], and turn it upright: uint8 [height, width, 3]."""
    return _upright(_decode(image[0], max_pixels), orientations(image)[0])


def orientations(images: Any) -> Any:
    """Read the EXIF orientation of encoded images, string [batch]: int32 [batch] of 1 to 8."""
    head = tf.strings.substr(images, 0, exif.SEARCHED)
    head = tf.strings.regex_replace(head, exif.PREFIX, "", replace_global=False)
    block = tf.strings.substr(head, 0, exif.BLOCK)
    digit = tf.strings.regex_replace(block, exif.BLOCK_PATTERN, r"\1\2", replace_global=False)
    digit = tf.where(tf.strings.length(digit) == 1, digit, b"\1")
    numbers = tf.cast(tf.io.decode_raw(digit, tf.uint8, fixed_length=1), tf.int32)[:, 0]
    # The one byte of a file that has no more is no answer.
    return tf.where(numbers > 8, 1, numbers)


def _upright(pixels: Any, orientation: Any) -> Any:
    """Turn pixels [h, w, 3] upright."""

    def turned() -> Any:
        swapped = tf.transpose(pixels, tf.gather([[0, 1, 2], [1, 0, 2]], orientation // 5))
        # Of each orientation, whether its rows and its columns are reversed once they are swapped.
        flips = [[0, 0], [0, 0], [0, 1], [1, 1], [1, 0], [0, 0], [0, 1], [1, 1], [1, 0]]
        dims = tf.gather([[*map(bool, flip), False] for flip in flips], orientation)
        return tf.raw_ops.Reverse(tensor=swapped, dims=dims)

    return tf.ensure_shape(tf.cond(orientation > 1, turned, lambda: pixels), [None, None, 3])


def _decode(image: Any, max_pixels: int) -> Any:
    """Decode one image as stored: uint8 [h, w, 3]."""
    head = tf.io.decode_raw(tf.strings.substr(image, 0, HEAD), tf.uint8, fixed_length=HEAD)
    form = tf.argmax(tf.reduce_all(tf.bitwise.bitwise_and(head, _MASKS) == _VALUES, 1))
    refusal = tf.gather(_REFUSALS, form)
    divisor, modulus, sign, summand = tf.unstack(tf.gather(_RULES, form))
    sums = tf.reduce_sum(tf.cast(head, tf.int64) * tf.gather(_WEIGHTS, form), 1)
    height, width, start = tf.unstack(sign * (sums // divisor % modulus) + summand)
    start = tf.minimum(start, tf.cast(tf.strings.length(image), tf.int64))
    decoder, samples, upward = tf.unstack(tf.gather(_COLUMNS, form))
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
            lambda: _over_white(tf.io.decode_png(image, 4)),
            lambda: _gif(image, start),
            lambda: _bmp(image, start, height, width, tf.cast(samples, tf.int64), upward > 0),
            # The op DecodeWebP is unknown to TensorFlow Serving 2.19, which would refuse the whole model.
            lambda: _over_white(_with_alpha(tf.io.decode_image(image, expand_animations=False))),
        ]
        return tf.switch_case(decoder, branches)


def _with_alpha(pixels: Any) -> Any:
    """Add an opaque alpha channel to [h, w, 3]; [h, w, 4] stays as it is."""
    return tf.pad(pixels, [[0, 0], [0, 0], [0, 4 - tf.shape(pixels)[-1]]], constant_values=255)


def _over_white(pixels: Any) -> Any:
    """Compose uint8 [h, w, 4] over white, rounded to the nearest level."""
    color, alpha = (tf.cast(part, tf.uint16) for part in tf.split(pixels, [3, 1], -1))
    mixed = color * alpha + (255 - alpha) * 255 + 128
    # Division by 255, exact for products of two bytes: the sum of the number's own base-256 digits.
    return tf.cast((mixed + mixed // 256) // 256, tf.uint8)


def _bmp(image: Any, start: Any, height: Any, width: Any, samples: Any, upward: Any) -> Any:
    """Read plain pixels; the fourth byte of 32 bits is not read, for most writers leave it at zero."""
    row = (width * samples + 3) // 4 * 4
    raw = tf.io.decode_raw(tf.strings.substr(image, start, row * height), tf.uint8)
    whole = _require(tf.size(raw, tf.int64) == row * height, "the BMP ends inside its pixels")
    with tf.control_dependencies([whole]):
        rows = tf.reshape(raw, [height, row])
    colors = tf.reshape(rows[:, : width * samples], [height, width, samples])
    # Blue comes first.
    return tf.raw_ops.Reverse(tensor=colors[..., :3], dims=tf.stack([upward, False, True]))


def _gif(image: Any, start: Any) -> Any:
    """Decode a GIF that holds one opaque frame and nothing else: TensorFlow decodes every frame there is."""
    blocks = tf.strings.regex_replace(tf.strings.substr(image, start, _ALL), "^" + GIF_EXTENSIONS, "")
    # Zeros behind it end a walk that runs past the end.
    blocks = tf.strings.join([blocks, bytes(512)])
    whole = tf.strings.join([b",\0\0\0\0", tf.strings.substr(image, 6, 4)])
    end = _end_of_blocks(blocks, 11 + tf.gather(_TABLES, tf.cast(_byte(blocks, 9), tf.int32)))
    rest = tf.strings.substr(blocks, end + 1, _ALL)
    plain = tf.equal(tf.strings.substr(blocks, 0, 9), whole) & tf.strings.regex_full_match(
        rest, GIF_EXTENSIONS + r";\C*"
    )
    message = (
        "the GIF is animated, transparent, damaged or smaller than its screen: save its first frame as PNG"
    )
    with tf.control_dependencies([_require(plain, message)]):
        return tf.io.decode_gif(image)[0]


def _end_of_blocks(blocks: Any, start: Any) -> Any:
    """Walk along the sub-blocks of a GIF's frame to the empty one that ends them; most have 255 bytes."""

    def step(place: Any, size: Any) -> tuple[Any, Any]:
        raw = tf.io.decode_raw(tf.strings.substr(blocks, place, _RUN * (size + 1)), tf.uint8)
        same = tf.cast(tf.cast(raw[:: size + 1], tf.int32) == size, tf.int32)
        following = place + (size + 1) * tf.reduce_sum(tf.math.cumprod(same))
        return following, tf.cast(_byte(blocks, following), tf.int32)

    first = tf.cast(_byte(blocks, start), tf.int32)
    return tf.while_loop(
        lambda place, size: size > 0, step, (start, first), parallel_iterations=1, maximum_iterations=_STEPS
    )[0]


def _byte(text: Any, place: Any) -> Any:
    """Read one byte, uint8; 0 past the end."""
    return tf.io.decode_raw(tf.strings.substr(text, place, 1), tf.uint8, fixed_length=1)[0]


def _require(condition: Any, message: Any, *values: Any) -> tf.Operation:
    """Fail with INVALID_ARGUMENT, the message and the values unless the condition holds."""
    return tf.raw_ops.Assert(condition=condition, data=[tf.convert_to_tensor(message), *values], summarize=9)
