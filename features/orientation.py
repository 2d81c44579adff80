"""Find the EXIF orientation of an encoded image inside the graph, and turn its pixels upright.

Cameras and phones store pixels as the sensor lies and write the turn that makes them upright into the
EXIF tag 274 (CIPA DC-008, TIFF 6.0). It stands in a JPEG's APP1 segment, a PNG's eXIf chunk or a
WebP's EXIF chunk. Whatever cannot be read means 1: upright as stored. An orientation that stands in
XMP alone is not read.
"""

from typing import Any

import tensorflow as tf

from features.byte_window import (
    apart,
    big_endian,
    find_chunk,
    little_endian,
    matches,
    section,
    select,
    window,
)

ORIENTATION_TAG = 274
_EXIF = b"Exif\0\0"
#: The first directory of a real file lies within the first few hundred bytes of its EXIF block.
_MOST_TIFF_BYTES = 1 << 16
_SHORT, _LONG = 3, 4
_END_OF_IMAGE, _START_OF_SCAN, _APP1 = 0xD9, 0xDA, 0xE1


def mentions(data: Any, literal: bytes) -> Any:
    """Tell, for each string of any shape, whether it holds these bytes anywhere."""
    # RE2 searches for a literal with vector instructions: 4 GB/s, where a full match makes 0.5 GB/s.
    pattern = literal.decode("ascii")
    without = tf.strings.regex_replace(data, pattern, "", replace_global=False)
    return tf.strings.length(without) != tf.strings.length(data)


def mentions_jpeg_exif(data: Any) -> Any:
    """Tell, for each JPEG of any shape, whether it can have an EXIF block: False is certain, True is not."""
    return mentions(data, _EXIF)


def jpeg_orientation(data: Any) -> Any:
    """Read the orientation of an encoded JPEG, string scalar: int32 of 1 to 8."""
    return _if(mentions(data, _EXIF), lambda: _in_jpeg(data))


def png_orientation(data: Any) -> Any:
    """Read the orientation of an encoded PNG, string scalar: int32 of 1 to 8."""
    return _if(mentions(data, b"eXIf"), lambda: _in_png(data))


def webp_orientation(data: Any) -> Any:
    """Read the orientation of an encoded WebP, string scalar: int32 of 1 to 8."""
    return _if(mentions(data, b"EXIF"), lambda: _in_webp(data))


def upright(pixels: Any, orientation: Any) -> Any:
    """Turn pixels [h, w, c] upright as their orientation, int32 of 1 to 8, says."""

    def turned() -> Any:
        # A transposition that moves no axis gives its input: two branches less in every graph.
        swapped = tf.transpose(pixels, tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2]))
        down = tf.reduce_any(orientation == [3, 4, 7, 8])
        across = tf.reduce_any(orientation == [2, 3, 6, 7])
        return tf.raw_ops.Reverse(tensor=swapped, dims=tf.stack([down, across, False]))

    found = tf.cond(orientation == 1, lambda: pixels, turned)
    return tf.ensure_shape(found, [None, None, pixels.shape[-1]])


def _walk(first: int, chunks: Any) -> Any:
    """Make what reads the orientation from the chunk that `chunks` looks for."""

    def walk(data: Any) -> Any:
        begin, size = find_chunk(data, first, chunks(data))
        return _if(begin > 0, lambda: _tiff(section(data, begin, tf.minimum(size, _MOST_TIFF_BYTES))))

    return apart(walk, tf.TensorSpec([], tf.string))


def _if(condition: Any, orientation: Any) -> Any:
    return tf.cond(condition, orientation, lambda: tf.constant(1))


