"""What a model is trained for: the loss, the metrics, and the one metric that decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: From targets and outputs of one batch to one value per example.
PerExample = Callable[[Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The one metric that decides which of two models is better.

    Attributes:
        report: its name, as the gate compares it.
        higher_is_better: its direction.
        anywhere: whether it is taken on data of its own, so that models of different datasets compare.
        repeatable: whether a release can be measured again on other data, by the scores it answers with.
    """

    report: str
    higher_is_better: bool
    anywhere: bool = False
    repeatable: bool = True

    def better(self, value: float, than: float | None, margin: float = 0.0) -> bool:
        """Return whether a value of the deciding metric beats another by more than a margin."""
        if than is None:
            return True
        return value > than + margin if self.higher_is_better else value < than - margin


@dataclass(frozen=True, kw_only=True)
class Objective(Measure):
    """Loss and metrics over the outputs of a network that is trained by gradients.

    Attributes:
        loss: makes the per-example loss that training lowers, from the recipe's training section.
        measured_loss: the per-example loss that epochs report of the validation split.
        metrics: per-example values by name; an epoch reports their weighted mean.
        best: the metric that decides between epochs, one of ``metrics`` or ``loss``.
    """

    loss: Callable[[Any], PerExample]
    measured_loss: PerExample
    metrics: Mapping[str, PerExample]
    best: str


def cross_entropy(label_smoothing: float) -> PerExample:
    """Make the softmax cross-entropy of logits [batch, classes].

    Targets are integers [batch], or shares of each class [batch, classes] where examples were blended.
    """

    def loss(targets: Any, logits: Any) -> Any:
        blended = targets.dtype.is_floating
        probabilities = targets if blended else tf.one_hot(targets, tf.shape(logits)[-1], dtype=logits.dtype)
        return keras.losses.categorical_crossentropy(
            probabilities, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return loss


def adjusted(loss: PerExample, offsets: np.ndarray | None) -> PerExample:
    """Make a loss of logits to which offsets [classes] are added first; the loss itself where None."""
    if offsets is None:
        return loss
    return lambda targets, logits: loss(targets, logits + offsets)


def scaled(loss: PerExample, scale: np.ndarray | None) -> PerExample:
    """Make a loss of targets and outputs that are divided by a scale first; the loss itself where None."""
    if scale is None:
        return loss
    return lambda targets, outputs: loss(targets / scale, outputs / scale)


def hit(targets: Any, logits: Any) -> Any:
    """Return 1 where the highest logit is the target's, or that of a blend's larger part, else 0."""
    if targets.dtype.is_floating:
        targets = tf.argmax(targets, -1, output_type=tf.int32)
    return tf.cast(tf.equal(tf.argmax(logits, -1, output_type=targets.dtype), targets), tf.float32)


CLASSIFICATION = Objective(
    loss=lambda settings: cross_entropy(settings.label_smoothing),
    measured_loss=cross_entropy(0.0),
    metrics={"accuracy": hit},
    best="accuracy",
    higher_is_better=True,
    report="test/accuracy",
)


def _mean(values: Any) -> Any:
    return tf.reduce_mean(values, axis=-1)


def squared_error(targets: Any, outputs: Any) -> Any:
    """Return the mean squared error of each example over its numbers: [batch]."""
    return _mean(tf.square(outputs - targets))


def absolute_error(targets: Any, outputs: Any) -> Any:
    """Return the mean absolute error of each example over its numbers: [batch]."""
    return _mean(tf.abs(outputs - targets))


def huber(delta: float) -> PerExample:
    """Make the Huber loss: squared near the target, absolute beyond delta (Huber 1964), twice Keras's.

    At small errors it equals the squared error, so that the two losses take the same learning rate.
    """

    def loss(targets: Any, outputs: Any) -> Any:
        error = tf.abs(outputs - targets)
        return _mean(tf.where(error <= delta, tf.square(error), delta * (2 * error - delta)))

    return loss


def _number_loss(settings: Any) -> PerExample:
    return huber(settings.huber_delta) if settings.loss == "huber" else squared_error


REGRESSION = Objective(
    loss=_number_loss,
    measured_loss=squared_error,
    metrics={"mse": squared_error, "mae": absolute_error},
    best="loss",
    higher_is_better=False,
    report="test/mse",
)
