"""A single-shot detector without anchors: every place of a few scales says a class and a box around it.

The layout is that of FCOS (Tian et al. 2019); which places answer for an object is decided by how well they
already do, as in TOOD (Feng et al. 2021); classes learn with the varifocal loss (Zhang et al. 2021) and boxes
with the generalised IoU (Rezatofighi et al. 2019).
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from models.networks.images.pyramid import activated
from models.objective import Objective, PerExample

#: Columns of an output before the classes: the box, and the place that says it.
BOX, PLACE = slice(0, 4), slice(4, 6)
CLASSES = 6
#: Places that answer for one object, and how much its class and its overlap count in choosing them.
_ANSWERING, _ALPHA, _BETA = 10, 0.5, 4.0
_EPSILON = 1e-7


@keras.saving.register_keras_serializable("servable")
class Placed(keras.Layer):
    """Turn what the places of one scale say into boxes.

    Args:
        stride: pixels between two places.
    """

    def __init__(self, stride: int, **options: Any) -> None:
        super().__init__(**options)
        self.stride = stride

    def build(self, sides_shape: Any, logits_shape: Any) -> None:
        """Make the factor of this scale."""
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

    def call(self, sides: Any, logits: Any) -> Any:
        """Join boxes, places and classes.

        Args:
            sides: how far the sides of the box are from the place, before softplus, [batch, h, w, 4].
            logits: of the classes, [batch, h, w, classes].

        Returns:
            [batch, h w, 6 + classes]: xmin, ymin, xmax, ymax, then x and y of the place, all as shares of
            the image's width and height; then the logits.
        """
        height, width = sides.shape[1:3]
        x = tf.tile(((tf.range(width, dtype=sides.dtype) + 0.5) / width)[tf.newaxis, :], [height, 1])
        y = tf.tile(((tf.range(height, dtype=sides.dtype) + 0.5) / height)[:, tf.newaxis], [1, width])
        place = tf.reshape(tf.stack([x, y], axis=2), [1, height * width, 2])
        place = tf.tile(place, [tf.shape(sides)[0], 1, 1])
        # A side is at least a thousandth of the stride long, so that no box is empty.
        lengths = tf.nn.softplus(tf.reshape(sides, [-1, height * width, 4]) * self.factor) + 1e-3
        lengths *= tf.constant([1 / width, 1 / height, 1 / width, 1 / height], sides.dtype)
        box = tf.concat([place - lengths[..., :2], place + lengths[..., 2:]], axis=2)
        classes = tf.reshape(logits, [-1, height * width, logits.shape[3]])
        return tf.concat([box, place, classes], axis=2)

    def compute_output_shape(self, sides_shape: Any, logits_shape: Any) -> tuple[int | None, ...]:
        """Return [batch, h w, 6 + classes]."""
        return (sides_shape[0], sides_shape[1] * sides_shape[2], CLASSES + logits_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        return super().get_config() | {"stride": self.stride}


def heads(maps: Mapping[int, Any], classes: int, channels: int, depth: int) -> Any:
    """Say class and box at every place of every scale; all scales share their convolutions.

    Args:
        maps: by stride, [batch, h, w, channels].
        classes: how many there are.
        channels: of the maps.
        depth: convolutions before the answers.

    Returns:
        [batch, places, 6 + classes] as `Placed` gives them, the finest scale first.
    """
    shared = [
        (
            layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{branch}_{number}"),
            branch,
        )
        for branch in ("class", "box")
        for number in range(depth)
    ]
    # One in a hundred places has an object: classes start as unlikely as that (Lin et al. 2017).
    rare = keras.initializers.Constant(-math.log(99))
    small = keras.initializers.RandomNormal(stddev=0.01)
    to_class = layers.Conv2D(
        classes, 3, padding="same", kernel_initializer=small, bias_initializer=rare, name="classes"
    )
    # Sides start at about two strides.
    far = keras.initializers.Constant(2.0)
    to_box = layers.Conv2D(4, 3, padding="same", kernel_initializer=small, bias_initializer=far, name="sides")
    answers = []
    for stride, x in sorted(maps.items()):
        ends = {"class": x, "box": x}
        for convolution, branch in shared:
            # Each scale has factors of its own.
            ends[branch] = activated(convolution(ends[branch]))
        answers.append(Placed(stride, name=f"stride_{stride}")(to_box(ends["box"]), to_class(ends["class"])))
    return layers.Concatenate(axis=1)(answers) if len(answers) > 1 else answers[0]


def overlaps(first: Any, second: Any, generalised: bool = False) -> Any:
    """Return the intersection over union of boxes, or its generalisation that is below 0 for boxes apart.

    Args:
        first: xmin, ymin, xmax, ymax, [..., 4].
        second: likewise, of a shape that fits.
        generalised: subtract the share of the common hull that neither covers.
    """
    x1, y1, x2, y2 = tf.unstack(first, axis=-1)
    u1, v1, u2, v2 = tf.unstack(second, axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    height = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)
    shared = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    overlap = shared / tf.maximum(union, _EPSILON)
    if not generalised:
        return overlap
    hull = (tf.maximum(x2, u2) - tf.minimum(x1, u1)) * (tf.maximum(y2, v2) - tf.minimum(y1, v1))
    return overlap - (hull - union) / tf.maximum(hull, _EPSILON)


def assigned(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Decide which places answer for which object, and what score they should give it.

    Args:
        targets: xmin, ymin, xmax, ymax, class, [batch, objects, 5]; -1 where there is none.
        outputs: as `heads` gives them.

    Returns:
        For each place, the position of its object, int32 [batch, places], and the score it should give to
        the object's class, [batch, places]; 0 where it answers for none.
    """
    boxes, classes = targets[:, tf.newaxis, :, :4], tf.cast(targets[..., 4], tf.int32)
    there = targets[..., 4] >= 0
    place = outputs[:, :, tf.newaxis, PLACE]
    inside = tf.reduce_all((place > boxes[..., :2]) & (place < boxes[..., 2:]), axis=3)
    # An object smaller than the places are apart has the place nearest to its middle.
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    distance = tf.reduce_sum(tf.square(place - middle), axis=3)
    nearest = distance <= tf.reduce_min(distance, axis=1, keepdims=True)
    usable = (inside | nearest) & there[:, tf.newaxis, :]
    overlap = overlaps(outputs[:, :, tf.newaxis, BOX], boxes) * tf.cast(usable, tf.float32)
    scores = tf.sigmoid(outputs[..., CLASSES:])
    of_class = tf.gather(scores, tf.maximum(classes, 0), axis=2, batch_dims=1)
    fit = tf.pow(of_class, _ALPHA) * tf.pow(overlap, _BETA)
    # Untrained boxes may overlap nothing at all: the nearest place answers all the same.
    fit = tf.where(usable, fit + 1e-9 + 1e-10 * tf.cast(nearest, tf.float32), 0.0)
    count = min(_ANSWERING, fit.shape[1] or _ANSWERING)
    least = tf.math.top_k(tf.transpose(fit, [0, 2, 1]), count).values[..., -1]
    own = nearest & usable
    chosen = own | (usable & (fit >= tf.maximum(least, 1e-12)[:, tf.newaxis, :]))
    # A place that several objects choose answers for the one that has it nearest to its middle, so that a
    # small object in front of a large one keeps one; else for the one it overlaps most.
    claim = tf.where(chosen, overlap + 1e-6 + tf.cast(own, tf.float32), 0.0)
    owner = tf.argmax(claim, axis=2, output_type=tf.int32)
    owned = chosen & (tf.one_hot(owner, tf.shape(fit)[2], on_value=True, off_value=False, dtype=tf.bool))
    fit, overlap = (tf.where(owned, value, 0.0) for value in (fit, overlap))
    # The best place of an object should give it the overlap that it reaches, the others less.
    relative = fit / tf.maximum(tf.reduce_max(fit, axis=1, keepdims=True), 1e-12)
    score = tf.reduce_max(relative * tf.reduce_max(overlap, axis=1, keepdims=True), axis=2)
    return owner, tf.stop_gradient(score)


