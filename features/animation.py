"""Cut the first frame out of an animated GIF or WebP inside the graph, before anything is decoded.

TensorFlow's GIF decoder decodes every frame before it gives the first, and refuses frames smaller than
the picture; its WebP decoder writes past its buffer when an animation has no alpha. Given a file of one
frame, both are safe, quick and right.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from features.byte_window import (
    MAX_STEPS,
    byte,
    find_chunk,
    little_endian,
    matches,
    require,
    section,
    select,
    size_of,
    window,
)
from features.orientation import webp_chunks

_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9
#: States of the walk through a GIF's blocks.
_AT_BLOCK, _IN_EXTENSION, _IN_IMAGE, _DONE, _BROKEN = range(5)
#: Sub-blocks of equal size that one step of the walk can pass.
_RUN = 64


class Frame(NamedTuple):
    """The first frame as a file of its own, and where it lies in the picture.

    Attributes:
        data: string scalar.
        size: int64 [2], height and width of the frame in pixels.
        corner: int64 [2], distance from the picture's top and left edge in pixels.
        canvas: int64 [2], height and width of the picture in pixels; holds the frame.
    """

    data: Any
    size: Any
    corner: Any
    canvas: Any


def place(pixels: Any, frame: Frame, white: float) -> Any:
    """Put a frame's pixels [h, w, 3] into its picture, which is white where no frame is."""
    after = frame.canvas - frame.corner - frame.size
    margins = tf.stack([frame.corner, after], axis=1)
    margins = tf.concat([margins, tf.zeros([1, 2], tf.int64)], axis=0)
    return tf.pad(pixels, margins, constant_values=tf.cast(white, pixels.dtype))


# -- GIF (89a specification) ----------------------------------------------------------------------


def first_gif_frame(data: Any) -> Frame:
    """Cut the first frame out of a GIF; its transparent colour becomes white.

    Raises:
        tf.errors.InvalidArgumentError: no frame, no colour table, or the file ends inside the frame.
    """
    screen = window(data, 6, 7)
    colors, transparent, start, end, state = _walk(data, 13 + _table_size(screen[4]))
    head = window(data, start, 10)
    local = _table_size(head[9])
    checks = [
        require(state == _DONE, "the GIF holds no complete frame"),
        require((local > 0) | (colors > 13), "the GIF has no colour table"),
    ]
    with tf.control_dependencies(checks):
        table = tf.where(local > 0, section(data, start + 10, local), section(data, 13, colors - 13))
    flags = tf.where(local > 0, section(data, start + 9, 1), section(data, 10, 1))
    size = section(data, start + 5, 4)
    pixels = section(data, start + 10 + local, end - start - 10 - local)
    parts = [b"GIF89a", size, flags, b"\0\0", _whitened(table, transparent), b",\0\0\0\0", size]
    parts += [byte(tf.bitwise.bitwise_and(head[9], 0x40)), pixels, b";"]
    frame_size = tf.stack([little_endian(head[7:9]), little_endian(head[5:7])])
    corner = tf.stack([little_endian(head[3:5]), little_endian(head[1:3])])
    canvas = tf.stack([little_endian(screen[2:4]), little_endian(screen[:2])])
    return Frame(tf.strings.join(parts), frame_size, corner, tf.maximum(canvas, corner + frame_size))


def _table_size(flags: Any) -> Any:
    size = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), tf.bitwise.bitwise_and(flags, 7))
    return select(flags >= 128, size, 0)


