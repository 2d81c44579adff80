"""The plain stack of convolutions: its layers, its vector, its first kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.images import cnn

SIZES = {"filters": (4, 6), "depth": 2, "kernel": 3, "dense": (), "dropout": 0.0}


def test_parameters_are_those_of_the_closed_form():
    model = cnn.convolutions((16, 12, 3), **SIZES | {"dense": (7,)})
    kernels = [(3, 4), (4, 4), (4, 6), (6, 6)]
    # Each convolution: kernel without bias, and four numbers of batch norm a map.
    expected = sum(9 * a * b + 4 * b for a, b in kernels) + 6 * 7 + 7
    assert model.count_params() == expected
    assert model.output_shape == (None, 7)


def test_blocks_halve_the_size_but_the_last():
    model = cnn.convolutions((16, 12, 3), **SIZES | {"filters": (4, 6, 8)})
    sizes = [layer.output.shape[1:3] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sizes == [(16, 12)] * 2 + [(8, 6)] * 2 + [(4, 3)] * 2


def test_the_first_convolution_may_take_longer_steps():
    model = cnn.convolutions((16, 12, 3), **SIZES | {"stride": 2})
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.output.shape[1:3] for layer in layers] == [(8, 6)] * 2 + [(4, 3)] * 2
    images = np.random.default_rng(0).random((2, 16, 12, 3), np.float32)
    expected = tf.nn.conv2d(images, layers[0].kernel.value, 2, "SAME")
    np.testing.assert_allclose(layers[0](images), expected, rtol=1e-4, atol=1e-5)


def test_small_pictures_do_not_vanish():
    model = cnn.convolutions((8, 8, 3), **SIZES | {"filters": (2, 2, 2, 2, 2, 2)})
    assert np.isfinite(model(np.ones((1, 8, 8, 3), np.float32))).all()


def test_the_vector_is_the_mean_over_the_maps():
    model = cnn.convolutions((8, 8, 3), **SIZES)
    inner = keras.Model(model.input, model.layers[-2].output)
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    np.testing.assert_allclose(model(images), inner(images).numpy().mean((1, 2)), rtol=1e-5)


def test_peaks_over_the_height_stand_beside_the_mean():
    model = cnn.convolutions((8, 6, 3), **SIZES | {"pooling": "height-peaks"})
    inner = keras.Model(
        model.input, [layer for layer in model.layers if layer.output.shape[1:3] == (4, 3)][-1].output
    )
    images = np.random.default_rng(0).random((3, 8, 6, 3), np.float32)
    maps = inner(images).numpy()
    assert maps.shape == (3, 4, 3, 6)
    expected = np.concatenate([maps.mean(1).reshape(3, -1), maps.max(1).reshape(3, -1)], 1)
    np.testing.assert_allclose(model(images), expected, rtol=1e-5, atol=1e-6)


def test_weight_decay_is_the_l2_norm_of_the_kernels():
    model = cnn.convolutions((8, 8, 3), **SIZES | {"weight_decay": 0.01, "dense": (5,)})
    kernels = [v.numpy() for v in model.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 5
    penalty = 0.01 * sum((kernel.astype(np.float64) ** 2).sum() for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-5)


def test_dropout_acts_in_training_alone():
    model = cnn.convolutions((8, 8, 3), **SIZES | {"dropout": 0.5})
    images = np.ones((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(model(images), model(images))
    answers = [model(images, training=True).numpy() for _ in range(2)]
    assert (answers[0] != answers[1]).any()


def test_head_without_hidden_layers_is_affine():
    head = cnn.head(5, 3, dropout=0.5)
    kernel, bias = head.get_weights()
    vectors = np.random.default_rng(0).random((4, 5), np.float32)
    np.testing.assert_allclose(head(vectors), vectors @ kernel + bias, rtol=1e-5)
    deep = cnn.head(5, 3, hidden=(8, 9))
    assert [w.shape for w in deep.get_weights()] == [(5, 8), (8,), (8, 9), (9,), (9, 3), (3,)]


def test_first_kernels_are_found_inside_nested_models():
    inner = cnn.convolutions((8, 8, 3), **SIZES)
    inputs = keras.Input((8, 8, 3))
    whole = keras.Model(inputs, cnn.head(6, 2)(inner(inputs)))
    np.testing.assert_array_equal(cnn.first_kernels(whole), inner.layers[1].kernel.numpy())
    assert cnn.first_kernels(whole).shape == (3, 3, 3, 4)
    assert cnn.first_kernels(cnn.head(5, 2)) is None
