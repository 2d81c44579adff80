"""From a network's outputs to the named outputs a client sees, in the graph."""

from typing import Any

import tensorflow as tf


def classes(logits: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Decode logits [batch, classes].

    Returns:
        ``label`` [batch]: the likeliest label; ``score`` [batch]: its probability; ``scores``
        [batch, classes]: all probabilities, summing to 1; ``labels`` [batch, classes]: what each
        column of scores stands for. Every output has a batch axis, as REST wants it.
    """
    scores = tf.nn.softmax(logits)
    names = tf.constant([label.encode() for label in labels])
    best = tf.argmax(scores, -1)
    return {
        "label": tf.gather(names, best),
        "score": tf.reduce_max(scores, -1),
        "scores": scores,
        "labels": tf.repeat(names[tf.newaxis], tf.shape(scores)[0], axis=0),
    }


def numbers(values: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Decode numbers [batch, numbers] in the targets' own units.

    Returns:
        ``values`` [batch, numbers]; ``names`` [batch, numbers]: what each column of values stands for; where
        there is one number alone also ``value`` [batch].
    """
    columns = tf.constant([name.encode() for name in names])
    outputs = {"values": values, "names": tf.repeat(columns[tf.newaxis], tf.shape(values)[0], axis=0)}
    return outputs | ({"value": values[:, 0]} if len(names) == 1 else {})


def vectors(found: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Name vectors [batch, d]; there are no labels."""
    return {"embedding": found}
