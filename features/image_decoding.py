"""Decode one encoded image inside the graph, under a limit told from its header.

Every format is told by its first bytes, checked for its declared size before memory is taken and decoded.
What comes out for each kind of pixel is in docs/featurizers.md.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from features import animation
from features.byte_window import (
    apart,
    big_endian,
    find_chunk,
    little_endian,
    matches,
    require,
    section,
    select,
    size_of,
    window,
)
from features.orientation import (
    jpeg_orientation,
    png_chunks,
    png_orientation,
    upright,
    webp_orientation,
)

#: Takes pixels [h, w, 3] of any number type, the value that means full intensity, and their EXIF
#: orientation, int32 of 1 to 8; gives float32. All that follows decoding is in it: the graph has it once for
#: each number type and not for each format.
Finish = Callable[[Any, float, Any], Any]

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF")
_FULL_8, _FULL_16 = 255.0, 65535.0
_UPRIGHT = 1
#: The way out of a form that `image_file.plain` rewrites.
_REWRITE = "send it as PNG, or through Servable's client, which rewrites it"


def decode(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode one image of any format and hand its pixels and their orientation to `finish`.

    Args:
        data: string scalar, JPEG, PNG, GIF, BMP or WebP.
        max_pixels: largest width times height that is decoded.
        finish: see Finish; every format calls it once.

    Returns:
        What `finish` gives.

    Raises:
        tf.errors.InvalidArgumentError: no image, a damaged one, or one that is too large.
    """
    head = window(data, 0, 12)
    found = [matches(head[: len(magic)], magic) for magic in _MAGIC]
    found[-1] &= matches(head[8:], b"WEBP")
    known = require(tf.reduce_any(found), "the data are no image: JPEG, PNG, GIF, BMP or WebP expected")
    decoders = (decode_jpeg, decode_png, decode_gif, decode_bmp, decode_webp)
    with tf.control_dependencies([known]):
        kind = tf.reduce_sum(tf.cast(found, tf.int32) * tf.range(len(decoders)))
    branches = [lambda one=one: _apart(one, max_pixels, finish)(data) for one in decoders]
    return tf.switch_case(kind, branches)


def turned(fit: Callable[[Any, Any], Any]) -> Finish:
    """Make a Finish that turns pixels upright and hands them to `fit`, with the value of full intensity.

    Args:
        fit: takes upright pixels [h, w, 3] and a float32 scalar.
    """
    graph = apart(lambda pixels, white, orientation: fit(upright(pixels, orientation), white))

    def finish(pixels: Any, white: float, orientation: Any) -> Any:
        return graph(tf.ensure_shape(pixels, [None, None, 3]), tf.constant(white), orientation)

    return finish


def _apart(decoder: Callable[..., Any], max_pixels: int, finish: Finish) -> Callable[[Any], Any]:
    return apart(lambda data: decoder(data, max_pixels, finish), tf.TensorSpec([], tf.string))


def _within(size: Any, max_pixels: int) -> tf.Operation:
    size = tf.cast(size, tf.int64)
    small = tf.reduce_prod(size) <= max_pixels
    return require(
        small,
        "the image is too large, it has a height and width of",
        size,
        "pixels; most pixels decoded:",
        max_pixels,
    )


# -- JPEG (ITU T.81) ------------------------------------------------------------------------------


def decode_plain_jpeg(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode a JPEG without looking for EXIF; see decode."""
    return finish(_jpeg_pixels(data, max_pixels), _FULL_8, tf.constant(_UPRIGHT))


def decode_jpeg(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode a JPEG; grey, YCbCr, RGB, CMYK and YCCK become RGB. See decode."""
    return finish(_jpeg_pixels(data, max_pixels), _FULL_8, jpeg_orientation(data))


def _jpeg_pixels(data: Any, max_pixels: int) -> Any:
    with tf.control_dependencies([_within(tf.io.extract_jpeg_shape(data)[:2], max_pixels)]):
        # The accurate transform is what Pillow and browsers compute; TensorFlow's default is up to 6
        # grey levels away from it.
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)


# -- PNG (W3C PNG, third edition) -----------------------------------------------------------------


