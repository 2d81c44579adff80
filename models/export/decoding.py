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


#: Distance in shares of the diagonal within which a point's score says it lies.
NEAR = 0.05


def points(outputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Decode points [batch, points, 5] as `models.networks.keypoints` gives them.

    Returns:
        ``points`` [batch, points, 2]: x and y as shares of the features' width and height, which a
        network's ``locate`` turns into pixels; ``scores`` [batch, points]: the probability that the point
        lies within a twentieth of the features' diagonal; ``names`` [batch, points].
    """
    columns = tf.constant([name.encode() for name in names])
    return {
        "points": outputs[..., :2],
        "scores": 1.0 - tf.exp(-NEAR * tf.exp(-outputs[..., 4])),
        "names": tf.repeat(columns[tf.newaxis], tf.shape(outputs)[0], axis=0),
    }


def vectors(found: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Name vectors [batch, d]; there are no labels."""
    return {"embedding": found}