def _walk(data: Any, begin: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Pass the blocks from `begin` to the end of the first frame.

    Returns:
        `begin`; the transparent colour's index or -1; positions of the frame's begin and end; the state.
    """
    length = size_of(data)

    def goes_on(position: Any, start: Any, transparent: Any, state: Any, steps: Any) -> Any:
        return (state < _DONE) & (position < length) & (steps < MAX_STEPS)

    def step(position: Any, start: Any, transparent: Any, state: Any, steps: Any) -> tuple[Any, ...]:
        passed = tf.cond(
            state == _AT_BLOCK,
            lambda: _pass_block(data, position, start, transparent),
            lambda: (*_pass_sub_blocks(data, position, state), start, transparent),
        )
        position, state, start, transparent = passed
        return position, start, transparent, state, steps + 1

    zero = tf.constant(0, tf.int64)
    state = (begin, zero, zero - 1, tf.constant(_AT_BLOCK), tf.constant(0))
    end, start, transparent, state, _ = tf.while_loop(goes_on, step, state, parallel_iterations=1)
    state = tf.where(end <= length, state, _BROKEN)
    return begin, transparent, start, end, state


def _pass_block(data: Any, position: Any, start: Any, transparent: Any) -> tuple[Any, Any, Any, Any]:
    head = window(data, position, 10)
    extension, image = head[0] == _EXTENSION, head[0] == _IMAGE
    control = extension & (head[1] == _GRAPHIC_CONTROL) & (head[2] == 4)
    index = select(head[3] % 2 == 1, head[6], -1)
    state = tf.where(extension, _IN_EXTENSION, tf.where(image, _IN_IMAGE, _BROKEN))
    # An image has a descriptor of 10 bytes, its colour table, and the code size of its compression.
    following = position + select(extension, 2, 11 + _table_size(head[9]))
    return following, state, tf.where(image, position, start), tf.where(control, index, transparent)


def _pass_sub_blocks(data: Any, position: Any, state: Any) -> tuple[Any, Any]:
    """Pass sub-blocks of one size at once: nearly all of a frame's have 255 bytes."""
    size = window(data, position, 1)[0]
    raw = tf.io.decode_raw(section(data, position, _RUN * (size + 1)), tf.uint8)
    same = tf.cast(raw[:: size + 1], tf.int64) == size
    run = tf.reduce_sum(tf.math.cumprod(tf.cast(same, tf.int64)))
    after = tf.where(state == _IN_EXTENSION, _AT_BLOCK, _DONE)
    ends = size == 0
    return position + select(ends, 1, run * (size + 1)), tf.where(ends, after, state)


def _whitened(table: Any, index: Any) -> Any:
    """Make one colour of a table white, where there is one with this index."""
    inside = (index >= 0) & (3 * index + 3 <= size_of(table))
    return tf.cond(
        inside,
        lambda: tf.strings.join(
            [section(table, 0, 3 * index), b"\xff" * 3, section(table, 3 * index + 3, 768)]
        ),
        lambda: table,
    )


# -- WebP (RFC 9649) ------------------------------------------------------------------------------


def is_animated_webp(data: Any) -> Any:
    """Tell whether a WebP, string scalar, is an animation for its decoder."""
    head = window(data, 12, 9)
    return matches(head[:4], b"VP8X") & (tf.bitwise.bitwise_and(head[8], 2) > 0)


def first_webp_frame(data: Any) -> Frame:
    """Cut the first frame out of an animated WebP.

    Raises:
        tf.errors.InvalidArgumentError: the animation holds no frame.
    """
    begin, size = find_chunk(data, 12, webp_chunks(data, b"ANMF"))
    head = window(data, begin, 20)
    alpha = matches(head[16:], b"ALPH")
    plain = matches(head[16:], b"VP8 ") | matches(head[16:], b"VP8L")
    found = require((begin > 0) & (alpha | plain), "the animated WebP holds no frame")
    with tf.control_dependencies([found]):
        content = section(data, begin + 16, size - 16)
    # Flags, reserved bytes, then width and height less one just as the frame's header has them.
    extended = tf.strings.join([b"VP8X\x0a\0\0\0\x10\0\0\0", section(data, begin + 6, 6)])
    body = tf.strings.join([b"WEBP", tf.where(alpha, extended, b""), content])
    riff = tf.strings.join([b"RIFF", _little_endian_bytes(size_of(body)), body])
    frame_size = 1 + tf.stack([little_endian(head[9:12]), little_endian(head[6:9])])
    corner = 2 * tf.stack([little_endian(head[3:6]), little_endian(head[:3])])
    canvas = window(data, 24, 6)
    canvas = 1 + tf.stack([little_endian(canvas[3:]), little_endian(canvas[:3])])
    return Frame(riff, frame_size, corner, tf.maximum(canvas, corner + frame_size))


def _little_endian_bytes(value: Any) -> Any:
    return tf.strings.join([byte(value // 256**place % 256) for place in range(4)])
