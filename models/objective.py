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
        """Tell whether a value of the deciding metric beats another by more than a margin."""
        if than is None:
            return True
        return value > than + margin if self.higher_is_better else value < than - margin


@dataclass(frozen=True, kw_only=True)
class Objective(Measure):
    """Loss and metrics over the outputs of a network that is trained by gradients.

    Attributes:
        loss: makes the per-example loss for a label smoothing in [0, 1).
        metrics: per-example values by name; an epoch reports their weighted mean.
        best: the metric that decides between epochs, one of ``metrics`` or ``loss``.
    """

    loss: Callable[[float], PerExample]
    metrics: Mapping[str, PerExample]
    best: str


def cross_entropy(label_smoothing: float) -> PerExample:
    """Make the softmax cross-entropy of logits [batch, classes].

    Targets are integers [batch], or shares of each class [batch, classes] where examples were blended.
    """

    def loss(targets: Any, logits: Any) -> Any:
        blended = targets.dtype.is_floating
        wanted = targets if blended else tf.one_hot(targets, tf.shape(logits)[-1], dtype=logits.dtype)
        return keras.losses.categorical_crossentropy(
            wanted, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return loss


def adjusted(loss: PerExample, offsets: np.ndarray | None) -> PerExample:
    """Make a loss of logits to which offsets [classes] are added first; the loss itself where None."""
    if offsets is None:
        return loss
    return lambda targets, logits: loss(targets, logits + offsets)


def hit(targets: Any, logits: Any) -> Any:
    """Give 1 where the highest logit is the target's, or that of a blend's larger part, else 0."""
    if targets.dtype.is_floating:
        targets = tf.argmax(targets, -1, output_type=tf.int32)
    return tf.cast(tf.equal(tf.argmax(logits, -1, output_type=targets.dtype), targets), tf.float32)


CLASSIFICATION = Objective(
    loss=cross_entropy,
    metrics={"accuracy": hit},
    best="accuracy",
    higher_is_better=True,
    report="test/accuracy",
)
