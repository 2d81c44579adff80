"""The recurrent layer: equal to Keras's, in values and gradients."""

import keras
import numpy as np
import tensorflow as tf

from models.networks.sounds.recurrence import BidirectionalGru

UNITS, WIDTH = 5, 3
LENGTHS = [7, 4, 1]


def keras_layer(own: BidirectionalGru) -> keras.Layer:
    """Make Keras's layer with the same weights."""
    layer = keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=True))
    layer.build((None, None, WIDTH))
    kernels = np.split(own.kernel.numpy(), 2, axis=1)
    biases = np.split(own.bias.numpy(), 2)
    weights = []
    for way in (0, 1):
        bias = np.stack([biases[way], own.recurrent_bias.numpy()[way, 0]])
        weights += [kernels[way], own.recurrent.numpy()[way], bias]
    layer.set_weights(weights)
    return layer


def layer() -> BidirectionalGru:
    keras.utils.set_random_seed(1)
    own = BidirectionalGru(UNITS)
    own.build((None, None, WIDTH))
    random = np.random.default_rng(0)
    own.bias.assign(random.normal(size=own.bias.shape))
    own.recurrent_bias.assign(random.normal(size=own.recurrent_bias.shape))
    return own


def test_states_and_gradients_are_those_of_keras() -> None:
    own = layer()
    other = keras_layer(own)
    values = tf.constant(np.random.default_rng(2).normal(size=(3, 7, WIDTH)), tf.float32)
    factors = tf.constant(np.random.default_rng(3).normal(size=(3, 7, 2 * UNITS)), tf.float32)
    mask = tf.sequence_mask(LENGTHS, 7)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        mine = own(values, tf.constant(LENGTHS), training=True)
        theirs = tf.where(mask[..., None], other(values, mask=mask), 0.0)
        sums = [tf.reduce_sum(each * factors) for each in (mine, theirs)]
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    np.testing.assert_allclose(own(values, tf.constant(LENGTHS), training=False), mine, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(sums[0], values), tape.gradient(sums[1], values), atol=1e-5)
    kernel, bias, recurrent, recurrent_bias = (
        tape.gradient(sums[0], each.value)
        for each in (own.kernel, own.bias, own.recurrent, own.recurrent_bias)
    )
    wanted = [tape.gradient(sums[1], each.value) for each in other.trainable_variables]
    for way in (0, 1):
        of_kernel, of_recurrent, of_bias = wanted[3 * way : 3 * way + 3]
        np.testing.assert_allclose(np.split(kernel, 2, axis=1)[way], of_kernel, atol=1e-5)
        np.testing.assert_allclose(recurrent[way], of_recurrent, atol=1e-5)
        np.testing.assert_allclose(np.split(bias, 2)[way], of_bias[0], atol=1e-5)
        np.testing.assert_allclose(recurrent_bias[way, 0], of_bias[1], atol=1e-5)
