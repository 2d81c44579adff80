"""Graphs run as they were traced where they are asked to, and give the same answers."""

import numpy as np
import pytest
import tensorflow as tf

from models import graph_optimizer


def options() -> bool:
    return bool(tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False))


def test_it_is_off_inside_and_as_before_outside() -> None:
    before = options()
    with graph_optimizer.off():
        assert options()
        with graph_optimizer.off():
            assert options()
        assert options()
    assert options() == before


def test_it_is_as_before_after_an_error() -> None:
    before = options()
    with pytest.raises(tf.errors.InvalidArgumentError), graph_optimizer.off():
        tf.io.decode_raw([b"abc"], tf.int16)
    assert options() == before


def test_a_function_answers_alike_on_both_sides() -> None:
    @tf.function
    def function(x: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x @ x + 1.0), lambda: x / 3.0)

    for sign in (1.0, -1.0):
        x = tf.constant(np.random.default_rng(0).random((4, 4)) * sign, tf.float32)
        optimised = function(x)
        with graph_optimizer.off():
            np.testing.assert_allclose(function(x), optimised, rtol=1e-6)
