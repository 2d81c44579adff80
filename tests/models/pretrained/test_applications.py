"""keras.applications backbones: scaling, weights, batch norm, wrong names."""

import keras
import numpy as np
import pytest

from features.datasets import feature_store
from features.errors import ConfigError, NoInputError
from models.pretrained import applications
from tests.models import toys

#: h5py hands NumPy's new keyword on to Keras variables, which do not take it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (32, 32, 3)
NAME = "MobileNet"
PIXELS = np.random.default_rng(0).random((2, *SHAPE), np.float32)


@pytest.fixture(scope="module")
def plain() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")


@pytest.fixture(scope="module")
def weights(plain, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    plain.save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def backbone(weights) -> applications.ApplicationBackbone:
    return applications.application(NAME, weights, SHAPE)


def test_a_weights_file_gives_the_networks_own_answer(plain, backbone):
    expected = plain(keras.applications.mobilenet.preprocess_input(PIXELS * 255.0))
    np.testing.assert_allclose(backbone(PIXELS), expected, atol=1e-5)
    assert backbone.width == 1024


def test_without_weights_everything_is_trained_from_the_start():
    network = toys.network({"kind": "keras", "backbone": NAME, "weights": None}, size=32)
    assert [phase.name for phase in network.phases] == ["train"]
    assert network.phases[0].model.count_params() > 3_000_000


@pytest.mark.parametrize("learn", [False, True])
def test_batch_norm_moves_only_where_it_may(weights, learn):
    backbone = applications.application(NAME, weights, SHAPE, learn_batch_norm=learn)
    before = [v.numpy() for v in backbone.non_trainable_variables]
    inputs = keras.Input(SHAPE)
    keras.Model(inputs, backbone(inputs))(PIXELS, training=True)
    after = [v.numpy() for v in backbone.non_trainable_variables]
    changed = any((a != b).any() for a, b in zip(before, after, strict=True) if a.dtype.kind == "f")
    assert changed == learn
    assert len(backbone.trainable_variables) > 50


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16"])
def test_scaling_is_each_networks_own(name):
    module = {
        "MobileNetV2": keras.applications.mobilenet_v2,
        "VGG16": keras.applications.vgg16,
    }[name]
    backbone = applications.application(name, None, SHAPE)
    expected = backbone.network(module.preprocess_input(PIXELS * np.float32(255)))
    np.testing.assert_allclose(backbone(PIXELS), expected, rtol=1e-4, atol=1e-5)


def test_the_name_of_the_cache_follows_weights_not_layer_names(weights, backbone):
    first, second = backbone, applications.application(NAME, weights, SHAPE)
    assert feature_store.fingerprint(first) == feature_store.fingerprint(second)
    assert feature_store.fingerprint(first) != feature_store.fingerprint(
        applications.application(NAME, None, SHAPE)
    )
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    copy.set_weights(first.get_weights())
    assert copy.fingerprint == first.fingerprint
    np.testing.assert_array_equal(copy(PIXELS), first(PIXELS))


@pytest.mark.parametrize("mode", ["frozen", "fine-tune"])
def test_modes_with_weights(weights, mode):
    recipe = {"kind": "keras", "backbone": NAME, "weights": weights, "mode": mode}
    network = toys.network(recipe, size=32)
    assert [phase.name for phase in network.phases] == ["head", "fine-tune"][: 1 + (mode == "fine-tune")]
    assert network.phases[0].model.input_shape == (None, 1024)
    assert len(network.phases[-1].model.trainable_variables) == (2 if mode == "frozen" else 2 + 81)


def _maps(weights, images, layer):
    network = keras.applications.MobileNet(include_top=False, weights=weights, input_shape=images.shape[1:])
    maps = keras.Model(network.input, network.get_layer(layer).output)
    return maps(keras.applications.mobilenet.preprocess_input(images * 255.0)).numpy()


def test_maps_of_a_layer_are_kept_place_by_place_without_the_rows_cut_off(weights):
    shape = (48, 32, 3)
    backbone = applications.application(NAME, weights, shape, layer="conv_pw_3_relu", crop=(0.25, 1 / 12))
    images = np.random.default_rng(1).random((2, *shape), np.float32)
    every = _maps(weights, images, "conv_pw_3_relu")
    assert every.shape == (2, 12, 8, 128)
    np.testing.assert_allclose(backbone(images), every[:, 3:11].reshape(2, -1), atol=1e-5)
    assert backbone.width == 8 * 8 * 128
    assert backbone.maps() is None
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    copy.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(copy(images), backbone(images))
    whole = applications.application(NAME, weights, shape, layer="conv_pw_3_relu")
    assert whole.width == 12 * 8 * 128
    assert whole.fingerprint != backbone.fingerprint


def test_averaged_maps_leave_out_the_rows_cut_off(weights):
    shape = (128, 32, 3)
    backbone = applications.application(NAME, weights, shape, crop=(0.5, 0.25))
    images = np.random.default_rng(1).random((2, *shape), np.float32)
    every = _maps(weights, images, "conv_pw_13_relu")
    assert every.shape == (2, 4, 1, 1024)
    np.testing.assert_allclose(backbone(images), every[:, 2, 0], atol=1e-5)


def test_a_layer_without_maps_is_refused_with_a_similar_name():
    with pytest.raises(ConfigError, match=r"no maps of this layer; got conv_pw_3_rel; .*mean conv_pw_3_relu"):
        applications.application(NAME, None, SHAPE, layer="conv_pw_3_rel")


@pytest.mark.parametrize("crop", [(-0.1, 0.0), (0.5, 0.5)])
def test_some_of_an_image_is_left(crop):
    with pytest.raises(ValueError, match=r"together at most 0\.9"):
        applications.KerasSettings(kind="keras", crop=crop)


def test_wrong_names_list_the_known_ones():
    with pytest.raises(ConfigError, match=r"got MobileNetV9; expected .*MobileNetV2, .*ResNet50") as error:
        applications.application("MobileNetV9", None, SHAPE)
    assert error.value.exit_code == 78


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_missing_and_foreign_weights_files_are_named(tmp_path):
    with pytest.raises(NoInputError, match=r"no such weights file; got .*nowhere\.h5"):
        applications.application(NAME, str(tmp_path / "nowhere.h5"), SHAPE)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ConfigError, match="cannot build MobileNet"):
        applications.application(NAME, str(tmp_path / "other.weights.h5"), SHAPE)


def test_pictures_too_small_for_a_network_are_refused():
    with pytest.raises(ConfigError, match=r"cannot build InceptionV3.*featurizer\.height"):
        applications.application("InceptionV3", None, (16, 16, 3))
