"""Read numbers out of a string of bytes inside the graph, whatever the bytes are.

Every read is padded with zeros past the end and every position is clipped, so that hostile bytes give
wrong numbers at worst, never an error.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

#: Most steps a walk through chunks, segments or blocks takes; sound files need far fewer.
MAX_STEPS = 16_384
_ALL_BYTES = bytes(range(256))


def window(data: Any, start: Any, count: int) -> Any:
    """Read `count` bytes from a position on as int64 [count]; zeros past the end."""
    return tf.cast(tf.io.decode_raw(section(data, start, count), tf.uint8, fixed_length=count), tf.int64)


def section(data: Any, start: Any, count: Any) -> Any:
    """Cut at most `count` bytes out of a string scalar; fewer (or none) past the end."""
    length = size_of(data)
    inside = tf.clip_by_value(tf.cast(start, tf.int64), 0, length)
    return tf.strings.substr(data, inside, tf.maximum(tf.cast(count, tf.int64), 0))


def size_of(data: Any) -> Any:
    """Count the bytes of a string scalar: int64."""
    return tf.cast(tf.strings.length(data), tf.int64)


def big_endian(values: Any) -> Any:
    """Combine bytes int64 [n], n at most 7, into a number, most significant byte first."""
    weights = [256**place for place in reversed(range(values.shape[0]))]
    return tf.reduce_sum(values * tf.constant(weights, tf.int64))


def little_endian(values: Any) -> Any:
    """Combine bytes int64 [n], n at most 7, into a number, least significant byte first."""
    weights = [256**place for place in range(values.shape[0])]
    return tf.reduce_sum(values * tf.constant(weights, tf.int64))


def select(condition: Any, value: Any, other: Any) -> Any:
    """Choose between two numbers: int64."""
    return tf.where(condition, tf.cast(value, tf.int64), tf.cast(other, tf.int64))


def matches(values: Any, expected: bytes) -> Any:
    """Tell whether int64 [n] holds exactly these n bytes."""
    return tf.reduce_all(values == tf.constant(list(expected), tf.int64))


def byte(value: Any) -> Any:
    """Make a string of one byte from a number of 0 to 255."""
    return tf.strings.substr(tf.constant(_ALL_BYTES), tf.cast(value, tf.int64), 1)


def require(condition: Any, message: str, *values: Any) -> tf.Operation:
    """Make an assertion that fails with INVALID_ARGUMENT, the message and the values.

    Put it under `tf.control_dependencies` before the work it protects.
    """
    # Unlike tf.debugging.Assert this is a single op: no branch, nothing to compute where all is well.
    return tf.raw_ops.Assert(condition=condition, data=[tf.constant(message), *values], summarize=10)


def apart(function: Callable[..., Any], *signature: tf.TensorSpec) -> Callable[..., Any]:
    """Keep a piece of a graph a function of its own, called as such.

    The executor passes over every op of a branch that is not taken; kept apart, a branch is one op. This
    makes small images three times as quick, and building the graph twice.
    """
    return tf.function(
        function,
        input_signature=signature or None,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def find_chunk(data: Any, start: int, read: Any) -> tuple[Any, Any]:
    """Walk through the chunks of a file until one is found.

    Args:
        data: string scalar.
        start: position of the first chunk.
        read: from a position to (position of the next chunk, begin, size), all int64 scalars. ``begin``
            is the wanted chunk's payload and 0 for any other chunk; a next position that does not
            advance ends the walk.

    Returns:
        (begin, size) of the payload; begin is 0 where the chunk was not found.
    """
    length = size_of(data)

    def goes_on(position: Any, begin: Any, size: Any, steps: Any) -> Any:
        return (begin == 0) & (position >= 0) & (position < length) & (steps < MAX_STEPS)

    def step(position: Any, begin: Any, size: Any, steps: Any) -> tuple[Any, ...]:
        following, begin, size = read(position)
        return select(following > position, following, -1), begin, size, steps + 1

    zero = tf.constant(0, tf.int64)
    state = (tf.constant(start, tf.int64), zero, zero, tf.constant(0))
    _, begin, size, _ = tf.while_loop(goes_on, step, state, parallel_iterations=1)
    return begin, size
