"""Gated recurrent units in both directions at once (Cho et al. 2014), made for few cores.

Keras runs a recurrent layer as a loop of many small ops, once for each direction, and adds up the gradient of
its weights step by step. Here both directions are one loop, the backward pass repeats of the forward one only
what it must, and the weights' gradient is a single matrix product: about three times as fast on one core.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("servable")
class BidirectionalGru(keras.Layer):
    """Read sequences forwards and backwards: [batch, steps, d] to [batch, steps, 2 units].

    Args:
        units: of each direction.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: Any) -> None:
        """Make the weights: update gate, reset gate and candidate side by side, for both directions."""
        units = self.units
        self.kernel = self.add_weight(shape=(shape[-1], 6 * units), name="kernel")
        self.bias = self.add_weight(shape=(6 * units,), initializer="zeros", name="bias")
        self.recurrent = self.add_weight(
            shape=(2, units, 3 * units), initializer=_orthogonal(), name="recurrent_kernel"
        )
        self.recurrent_bias = self.add_weight(
            shape=(2, 1, 3 * units), initializer="zeros", name="recurrent_bias"
        )

    def call(self, values: Any, lengths: Any, training: bool = False) -> Any:
        """Read as many steps of each sequence as it has; the others come out as 0.

        Args:
            values: float32 [batch, steps, d].
            lengths: int32 [batch].
            training: whether gradients will be taken.
        """
        gates = tf.matmul(values, self.kernel.value) + self.bias.value
        ahead, back = tf.split(gates, 2, axis=2)
        back = tf.reverse_sequence(back, lengths, 1, 0)
        inputs = tf.transpose(tf.stack([ahead, back]), [2, 0, 1, 3])
        inputs = tf.ensure_shape(inputs, [None, 2, None, 3 * self.units])
        weights = (tf.convert_to_tensor(one.value) for one in (self.recurrent, self.recurrent_bias))
        states = (_with_gradient if training else _states)(inputs, *weights)
        ahead, back = (tf.transpose(states[:, way], [1, 0, 2]) for way in (0, 1))
        joined = tf.concat([ahead, tf.reverse_sequence(back, lengths, 1, 0)], 2)
        return tf.where(tf.sequence_mask(lengths, tf.shape(joined)[1])[..., tf.newaxis], joined, 0.0)

    def compute_output_spec(self, values: Any, lengths: Any, training: bool = False) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((*values.shape[:2], 2 * self.units), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        return super().get_config() | {"units": self.units}


def _orthogonal() -> Callable[..., Any]:
    """Make an initializer of square blocks that keep the length of what they are applied to."""

    def initialise(shape: tuple[int, ...], dtype: Any = None) -> Any:
        ways, units, width = shape
        # One initializer would draw the same block again and again.
        blocks = [
            [keras.initializers.Orthogonal()((units, units)) for _ in range(width // units)]
            for _ in range(ways)
        ]
        return tf.stack([tf.concat(row, 1) for row in blocks])

    return initialise


def _states(inputs: Any, kernel: Any, bias: Any) -> Any:
    """Run the recurrence from zero.

    Inputs are [steps, ways, batch, 3 units], the states that are returned [steps, ways, batch, units].
    """
    units = kernel.shape[1]
    steps, batch = tf.shape(inputs)[0], tf.shape(inputs)[2]
    states = tf.TensorArray(tf.float32, steps, element_shape=[2, None, units])

    def step(number: Any, state: Any, states: Any) -> Any:
        given, recurrent = inputs[number], tf.matmul(state, kernel) + bias
        gates = tf.sigmoid(given[..., : 2 * units] + recurrent[..., : 2 * units])
        candidate = tf.tanh(given[..., 2 * units :] + gates[..., units:] * recurrent[..., 2 * units :])
        state = candidate + gates[..., :units] * (state - candidate)
        return number + 1, state, states.write(number, state)

    start = (0, tf.zeros([2, batch, units]), states)
    return tf.while_loop(lambda number, *_: number < steps, step, start)[2].stack()


@tf.custom_gradient
def _with_gradient(inputs: Any, kernel: Any, bias: Any) -> Any:
    states = _states(inputs, kernel, bias)

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        return _gradient(inputs, kernel, bias, states, upstream)

    return states, gradient


def _gradient(inputs: Any, kernel: Any, bias: Any, states: Any, upstream: Any) -> tuple[Any, Any, Any]:
    """Return the gradients of inputs, kernel and bias from that of the states."""
    units = kernel.shape[1]
    before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], 0)
    # All steps at once: the states are there already.
    recurrent = tf.matmul(before, kernel) + bias
    gates = tf.sigmoid(inputs[..., : 2 * units] + recurrent[..., : 2 * units])
    update, reset = gates[..., :units], gates[..., units:]
    of_candidate = recurrent[..., 2 * units :]
    candidate = tf.tanh(inputs[..., 2 * units :] + reset * of_candidate)
    to_candidate = (1 - update) * (1 - tf.square(candidate))
    to_update = (before - candidate) * update * (1 - update)
    to_reset = to_candidate * of_candidate * reset * (1 - reset)
    factors = tf.concat([to_update, to_reset, to_candidate * reset], 3)
    steps = tf.shape(inputs)[0]

    def step(number: Any, carried: Any, whole: Any) -> Any:
        own = upstream[number] + carried
        back = tf.matmul(tf.tile(own, [1, 1, 3]) * factors[number], kernel, transpose_b=True)
        return number - 1, own * update[number] + back, whole.write(number, own)

    whole = tf.TensorArray(tf.float32, steps, element_shape=[2, None, units])
    start = (steps - 1, tf.zeros_like(upstream[0]), whole)
    whole = tf.while_loop(lambda number, *_: number >= 0, step, start)[2].stack()
    back = tf.tile(whole, [1, 1, 1, 3]) * factors
    of_kernel = tf.stack(
        [
            tf.matmul(
                tf.reshape(before[:, way], [-1, units]),
                tf.reshape(back[:, way], [-1, 3 * units]),
                transpose_a=True,
            )
            for way in (0, 1)
        ]
    )
    of_inputs = tf.concat([whole * to_update, whole * to_reset, whole * to_candidate], 3)
    return of_inputs, of_kernel, tf.reduce_sum(back, [0, 2])[:, tf.newaxis]
