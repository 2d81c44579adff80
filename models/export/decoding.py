"""From a network's outputs to the named outputs a client sees, in the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.networks.images.detector import BOX, CLASSES


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
    """Decode points [batch, points, 5] as `models.networks.images.keypoints` gives them.

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


@dataclass(frozen=True)
class Thresholds:
    """Which boxes are answered.

    Attributes:
        score: the least score.
        overlap: two boxes of one class overlap by at most so much (IoU).
        most: boxes of an image.
    """

    score: float = 0.05
    overlap: float = 0.6
    most: int = 100


def boxes(
    outputs: Any,
    names: tuple[str, ...],
    thresholds: Thresholds = Thresholds(),
    *,
    scores: Any = None,
    overlaps: Any = None,
) -> dict[str, Any]:
    """Decode objects [batch, places, 6 + classes] as `models.networks.images.detector` gives them.

    Of boxes of one class that overlap by more than a threshold the best stays (non-maximum suppression).

    Args:
        outputs: of the network.
        names: of the classes.
        thresholds: the recipe's, and the most objects of an image: N.
        scores: least score of each example [batch], or of all [1]; None and NaN take the recipe's.
        overlaps: of each example, likewise.

    Returns:
        ``boxes`` [batch, N, 4]: xmin, ymin, xmax, ymax as shares of the features' width and height, which
        a network's ``locate`` turns into pixels; ``classes`` int32 [batch, N]; ``labels`` [batch, N];
        ``scores`` [batch, N]; ``count`` int32 [batch]: how many there are, the best first. The rest is
        filled up with zeros, labels with nothing.
    """
    batch = tf.shape(outputs)[0]
    scores, overlaps = (
        tf.fill([batch], usual)
        if threshold is None
        else tf.broadcast_to(tf.where(tf.math.is_nan(threshold), usual, threshold), [batch])
        for threshold, usual in ((scores, thresholds.score), (overlaps, thresholds.overlap))
    )
    most = thresholds.most
    corners, best, classes, count = _suppressed(outputs, scores, overlaps, most)
    places = tf.cast(classes, tf.int32)
    there = tf.range(most)[tf.newaxis] < count[:, tf.newaxis]
    columns = tf.constant([name.encode() for name in names])
    return {
        "boxes": tf.gather(corners, [1, 0, 3, 2], axis=2),
        "classes": places,
        "labels": tf.where(there, tf.gather(columns, places), b""),
        "scores": best,
        "count": count,
    }


def _suppressed(outputs: Any, scores: Any, overlaps: Any, most: int) -> tuple[Any, Any, Any, Any]:
    """Suppress boxes of one class that overlap a better one, each example by its own thresholds [batch].

    Returns:
        Corners (ymin, xmin, ymax, xmax) [batch, most, 4], scores and classes [batch, most], counts [batch].
    """

    def one(example: tuple[Any, Any, Any]) -> tuple[Any, ...]:
        answers, score, overlap = example
        corners = tf.gather(answers[:, BOX], [1, 0, 3, 2], axis=1)
        detections = tf.image.combined_non_max_suppression(
            corners[tf.newaxis, :, tf.newaxis],
            tf.sigmoid(answers[tf.newaxis, :, CLASSES:]),
            most,
            most,
            iou_threshold=overlap,
            score_threshold=score,
            clip_boxes=False,
        )
        return tuple(part[0] for part in detections)

    spec = tf.TensorSpec
    detections: tuple[Any, Any, Any, Any] = tf.map_fn(
        one,
        (outputs, scores, overlaps),
        fn_output_signature=(
            spec([most, 4], tf.float32),
            spec([most], tf.float32),
            spec([most], tf.float32),
            spec([], tf.int32),
        ),
    )
    return detections


def within(outputs: Mapping[str, Any], sizes: Any) -> dict[str, Any]:
    """Cut ``boxes`` [batch, N, 4] in pixels off at the edges of their images, of sizes [batch, 2]."""
    edges = tf.cast(tf.tile(sizes, [1, 2]), tf.float32)[:, tf.newaxis]
    there = tf.range(tf.shape(outputs["boxes"])[1])[tf.newaxis] < outputs["count"][:, tf.newaxis]
    cut = tf.clip_by_value(outputs["boxes"], 0.0, edges)
    return {**outputs, "boxes": tf.where(there[..., tf.newaxis], cut, 0.0)}


def vectors(found: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Name vectors [batch, d]; there are no labels."""
    return {"embedding": found}


def sentences(outputs: tuple[Any, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    """Name ids [batch, n] and scores [batch]; a network with sub-words of its own writes them as text."""
    return {"ids": outputs[0], "score": outputs[1]}