def detection_loss(box_weight: float) -> PerExample:
    """Make the loss of objects: varifocal of the classes, generalised IoU of the boxes times a weight.

    Targets are [batch, objects, 5] as of `assigned`; the result is [batch].
    """

    def loss(targets: Any, outputs: Any) -> Any:
        owner, score = assigned(targets, tf.stop_gradient(outputs))
        own = tf.gather(targets, owner, axis=1, batch_dims=1)
        logits = outputs[..., CLASSES:]
        aim = score[..., tf.newaxis] * tf.one_hot(tf.cast(own[..., 4], tf.int32), tf.shape(logits)[2])
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=aim, logits=logits)
        probability = tf.stop_gradient(tf.sigmoid(logits))
        weight = tf.where(aim > 0, aim, 0.75 * tf.square(probability))
        total = tf.maximum(tf.reduce_sum(score, axis=1), 1.0)
        of_classes = tf.reduce_sum(weight * entropy, axis=[1, 2])
        apart = 1.0 - overlaps(outputs[..., BOX], own[..., :4], generalised=True)
        of_boxes = tf.reduce_sum(score * tf.where(score > 0, apart, 0.0), axis=1)
        return (of_classes + box_weight * of_boxes) / total

    return loss


def mean_overlap(targets: Any, outputs: Any) -> Any:
    """Return how well an example's objects are found: the best score times overlap of each, [batch].

    Between 0 and 1, the mean over the objects; 1 for an image without any. False alarms do not count, so it
    does not replace the average precision, but every epoch can afford it.
    """
    boxes, classes = targets[:, tf.newaxis, :, :4], tf.cast(targets[..., 4], tf.int32)
    there = tf.cast(targets[..., 4] >= 0, tf.float32)
    scores = tf.gather(tf.sigmoid(outputs[..., CLASSES:]), tf.maximum(classes, 0), axis=2, batch_dims=1)
    best = tf.reduce_max(overlaps(outputs[:, :, tf.newaxis, BOX], boxes) * scores, axis=1)
    count = tf.reduce_sum(there, axis=1)
    return tf.where(count > 0, tf.reduce_sum(best * there, axis=1) / tf.maximum(count, 1.0), 1.0)


DETECTION = Objective(
    loss=lambda settings: detection_loss(settings.box_weight),
    measured_loss=detection_loss(2.5),
    metrics={"overlap": mean_overlap},
    best="overlap",
    higher_is_better=True,
    report="test/map50",
)
