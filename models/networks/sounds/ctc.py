"""Connectionist temporal classification (Graves et al. 2006): a label or a blank for every frame.

Logits are [batch, frames, labels + 1] with the blank last, NaN in frames that an example lacks; targets are
labels int32 [batch, n], -1 behind the last.
"""

from typing import Any

import tensorflow as tf

from models.networks.windows import present
from models.objective import Objective

#: Logarithm of an impossible thing; infinity would become NaN where two meet.
IMPOSSIBLE = -1e30


def lengths(logits: Any) -> Any:
    """Return the frames of each example: int32 [batch]."""
    return tf.reduce_sum(tf.cast(present(logits), tf.int32), 1)


def log_probabilities(logits: Any) -> Any:
    """Return the logarithm of each label's probability by frame; frames that are not there are blank."""
    there = present(logits)[..., tf.newaxis]
    scores = tf.nn.log_softmax(tf.where(there, logits, 0.0))
    blank = tf.one_hot(tf.shape(logits)[2] - 1, tf.shape(logits)[2], 0.0, IMPOSSIBLE)
    return tf.where(there, scores, blank)


def negative_log_likelihood(targets: Any, logits: Any) -> Any:
    """Return -log P(labels | sound) of each example [batch], summed over all alignments.

    An example with fewer frames than its labels need has 0, and teaches nothing; one without labels has what
    a blank in every frame has.
    """
    # The kernel takes no empty sequence.
    none = targets[:, 0] < 0
    targets = tf.concat([tf.where(none, 0, targets[:, 0])[:, tf.newaxis], targets[:, 1:]], 1)
    places = tf.where(targets >= 0)
    # The kernel in C++; tf.nn.ctc_loss of dense labels takes a scan over frames, which is slower.
    loss = tf.raw_ops.CTCLoss(
        inputs=tf.transpose(tf.where(present(logits)[..., tf.newaxis], logits, 0.0), [1, 0, 2]),
        labels_indices=places,
        labels_values=tf.gather_nd(targets, places),
        sequence_length=lengths(logits),
        ignore_longer_outputs_than_inputs=True,
    )[0]
    there = present(logits)
    blanks = tf.reduce_sum(tf.where(there, log_probabilities(logits)[..., -1], 0.0), 1)
    return tf.where(none, -blanks, loss)


def per_label(targets: Any, logits: Any) -> Any:
    """Return the negative log-likelihood over the number of labels, [batch]."""
    count = tf.reduce_sum(tf.cast(targets >= 0, tf.float32), 1)
    return negative_log_likelihood(targets, logits) / tf.maximum(count, 1.0)


def greedy(logits: Any) -> Any:
    """Return the labels of the likeliest frames, -1 behind the last: int32 [batch, frames]."""
    count = lengths(logits)
    best = tf.argmax(log_probabilities(logits), -1, output_type=tf.int32)
    blank = tf.shape(logits)[2] - 1
    before = tf.concat([tf.fill([tf.shape(best)[0], 1], -1), best[:, :-1]], 1)
    said = (best != blank) & (best != before) & tf.sequence_mask(count, tf.shape(best)[1])
    return packed(best, said)


def packed(labels: Any, kept: Any) -> Any:
    """Move the labels [batch, n] that are kept to the front, -1 behind the last."""
    order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)
    moved = tf.gather(labels, order, axis=1, batch_dims=1)
    count = tf.reduce_sum(tf.cast(kept, tf.int32), 1)
    return tf.where(tf.sequence_mask(count, tf.shape(labels)[1]), moved, -1)


def error_rate(targets: Any, logits: Any) -> Any:
    """Return the edit distance of the greedy answer over the number of labels, [batch]."""
    distance = tf.edit_distance(_sparse(greedy(logits)), _sparse(targets), normalize=False)
    count = tf.reduce_sum(tf.cast(targets >= 0, tf.float32), 1)
    return distance / tf.maximum(count, 1.0)


def _sparse(labels: Any) -> Any:
    places = tf.where(labels >= 0)
    shape = tf.shape(labels, out_type=tf.int64)
    return tf.SparseTensor(places, tf.gather_nd(labels, places), tf.maximum(shape, 1))


CTC = Objective(
    loss=lambda settings: negative_log_likelihood,
    measured_loss=per_label,
    metrics={"label_error_rate": error_rate},
    best="label_error_rate",
    higher_is_better=False,
    report="test/wer",
)