def _jpeg_segments(data: Any) -> Any:
    """Make the step from one JPEG segment to the next (ITU T.81, annex B), up to the first scan."""

    def read(position: Any) -> tuple[Any, Any, Any]:
        head = window(data, position, 10)
        marker, length = head[1], big_endian(head[2:4])
        # Fill bytes, and what else decoders pass over between two segments.
        between = (head[0] != 0xFF) | (marker == 0xFF) | (marker == 0)
        alone = (marker == 1) | ((marker >= 0xD0) & (marker <= 0xD8))
        last = ~between & ((marker == _END_OF_IMAGE) | (marker == _START_OF_SCAN))
        found = ~between & (marker == _APP1) & matches(head[4:], _EXIF) & (length >= 8)
        stride = select(between, 1, select(alone, 2, 2 + length))
        return select(last, -1, position + stride), select(found, position + 10, 0), length - 8

    return read


def png_chunks(data: Any, name: bytes, last: bytes = b"IEND") -> Any:
    """Make the step from one PNG chunk to the next that looks for a chunk by name, up to `last`."""

    def read(position: Any) -> tuple[Any, Any, Any]:
        head = window(data, position, 8)
        length = big_endian(head[:4])
        following = select(matches(head[4:], last), -1, position + 12 + length)
        return following, select(matches(head[4:], name), position + 8, 0), length

    return read


def webp_chunks(data: Any, name: bytes) -> Any:
    """Make the step from one RIFF chunk of a WebP to the next that looks for a chunk by name."""

    def read(position: Any) -> tuple[Any, Any, Any]:
        head = window(data, position, 8)
        length = little_endian(head[4:])
        # RIFF chunks begin at even positions.
        following = position + 8 + length + length % 2
        return following, select(matches(head[:4], name), position + 8, 0), length

    return read


def tiff_orientation(block: Any) -> Any:
    """Read the orientation from the first directory of a TIFF structure.

    Args:
        block: string scalar; the six bytes that some PNG and WebP writers repeat from JPEG are skipped.

    Returns:
        int32 of 1 to 8; 1 where the tag is absent, broken or out of range.
    """
    block = tf.cond(
        matches(window(block, 0, 6), _EXIF), lambda: section(block, 6, _MOST_TIFF_BYTES), lambda: block
    )
    head = window(block, 0, 8)
    little = matches(head[:4], b"II*\0")
    known = little | matches(head[:4], b"MM\0*")
    at = _number(head[None, 4:], little)[0]
    # The first directory follows the header of 8 bytes; an offset into it is no directory.
    return _if(known & (at >= 8), lambda: _in_directory(block, at, little))


def _in_directory(block: Any, at: Any, little: Any) -> Any:
    count = _number(window(block, at, 2)[None], little)[0]
    raw = tf.io.decode_raw(section(block, at + 2, count * 12), tf.uint8)
    entries = tf.reshape(raw[: tf.size(raw) // 12 * 12], [-1, 12])
    entries = tf.cast(entries, tf.int64)
    tag, kind = _number(entries[:, :2], little), _number(entries[:, 2:4], little)
    one = _number(entries[:, 4:8], little) == 1
    value = tf.where(kind == _SHORT, _number(entries[:, 8:10], little), _number(entries[:, 8:12], little))
    fits = (tag == ORIENTATION_TAG) & one & ((kind == _SHORT) | (kind == _LONG)) & (value >= 1) & (value <= 8)
    # The first one that fits, else 1.
    values = tf.concat([tf.boolean_mask(value, fits), tf.constant([1], tf.int64)], axis=0)
    return tf.cast(values[0], tf.int32)


def _number(columns: Any, little: Any) -> Any:
    """Combine bytes int64 [n, width] into numbers [n] in the block's byte order."""
    weights = tf.constant([256**place for place in range(columns.shape[1])], tf.int64)
    return tf.reduce_sum(columns * tf.where(little, weights, weights[::-1]), axis=1)


# Functions of the whole process: made anew for each featurizer, or each format, they would be traced, and
# optimised before a model's first answer, as often.
_tiff = apart(tiff_orientation, tf.TensorSpec([], tf.string))
_in_jpeg = _walk(2, _jpeg_segments)
_in_png = _walk(8, lambda data: png_chunks(data, b"eXIf"))
_in_webp = _walk(12, lambda data: webp_chunks(data, b"EXIF"))
