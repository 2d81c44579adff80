"""What a heatmap explains of an example: the score of a class, of a point, or of a box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.explain import heatmaps
from models.explain.sheets import View
from models.network import Network
from models.networks.images import detector

Decode = Callable[[Any], dict[str, Any]]
#: Labels that an error names.
NAMED = 40


@dataclass(frozen=True)
class Explained:
    """What is explained of each example of a batch.

    Attributes:
        score: sheets' values [n, ...] and the example that each is of, int32 [n], to scores [n].
        outputs: what is told of it: ``label`` and ``score``, unoccluded.
        number: of the label that is explained, int32 [batch].
    """

    score: Callable[[Any, Any], Any]
    outputs: dict[str, Any]
    number: Any


#: From a network, its view and decoding, features [batch, ...] and labels [batch] to what is explained.
Subject = Callable[[Network, View, Decode, Any, Any], Explained]


def of_class(network: Network, view: View, decode: Decode, features: Any, label: Any) -> Explained:
    """Explain the score of a class; of the predicted one where the label is empty."""
    scores = decode(network.model(features, training=False))["scores"]
    chosen, outputs = _named(_names(network, decode, "labels"), scores, label)

    def score(values: Any, owner: Any) -> Any:
        return tf.gather(tf.nn.softmax(view.logits(values)), tf.gather(chosen, owner), batch_dims=1)

    return Explained(score, outputs, chosen)


def of_point(network: Network, view: View, decode: Decode, features: Any, label: Any) -> Explained:
    """Explain the score of a point; of the one that is surest where the label is empty."""
    scores = decode(network.model(features, training=False))["scores"]
    chosen, outputs = _named(_names(network, decode, "names"), scores, label)

    def score(values: Any, owner: Any) -> Any:
        changed = decode(network.model(values, training=False))["scores"]
        return tf.gather(changed, tf.gather(chosen, owner), batch_dims=1)

    return Explained(score, outputs, chosen)


def of_box(network: Network, view: View, decode: Decode, features: Any, label: Any) -> Explained:
    """Explain the best box of a class; the best of all where the label is empty.

    As in D-RISE (Petsiuk et al. 2021), what is left of a box is the best score of its class times the overlap
    with it. Beside label and score ``box`` [batch, 4] says which it is, in shares of what the network saw.
    """
    answers = network.model(features, training=False)
    scores = tf.sigmoid(answers[..., detector.CLASSES :])
    chosen, outputs = _named(_classes(network, decode), tf.reduce_max(scores, 1), label)
    place = tf.argmax(tf.gather(scores, chosen, axis=2, batch_dims=1), 1)
    box = tf.gather(answers[..., detector.BOX], place, batch_dims=1)

    def score(values: Any, owner: Any) -> Any:
        changed = network.model(values, training=False)
        overlap = detector.overlaps(changed[..., detector.BOX], tf.gather(box, owner)[:, tf.newaxis])
        of_class = tf.gather(
            tf.sigmoid(changed[..., detector.CLASSES :]), tf.gather(chosen, owner), axis=2, batch_dims=1
        )
        return tf.reduce_max(of_class * overlap, 1)

    return Explained(score, outputs | {"box": box}, chosen)


def _classes(network: Network, decode: Decode) -> list[bytes]:
    """Return the classes of a detector: decoded are places that are each sure of one of them."""
    count = network.model.output_shape[2] - detector.CLASSES
    sure = np.full((1, count, detector.CLASSES + count), -20.0, np.float32)
    for number in range(count):
        sure[0, number, detector.BOX] = number, 0, number + 1, 1
        sure[0, number, detector.CLASSES + number] = 20.0 - number * 1e-3
    with tf.init_scope():
        labels: np.ndarray = decode(tf.constant(sure))["labels"].numpy()
    return list(labels[0, :count])


def _named(labels: list[bytes], scores: Any, label: Any) -> tuple[Any, dict[str, Any]]:
    """Return the number of the label that is explained, int32 [batch], and its name and score as outputs.

    Raises:
        tf.errors.InvalidArgumentError: a label is none of the network's; names those there are.
    """
    same = tf.equal(label[:, tf.newaxis], tf.constant(labels)[tf.newaxis])
    predicted = tf.equal(label, "")
    valid = predicted | tf.reduce_any(same, 1)
    wrong = tf.strings.reduce_join(tf.boolean_mask(label, ~valid), separator=", ")
    words = tf.strings.join(["no such label; got ", wrong, f"; expected one of {_listed(labels)}"])
    with tf.control_dependencies([heatmaps.require(tf.reduce_all(valid), words)]):
        best = tf.argmax(scores, 1, output_type=tf.int32)
        chosen = tf.where(predicted, best, tf.argmax(tf.cast(same, tf.int32), 1, output_type=tf.int32))
    score = tf.gather(scores, chosen, batch_dims=1)
    return chosen, {"label": tf.gather(tf.constant(labels), chosen), "score": score}


def _names(network: Network, decode: Decode, output: str) -> list[bytes]:
    with tf.init_scope():
        decoded = decode(tf.zeros([1, *network.model.output_shape[1:]]))
        names: np.ndarray = decoded[output].numpy()
    return list(names[0])


def _listed(labels: list[bytes]) -> str:
    listing = ", ".join(label.decode("utf-8", "replace") for label in labels[:NAMED])
    return listing if len(labels) <= NAMED else f"{listing} and {len(labels) - NAMED} more"
