"""Read what an encoded image says of itself, with TensorFlow ops: format, size, EXIF orientation.

The bytes may be hostile: every read is padded with zeros past the end, every loop is bounded, and
what cannot be read means the default.
"""

from typing import Any

import tensorflow as tf

#: What kind() gives for each format; -1 for none of them.
JPEG, PNG, GIF, BMP, WEBP = range(5)

#: JPEG files have a few dozen segments before the pixels, PNG files as many chunks as they like.
MAX_SEGMENTS = 256
MAX_CHUNKS = 8192
MAX_TAGS = 256
ORIENTATION_TAG = 0x0112


def read(image: Any, at: Any, count: int) -> Any:
    """Read count bytes from a position as int32 [count]; zeros past the end."""
    length = tf.strings.length(image)
    start = tf.clip_by_value(at, 0, length)
    part = tf.strings.substr(image, start, count)
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int32)


def _big(values: Any) -> Any:
    """Combine 2 or 4 bytes, most significant first; 4 bytes saturate at the largest int32."""
    if values.shape[0] == 2:
        return values[0] * 256 + values[1]
    high = tf.minimum(values[0], 127)
    return ((high * 256 + values[1]) * 256 + values[2]) * 256 + values[3]


def _little(values: Any) -> Any:
    return _big(tf.reverse(values, [0]))


def _number(values: Any, little: Any) -> Any:
    return tf.where(little, _little(values), _big(values))


def _is(values: Any, at: int, magic: bytes) -> Any:
    return tf.reduce_all(values[at : at + len(magic)] == list(magic))


def header(image: Any) -> tuple[Any, Any, Any]:
    """Read what an encoded image says of itself.

    Args:
        image: string scalar.

    Returns:
        Format (int32: JPEG to WEBP, -1 for none of them), declared width times height (int64, 0
        where nothing is said), and EXIF orientation (int32 from 1 to 8, 1 where there is none or it
        is garbage).
    """
    head = read(image, 0, 32)
    found = kind(head)
    pixels, exif = tf.switch_case(
        tf.where(found < 0, WEBP + 1, found),
        [
            lambda: _jpeg(image),
            lambda: (_product(_big(head[16:20]), _big(head[20:24])), _png_exif(image)),
            lambda: (_product(_little(head[6:8]), _little(head[8:10])), tf.constant(-1)),
            lambda: (_bmp_pixels(head), tf.constant(-1)),
            lambda: (_product(*_webp_size(head)), _webp_exif(image)),
            lambda: (tf.constant(0, tf.int64), tf.constant(-1)),
        ],
    )
    orientation = tf.cond(exif < 0, lambda: tf.constant(1), lambda: _tiff_orientation(image, exif))
    return found, pixels, orientation


def kind(head: Any) -> Any:
    """Tell a format by an image's first 12 bytes or more: int32 scalar, -1 for unknown."""
    checks = (
        (JPEG, _is(head, 0, b"\xff\xd8\xff")),
        (PNG, _is(head, 0, b"\x89PNG\r\n\x1a\n")),
        (GIF, _is(head, 0, b"GIF8")),
        (BMP, _is(head, 0, b"BM")),
        (WEBP, _is(head, 0, b"RIFF") & _is(head, 8, b"WEBP")),
    )
    result = tf.constant(-1)
    for number, matches in checks:
        result = tf.where(matches, number, result)
    return result


def has_alpha(image: Any) -> Any:
    """Tell whether a PNG can be transparent: an alpha channel, or a palette with a tRNS chunk."""
    colour = read(image, 25, 1)[0]
    return tf.cond(
        colour == 3,
        lambda: _chunk_walk(image, 8, little=False, name=b"tRNS", name_first=False, stop=b"IDAT") >= 0,
        lambda: (colour == 4) | (colour == 6),
    )


def _product(height: Any, width: Any) -> Any:
    return tf.cast(tf.abs(height), tf.int64) * tf.cast(tf.abs(width), tf.int64)


def _bmp_pixels(head: Any) -> Any:
    # Heights of bitmaps stored top-down are negative: their high byte is set.
    height = head[22:26]
    return _product(
        tf.where(height[3] >= 128, _little(255 - height) + 1, _little(height)), _little(head[18:22])
    )


