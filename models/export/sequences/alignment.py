"""When each label of an answer is said: the likeliest alignment of labels to frames, in the graph."""

from typing import Any

import tensorflow as tf

from models.networks.sounds.ctc import IMPOSSIBLE


def aligned(scores: Any, lengths: Any, labels: Any) -> tuple[Any, Any]:
    """Find the best path of labels through CTC outputs (Viterbi).

    Args:
        scores: log-probabilities of labels and, last, the blank: float32 [batch, frames, labels + 1].
        lengths: frames of each example, int32 [batch].
        labels: int32 [batch, n], -1 behind the last.

    Returns:
        The first frame of each label, and the one behind its last: int32 [batch, n] each, 0 where there is
        no label.
    """
    path = _path(scores, lengths, labels)
    count = tf.shape(labels)[1]
    states = tf.tile((2 * tf.range(count) + 1)[tf.newaxis], [tf.shape(labels)[0], 1])
    there = labels >= 0
    first, behind = (tf.searchsorted(path, states, side=side) for side in ("left", "right"))
    behind = tf.minimum(behind, lengths[:, tf.newaxis])
    return tf.where(there, first, 0), tf.where(there, behind, 0)


def _path(scores: Any, lengths: Any, labels: Any) -> Any:
    """Return the state in each frame, int32 [batch, frames]: 2 n + 1 is label n, 2 n the blank before it."""
    batch, frames = tf.shape(scores)[0], tf.shape(scores)[1]
    states = 2 * tf.shape(labels)[1] + 1
    blank = tf.shape(scores)[2] - 1
    said = tf.where(labels < 0, blank, labels)
    blanks = tf.fill(tf.shape(said), blank)
    places = tf.concat([tf.reshape(tf.stack([blanks, said], 2), [batch, states - 1]), blanks[:, :1]], 1)
    before = tf.pad(places, [[0, 0], [2, 0]], constant_values=-1)[:, :-2]
    # A blank between two labels may be passed over where they differ.
    skips = (places != blank) & (places != before)
    ahead = tf.transpose(scores, [1, 0, 2])
    moves = tf.TensorArray(tf.int32, frames, element_shape=[None, None])

    def step(frame: Any, worth: Any, moves: Any) -> Any:
        one = tf.pad(worth, [[0, 0], [1, 0]], constant_values=IMPOSSIBLE)[:, :-1]
        two = tf.pad(worth, [[0, 0], [2, 0]], constant_values=IMPOSSIBLE)[:, :-2]
        ways = tf.stack([worth, one, tf.where(skips, two, IMPOSSIBLE)], 2)
        own = tf.gather(ahead[frame], places, axis=1, batch_dims=1)
        following = tf.maximum(tf.reduce_max(ways, 2) + own, IMPOSSIBLE)
        active = (frame < lengths)[:, tf.newaxis]
        move = tf.where(active, tf.argmax(ways, 2, output_type=tf.int32), 0)
        return frame + 1, tf.where(active, following, worth), moves.write(frame, move)

    # Before the first frame stands the state before the first: its blank and label follow.
    start = tf.tile(tf.where(tf.range(states) == 0, 0.0, IMPOSSIBLE)[tf.newaxis], [batch, 1])
    _, worth, moves = tf.while_loop(lambda frame, *_: frame < frames, step, (0, start, moves))
    count = tf.reduce_sum(tf.cast(labels >= 0, tf.int32), 1)
    ends = tf.stack([tf.maximum(2 * count - 1, 0), 2 * count], 1)
    last = tf.gather(ends, tf.argmax(tf.gather(worth, ends, axis=1, batch_dims=1), 1), axis=1, batch_dims=1)
    return _traced(moves.stack(), last)


def _traced(moves: Any, last: Any) -> Any:
    frames = tf.shape(moves)[0]
    path = tf.TensorArray(tf.int32, frames, element_shape=[None])

    def step(frame: Any, state: Any, path: Any) -> Any:
        path = path.write(frame, state)
        return frame - 1, state - tf.gather(moves[frame], state, axis=1, batch_dims=1), path

    _, _, path = tf.while_loop(lambda frame, *_: frame >= 0, step, (frames - 1, last, path))
    return tf.transpose(path.stack())