def decode_png(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode a PNG of any bit depth; transparent pixels are composed over white. See decode."""
    head = window(data, 8, 18)
    checks = [
        require(matches(head[4:8], b"IHDR"), "the PNG does not begin with its header"),
        _within(tf.stack([big_endian(head[12:16]), big_endian(head[8:12])]), max_pixels),
    ]
    with tf.control_dependencies(checks):
        orientation = png_orientation(data)
        # Colour types 4 and 6 have an alpha channel; others can name a transparent colour.
        alpha = (
            (head[17] == 4)
            | (head[17] == 6)
            | (find_chunk(data, 8, png_chunks(data, b"tRNS", b"IDAT"))[0] > 0)
        )
        kind = 2 * tf.cast(head[16] == 16, tf.int32) + tf.cast(alpha, tf.int32)

    def pixels(channels: int, dtype: tf.DType = tf.uint8) -> Any:
        return tf.io.decode_png(data, channels=channels, dtype=dtype)

    branches = [
        lambda: finish(pixels(3), _FULL_8, orientation),
        lambda: finish(_over_white(pixels(4)), _FULL_8**2, orientation),
        lambda: finish(pixels(3, tf.uint16), _FULL_16, orientation),
        lambda: finish(_over_white_16(pixels(4, tf.uint16)), _FULL_16, orientation),
    ]
    return tf.switch_case(kind, branches)


def _over_white(pixels: Any) -> Any:
    """Compose uint8 [h, w, 4] over white: exactly, as uint16 in units of 1 / 255 squared."""
    alpha = tf.cast(pixels[..., 3:], tf.uint16)
    white = tf.constant(255, tf.uint16)
    return tf.cast(pixels[..., :3], tf.uint16) * alpha + white * (white - alpha)


def _over_white_16(pixels: Any) -> Any:
    alpha = tf.cast(pixels[..., 3:], tf.float32)
    return tf.cast(pixels[..., :3], tf.float32) * (alpha * (1 / _FULL_16)) + (_FULL_16 - alpha)


# -- GIF and WebP: the first frame ----------------------------------------------------------------


def decode_gif(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode the first frame of a GIF over white. See decode."""
    frame = _first_gif_frame(data)
    with tf.control_dependencies([_within(frame.canvas, max_pixels)]):
        pixels = tf.io.decode_gif(frame.data)[0]
    return finish(animation.place(pixels, frame, _FULL_8), _FULL_8, tf.constant(_UPRIGHT))


def decode_webp(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode a WebP, or the first frame of an animated one, over white. See decode."""
    orientation = webp_orientation(data)

    def still() -> Any:
        pixels = _webp_pixels(data, _webp_size(data), max_pixels)
        return _over_white_if_alpha(pixels, lambda plain, white: finish(plain, white, orientation))

    def animated() -> Any:
        frame = _first_webp_frame(data)
        pixels = _webp_pixels(frame.data, frame.canvas, max_pixels)

        def placed(plain: Any, white: float) -> Any:
            return finish(animation.place(plain, frame, white), white, orientation)

        return _over_white_if_alpha(pixels, placed)

    return tf.cond(animation.is_animated_webp(data), animated, still)


def _webp_pixels(data: Any, size: Any, max_pixels: int) -> Any:
    with tf.control_dependencies([_within(size, max_pixels)]):
        # The op DecodeWebP is unknown to TensorFlow Serving 2.19, which would refuse the whole model.
        return tf.io.decode_image(data, channels=0, expand_animations=False)


def _over_white_if_alpha(pixels: Any, finish: Callable[[Any, float], Any]) -> Any:
    return tf.cond(
        tf.shape(pixels)[-1] == 4,
        lambda: finish(_over_white(pixels), _FULL_8**2),
        lambda: finish(pixels[..., :3], _FULL_8),
    )


def _webp_size(data: Any) -> Any:
    """Read height and width, int64 [2], from whichever chunk stands first (RFC 9649)."""
    head = window(data, 12, 18)
    extended = [1 + little_endian(head[15:18]), 1 + little_endian(head[12:15])]
    lossy = [little_endian(head[16:18]) % 2**14, little_endian(head[14:16]) % 2**14]
    bits = little_endian(head[9:13])
    lossless = [1 + bits // 2**14 % 2**14, 1 + bits % 2**14]
    is_lossy, is_lossless = matches(head[:4], b"VP8 "), matches(head[:4], b"VP8L")
    return tf.where(is_lossy, lossy, tf.where(is_lossless, lossless, extended))


# -- BMP ------------------------------------------------------------------------------------------


def decode_bmp(data: Any, max_pixels: int, finish: Finish) -> Any:
    """Decode an uncompressed BMP of 1, 4, 8 (palette), 24 or 32 bits a pixel. See decode.

    The fourth byte of 32 bits is not read: most writers leave it at zero. TensorFlow's own decoder takes
    palette indices for grey levels and refuses files that are longer than they must be. Other kinds of BMP
    are refused: `image_file.plain` rewrites them, at ingest and in the client.
    """
    return finish(_bmp_pixels(data, tf.constant(max_pixels, tf.int64)), _FULL_8, tf.constant(_UPRIGHT))


def _bmp(data: Any, max_pixels: Any) -> Any:
    head = window(data, 0, 70)
    width, height = _signed(head[18:22]), _signed(head[22:26])
    bits = tf.cast(little_endian(head[28:30]), tf.int32)
    start, row = little_endian(head[10:14]), (width * tf.cast(bits, tf.int64) + 31) // 32 * 4
    checks = [*_bmp_variant(head, bits), _within(tf.stack([tf.abs(height), width]), max_pixels)]
    needed = start + row * tf.abs(height)
    checks.append(require(needed <= size_of(data), "the BMP ends inside its pixels"))
    with tf.control_dependencies(checks):
        raw = tf.io.decode_raw(section(data, start, row * tf.abs(height)), tf.uint8)
    rows = tf.reshape(raw, [tf.abs(height), row])
    # Rows are stored from the bottom up unless the height is negative.
    rows = tf.raw_ops.Reverse(tensor=rows, dims=tf.stack([height > 0, False]))
    pixels = tf.cond(
        bits >= 24,
        lambda: _bmp_true_color(rows, width, bits),
        lambda: _bmp_palette(data, head, rows, width, bits),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _signed(values: Any) -> Any:
    number = little_endian(values)
    return select(number >= 2**31, number - 2**32, number)


def _bmp_variant(head: Any, bits: Any) -> list[tf.Operation]:
    compression, size = little_endian(head[30:34]), little_endian(head[14:18])
    # Masks of a file with bit fields: only the order that plain 32 bit files have is read, without alpha.
    masks = (compression == 3) & (bits == 32) & matches(head[54:66], b"\0\0\xff\0\0\xff\0\0\xff\0\0\0")
    masks &= (size < 56) | matches(head[66:70], bytes(4))
    end = 14 + size + select(bits <= 8, 4 * _bmp_colors(head, bits), 0) + select(masks & (size == 40), 12, 0)
    return [
        require(size >= 40, "the BMP has an OS/2 header; a Windows header is expected:", _REWRITE),
        require(
            tf.reduce_any(bits == [1, 4, 8, 24, 32]),
            "the BMP has",
            bits,
            "bits a pixel; 1, 4, 8, 24 or 32 can be read:",
            _REWRITE,
        ),
        require((compression == 0) | masks, "the BMP is compressed or has alpha:", _REWRITE),
        require(little_endian(head[10:14]) >= end, "the BMP's pixels begin in its colour table:", _REWRITE),
        require((_signed(head[18:22]) > 0) & (_signed(head[22:26]) != 0), "the BMP has no pixels"),
    ]


def _bmp_colors(head: Any, bits: Any) -> Any:
    colors = little_endian(head[46:50])
    return select(colors == 0, tf.bitwise.left_shift(1, tf.minimum(bits, 8)), colors)


def _bmp_true_color(rows: Any, width: Any, bits: Any) -> Any:
    samples = tf.cast(bits // 8, tf.int64)
    blue_first = tf.reshape(rows[:, : width * samples], [-1, width, samples])
    return tf.reverse(blue_first[..., :3], [-1])


def _bmp_palette(data: Any, head: Any, rows: Any, width: Any, bits: Any) -> Any:
    # The leftmost pixel lies in a byte's highest bits.
    shifts = tf.range(8 - bits, -1, -bits)
    packed = tf.cast(rows, tf.int32)[..., None]
    indices = tf.bitwise.right_shift(packed, shifts) % tf.bitwise.left_shift(1, bits)
    indices = tf.reshape(indices, [tf.shape(rows)[0], -1])[:, : tf.cast(width, tf.int32)]
    colors = tf.minimum(_bmp_colors(head, bits), 256)
    inside = require(
        tf.reduce_all(tf.cast(indices, tf.int64) < colors), "the BMP has colours beyond its table"
    )
    table = section(data, 14 + little_endian(head[14:18]), 4 * colors)
    table = tf.reshape(tf.io.decode_raw(table, tf.uint8, fixed_length=1024), [256, 4])
    with tf.control_dependencies([inside]):
        return tf.gather(tf.reverse(table[:, :3], [-1]), indices)


# Functions of the whole process: made anew for each featurizer they would be traced as often.
_first_gif_frame = apart(animation.first_gif_frame, tf.TensorSpec([], tf.string))
_first_webp_frame = apart(animation.first_webp_frame, tf.TensorSpec([], tf.string))
_bmp_pixels = apart(_bmp, tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64))