def _webp_size(head: Any) -> tuple[Any, Any]:
    code = head[15]  # the last letter of "VP8 ", "VP8L" or "VP8X"
    bits = head[21] + head[22] * 256 + head[23] * 65536 + (head[24] % 64) * 16777216
    sizes = {
        ord("X"): (
            head[27] + head[28] * 256 + head[29] * 65536 + 1,
            head[24] + head[25] * 256 + head[26] * 65536 + 1,
        ),
        ord("L"): (bits // 16384 % 16384 + 1, bits % 16384 + 1),
        ord(" "): (_little(head[28:30]) % 16384, _little(head[26:28]) % 16384),
    }
    height = width = tf.constant(0)
    for letter, (high, wide) in sizes.items():
        height, width = tf.where(code == letter, high, height), tf.where(code == letter, wide, width)
    return height, width


def _jpeg(image: Any) -> tuple[Any, Any]:
    """Walk the segments up to the frame header; give declared pixels and the TIFF header's position."""

    def go_on(at: Any, frame: Any, exif: Any) -> Any:
        return (frame < 0) & (at >= 0)

    def step(at: Any, frame: Any, exif: Any) -> tuple[Any, Any, Any]:
        head = read(image, at, 10)
        marker, length = head[1], _big(head[2:4])
        filler = (head[0] == 255) & (marker == 255)
        broken = (head[0] != 255) | ((length < 2) & ~filler) | (marker == 0xDA)
        # SOF0 to SOF15 without DHT, JPG and DAC, which share the range.
        is_frame = (marker // 16 == 0xC) & (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_exif = (marker == 0xE1) & (exif < 0) & _is(head, 4, b"Exif\0\0")
        following = tf.where(filler, at + 1, at + 2 + length)
        return (
            tf.where(broken, -1, following),
            tf.where(is_frame & ~broken & ~filler, at, frame),
            tf.where(is_exif & ~broken & ~filler, at + 10, exif),
        )

    start = (tf.constant(2), tf.constant(-1), tf.constant(-1))
    _, frame, exif = tf.while_loop(go_on, step, start, maximum_iterations=MAX_SEGMENTS)
    size = read(image, frame + 5, 4)
    return tf.where(frame < 0, tf.constant(0, tf.int64), _product(_big(size[:2]), _big(size[2:]))), exif


def _chunk_walk(image: Any, begin: int, little: bool, name: bytes, name_first: bool, stop: bytes) -> Any:
    """Walk length-prefixed chunks and give the position of a named one's content, -1 for none."""
    overhead = 8 if name_first else 12  # PNG chunks end in a checksum of four bytes

    def go_on(at: Any, result: Any) -> Any:
        return (result < 0) & (at >= 0) & (at < tf.strings.length(image))

    def step(at: Any, result: Any) -> tuple[Any, Any]:
        head = read(image, at, 8)
        tag, size = (head[:4], head[4:]) if name_first else (head[4:], head[:4])
        length = _little(size) if little else _big(size)
        # RIFF chunks are padded to even lengths.
        padded = length + length % 2 if little else length
        beyond = padded > tf.strings.length(image) - at
        ended = beyond | _is(tag, 0, stop)
        hit = _is(tag, 0, name)
        return tf.where(ended, -1, at + overhead + tf.where(beyond, 0, padded)), tf.where(hit, at + 8, result)

    return tf.while_loop(go_on, step, (tf.constant(begin), tf.constant(-1)), maximum_iterations=MAX_CHUNKS)[1]


def _png_exif(image: Any) -> Any:
    return _chunk_walk(image, 8, little=False, name=b"eXIf", name_first=False, stop=b"IEND")


def _webp_exif(image: Any) -> Any:
    at = _chunk_walk(image, 12, little=True, name=b"EXIF", name_first=True, stop=b"\0\0\0\0")
    # Some writers repeat JPEG's prefix in front of the TIFF header.
    prefixed = _is(read(image, at, 6), 0, b"Exif\0\0")
    return tf.where((at >= 0) & prefixed, at + 6, at)


def _tiff_orientation(image: Any, start: Any) -> Any:
    header = read(image, start, 8)
    little = (header[0] == ord("I")) & (header[1] == ord("I"))
    valid = little | ((header[0] == ord("M")) & (header[1] == ord("M")))
    valid &= _number(header[2:4], little) == 42
    offset = _number(header[4:8], little)
    valid &= (offset >= 8) & (offset < tf.strings.length(image))
    table = start + tf.where(valid, offset, 0)
    count = tf.where(valid, tf.minimum(_number(read(image, table, 2), little), MAX_TAGS), 0)
    entries = tf.reshape(read(image, table + 2, 12 * MAX_TAGS), [MAX_TAGS, 12])
    tags = tf.where(little, entries[:, 0] + entries[:, 1] * 256, entries[:, 0] * 256 + entries[:, 1])
    values = tf.where(little, entries[:, 8] + entries[:, 9] * 256, entries[:, 8] * 256 + entries[:, 9])
    matching = (tags == ORIENTATION_TAG) & (tf.range(MAX_TAGS) < count)
    value = tf.reduce_max(tf.where(matching, values, 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)
