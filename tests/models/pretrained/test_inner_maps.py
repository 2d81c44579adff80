"""Inner maps of a pretrained network: strides at any size, weights from a file or a module, what trains."""

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError, NoInputError
from models.pretrained.inner_maps import inner_maps
from tests.models import toys

#: h5py hands NumPy's new keyword on to Keras variables, which do not take it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAME = "MobileNetV2"


@pytest.fixture(scope="module")
def weights(shared: Path) -> str:
    return str(next((shared / "hub" / "keras_mobilenet_v2_100").glob("*.h5")))


@cache
def small() -> keras.Model:
    """Make the maps of small pictures once; its weights are random, and may be trained on."""
    return maps(None, (64, 64))


def maps(weights: str | None, shape: tuple[int, int], frozen: int = 0) -> keras.Model:
    return inner_maps(NAME, weights, (*shape, 3), Path("hub"), frozen)


@pytest.mark.parametrize("shape", [(64, 96), (97, 65), (127, 33)])
def test_each_stride_has_maps_of_its_size(shape: tuple[int, int]) -> None:
    model = maps(None, shape)
    pixels = np.random.default_rng(0).random((2, *shape, 3)).astype(np.float32)
    found = {int(stride): one.shape for stride, one in model(pixels).items()}
    assert sorted(found) == [4, 8, 16, 32]
    for stride, (batch, height, width, _) in found.items():
        assert batch == 2
        assert (height, width) == (-(-shape[0] // stride), -(-shape[1] // stride))
    assert found[32][3] == 1280


def test_the_module_and_the_weights_file_give_the_same_maps(shared: Path, weights: str) -> None:
    """At a size that the module itself does not take; the oracle is the network of keras.applications."""
    pixels = np.random.default_rng(1).random((2, 64, 80, 3)).astype(np.float32)
    module = shared / "hub" / "mobilenet_v2_100_224_feature_vector"
    of_file, of_module = (maps(source, (64, 80))(pixels) for source in (weights, str(module)))
    plain = keras.applications.MobileNetV2(include_top=False, weights=weights, input_shape=(64, 80, 3))
    last = plain(keras.applications.mobilenet_v2.preprocess_input(pixels * 255)).numpy()
    np.testing.assert_allclose(of_file["32"], last, atol=1e-4)
    for stride, found in of_module.items():
        np.testing.assert_allclose(found, of_file[stride], atol=1e-4)


def test_another_module_is_refused(tmp_path: Path) -> None:
    module = toys.save_module(tmp_path / "toy")
    with pytest.raises(ConfigError, match=r"not those of this network; got 3 variables; expected the 260"):
        maps(str(module), (64, 64))
    with pytest.raises(NoInputError):
        maps(str(tmp_path / "nowhere"), (64, 64))
    with pytest.raises(ConfigError, match=r"no such keras\.applications network"):
        inner_maps("MobileNetV9", None, (64, 64, 3), tmp_path, 0)


def test_batch_norm_works_in_training_as_in_inference() -> None:
    """Also within a larger network, whose own batch norm does learn."""
    model = small()
    pixels = np.random.default_rng(3).random((2, 64, 64, 3)).astype(np.float32)
    inputs = keras.Input((64, 64, 3))
    outer = keras.Model(inputs, keras.layers.BatchNormalization()(model(inputs)["8"]))
    still = model(pixels, training=False)["8"]
    np.testing.assert_array_equal(model(pixels, training=True)["8"], still)
    before = [weight.numpy() for weight in model.weights]
    outer(pixels, training=True)
    assert all((weight.numpy() == was).all() for weight, was in zip(model.weights, before, strict=True))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy(pixels, training=True)["8"], still, atol=1e-5)


@pytest.mark.parametrize("frozen", [0, 8, 32])
def test_frozen_layers_do_not_train(frozen: int) -> None:
    """What a gradient reaches: everything, what comes after a stride, or nothing but what is beyond all."""
    model = maps(None, (64, 64), frozen) if frozen else small()
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    before = [weight.numpy() for weight in inner.weights]
    pixels = np.random.default_rng(2).random((2, 64, 64, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = sum(tf.reduce_mean(tf.square(one)) for one in model(pixels, training=True).values())
    variables = model.trainable_variables
    if frozen == 32:
        assert not variables
    else:
        keras.optimizers.SGD(0.1).apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    moved = {
        weight.path
        for weight, was in zip(inner.weights, before, strict=True)
        if (weight.numpy() != was).any()
    }
    # Statistics of batch norm stay as they are, whatever trains.
    assert not any("moving" in path for path in moved)
    first, last = any("bn_Conv1" in path for path in moved), any("block_16" in path for path in moved)
    assert (first, last) == (frozen == 0, frozen < 32)
    # The maps of stride 8 end where block 6 halves them.
    assert any("block_3" in path for path in moved) == (frozen == 0)
