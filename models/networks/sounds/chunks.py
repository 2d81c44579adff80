"""Work in the graph on some rows at a time: they, not the request, decide the memory."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def by_chunks(
    work: Callable[..., Sequence[Any]], rows: Sequence[Any], most: Any, outputs: Sequence[tf.TensorSpec]
) -> list[Any]:
    """Do work on some rows at a time, one chunk after the other: two at once would take the memory of both.

    The last chunk, or an empty request, is filled up with zeros, whose answers are dropped.

    Args:
        work: from a chunk of each tensor to outputs, each with an axis of rows.
        rows: tensors of the same number of rows.
        most: rows of a chunk, where there are so many.
        outputs: what work gives.
    """
    count = tf.shape(rows[0])[0]
    # Chunks of nearly one size: the last one is filled up with few rows.
    chunks = tf.maximum(-(-count // most), 1)
    size = tf.maximum(-(-count // chunks), 1)
    spare = chunks * size - count

    def cut(tensor: Any) -> Any:
        padded = tf.pad(tensor, [[0, spare]] + [[0, 0]] * (tensor.shape.rank - 1))
        return tf.reshape(padded, tf.concat([[-1, size], tf.shape(tensor)[1:]], 0))

    parts = tf.map_fn(
        lambda chunk: tuple(work(*chunk)),
        tuple(map(cut, rows)),
        fn_output_signature=tuple(outputs),
        parallel_iterations=1,
    )
    return [tf.reshape(part, tf.concat([[-1], tf.shape(part)[2:]], 0))[:count] for part in parts]
