"""Layers of units, each fully connected to the next."""

from collections.abc import Sequence

import keras
from keras import layers


def perceptron(
    width: int, *, hidden: Sequence[int], activation: str, dropout: float = 0.0, weight_decay: float = 0.0
) -> keras.Model:
    """Build the hidden layers of a multilayer perceptron.

    Args:
        width: length of an input vector.
        hidden: units of each layer; none leaves the input as it is.
        activation: ``sigmoid``, ``tanh`` or ``relu``.
        dropout: share of activations dropped after each layer.
        weight_decay: factor of the L2 penalty on kernels.

    Returns:
        A model from [batch, width] to the last layer's activations [batch, d].
    """
    penalty = keras.regularizers.L2(weight_decay) if weight_decay else None
    initial = "he_normal" if activation == "relu" else "glorot_uniform"
    inputs = x = keras.Input((width,), name="row")
    for units in hidden:
        x = layers.Dense(
            units, activation=activation, kernel_initializer=initial, kernel_regularizer=penalty
        )(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(inputs, x if hidden else layers.Identity()(x), name="perceptron")
