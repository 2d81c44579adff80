"""What every served ranking shares: how many are requested, memory by chunks, and answers that nearly tie."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from models.networks.sounds import chunks

#: Neighbours that are given where nobody says how many, and the most that can be requested.
USUAL, MOST = 10, 1000
#: Rows of a request that are compared with everything at a time: they, not the request, decide the memory.
ROWS = 32


def graph(*inputs: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    """Trace a function as it stands: there is no Python branch in it that AutoGraph would have to convert."""
    return tf.function(input_signature=list(inputs), autograph=False)


def strings(name: str, rank: int) -> tf.TensorSpec:
    """Describe an input of strings."""
    return tf.TensorSpec([None] * rank, tf.string, name=name)


def width(k: Any, items: int, what: str) -> Any:
    """Return the columns of an answer: the largest k (int32 [batch], 1 to MOST), but at most the items.

    Raises:
        tf.errors.InvalidArgumentError: a k is out of range; says what is counted.
    """
    message = f"k is how many {what} are wanted: from 1 to {MOST}"
    checked = tf.debugging.assert_equal(tf.reduce_all((k >= 1) & (k <= MOST)), True, message=message)
    with tf.control_dependencies([checked]):
        return tf.minimum(tf.reduce_max(tf.concat([[1], k], 0)), items)


def by_chunks(work: Callable[..., tuple[Any, Any]], *inputs: Any) -> tuple[Any, Any]:
    """Do work on some rows at a time; the last chunk, or an empty request, is filled up with zeros.

    Args:
        work: from a chunk of every input to values float32 [rows, n] and ids int32 [rows, n].
        *inputs: [batch, ...] each.

    Returns:
        Values and ids [batch, n].
    """
    kinds = (tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None, None], tf.int32))
    values, ids = chunks.by_chunks(work, inputs, ROWS, kinds)
    return values, ids


def settled(answers: Mapping[str, np.ndarray], within: float) -> dict[str, np.ndarray]:
    """Leave open which of two items stands first where their ``scores`` [batch, n] nearly tie.

    Another batch size rounds the scores otherwise, and so orders copies otherwise. The texts of such places,
    and of the last one, whose follower is not known, become None: any text is right there.

    Args:
        answers: outputs by name; those that are texts of the shape of ``scores`` are ranked by them.
        within: scores at most so far apart tie.
    """
    if "scores" not in answers:
        return dict(answers)
    scores = np.asarray(answers["scores"])
    close = np.abs(np.diff(scores, axis=1)) <= within
    last = np.ones((len(scores), 1), bool)
    loose = np.concatenate([close, last], 1) | np.concatenate([~last, close], 1)
    outputs = {}
    for name, value in answers.items():
        ranked = value.dtype == object and value.shape == scores.shape
        outputs[name] = value.copy() if ranked else value
        if ranked:
            outputs[name][loose] = None
    return outputs
