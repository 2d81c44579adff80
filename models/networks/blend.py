"""A linear model beside a network: their logits are added up, weighted by the validation split.

The network is trained alone. What a counted model says of its own training examples is too good to learn
from, so that the weights of the two come from examples that neither has seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from models.network import Network


@keras.saving.register_keras_serializable("servable")
class Blend(keras.Layer):
    """Add two logits [batch, classes] up, each by its weight; in training, return the first alone.

    Weights are 1 and 0 until they are set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"name": "blend"} | options))
        self.shares = self.add_weight((2,), "zeros", trainable=False, name="shares")
        self.shares.assign([1.0, 0.0])
        self.built = True

    def call(self, deep: Any, wide: Any, training: bool = False) -> Any:
        """Blend the logits of a network with those beside it."""
        return deep if training else self.shares[0] * deep + self.shares[1] * wide

    def compute_output_spec(self, deep: Any, wide: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor(deep.shape, deep.dtype)


def beside(
    network: Network,
    scores: keras.Layer,
    start: tuple[float, float] = (1.0, 0.0),
    doubt: float = 1.0,
    settle: Callable[[Sequence[tuple[Any, Any]]], None] | None = None,
) -> Network:
    """Blend the logits of a network, trained in one phase, with those of a layer over the same features.

    Weights are those that `choose` gives, or ``start`` where there is no validation split.

    Args:
        network: whose logits come first.
        scores: the layer.
        start: of `choose`.
        doubt: of `choose`.
        settle: fits the layer to training and validation split together, once the weights are chosen; see
            `Network`. None leaves it as it is.
    """
    (features,) = network.model.inputs
    wide = keras.Model(features, scores(features), name="wide")
    blend = Blend()
    whole = keras.Model(features, blend(network.model(features), wide(features)))
    (phase,) = network.phases

    def calibrate(batches: Sequence[tuple[Any, Any]]) -> None:
        if not batches:
            blend.shares.assign(start)
            return
        deep, linear = (_logits(model, batches) for model in (network.model, wide))
        targets = np.concatenate([each for _, each in batches])
        blend.shares.assign(choose(deep, linear, targets, start, doubt))

    phases = (replace(phase, model=whole),)
    return replace(network, model=whole, phases=phases, calibrate=calibrate, settle=settle)


def _logits(model: keras.Model, batches: Sequence[tuple[Any, Any]]) -> np.ndarray:
    of: Callable[[Any], Any] = tf.function(
        lambda ids: model(ids, training=False), reduce_retracing=True, autograph=False
    )
    return np.concatenate([of(tf.constant(ids)) for ids, _ in batches]).astype(np.float64)


def choose(
    deep: np.ndarray,
    wide: np.ndarray,
    targets: np.ndarray,
    start: tuple[float, float] = (1.0, 0.0),
    doubt: float = 1.0,
) -> np.ndarray:
    """Choose the weights of two logits by the cross-entropy of their sum, as logistic regression does.

    Weights are not negative. Doubt holds them near where they start: 1 and 0 are the network by itself.

    Args:
        deep: logits [examples, classes].
        wide: further ones.
        targets: class of each example.
        start: the weights that few examples change little.
        doubt: factor of the squared distance from there, beside the cross-entropy of all examples.

    Returns:
        The two weights.
    """
    both = np.stack([deep - deep.mean(1, keepdims=True), wide - wide.mean(1, keepdims=True)])
    rows, begin = np.arange(len(targets)), np.array(start)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(weights, both, 1)
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(1, keepdims=True)
        value = -np.log(shares[rows, targets] + 1e-300).sum() + doubt * np.square(weights - begin).sum()
        shares[rows, targets] -= 1
        return value, np.tensordot(both, shares, 2) + 2 * doubt * (weights - begin)

    return np.asarray(minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2).x)
