"""Graphs that are passed over once give the same answers, and only while it is asked for."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from models.export import graphs


def passes() -> tuple[int, ...]:
    """Return how often graphs are passed over (0: as usual, 1: once) in this thread and in another one."""

    def own() -> int:
        serialized = context.context().function_call_options.config_proto_serialized
        config = tf.compat.v1.ConfigProto.FromString(serialized)
        return int(config.graph_options.rewrite_options.meta_optimizer_iterations)

    with ThreadPoolExecutor(1) as aside:
        return own(), aside.submit(own).result()


def test_graphs_are_passed_over_once_in_the_body_alone() -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    answer = lambda: tf.function(lambda x: model(x, training=False))(tf.constant(images)).numpy()  # noqa: E731
    usual = answer()
    assert passes() == (0, 0)
    with graphs.optimised_once():
        assert passes() == (1, 1)
        once = answer()
    assert passes() == (0, 0)
    np.testing.assert_allclose(once, usual, atol=1e-6)
    np.testing.assert_allclose(once, model(images, training=False), atol=1e-6)
