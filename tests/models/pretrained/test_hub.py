"""TF-Hub modules as layers: where they are found, that their weights are adopted, that answers are theirs."""

import gc
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError, NoInputError, UnavailableError
from features.images.featurizer import ImageFeaturizer
from models.pretrained import hub
from models.pretrained.hub import HubLayer
from tests.models import toys

IMAGES = np.random.default_rng(0).random((5, toys.SIZE, toys.SIZE, 3), np.float32)


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return toys.save_module(tmp_path_factory.mktemp("hub") / "toy")


@pytest.fixture
def layer(module):
    return HubLayer(str(module))


# -- where a module is found ----------------------------------------------------------------------


def test_a_folder_is_taken_as_it_is(module, tmp_path):
    assert hub.resolve(str(module), tmp_path) == module.absolute()


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_folder_without_a_module_is_named(missing, tmp_path):
    with pytest.raises(NoInputError, match=r"no hub module in this folder.*saved_model\.pb") as error:
        hub.resolve(str(tmp_path / missing), tmp_path)
    assert error.value.exit_code == 66


def test_a_handle_in_the_cache_is_found_without_a_network(module, tmp_path):
    handle = "https://tfhub.dev/google/imagenet/toy/feature_vector/1"
    held = tmp_path / hashlib.sha1(handle.encode()).hexdigest()
    held.symlink_to(module)
    assert hub.resolve(handle, tmp_path) == held
    assert HubLayer(handle, str(tmp_path)).output_shape_of_one == (6,)


#: tensorflow_hub leaves its connection to the garbage collector.
unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_kaggle_handle_means_its_address(module, tmp_path):
    handle = "google/mobilenet-v2/tensorFlow2/100-224-feature-vector/1"
    address = f"https://www.kaggle.com/models/{handle}"
    held = tmp_path / hashlib.sha1(address.encode()).hexdigest()
    shutil.copytree(module, held)
    assert hub.resolve(handle, tmp_path) == hub.resolve(address, tmp_path) == held


@pytest.fixture
def hub_server(module):
    """A hub on loopback: every address gives the module's compressed archive; counts the requests."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(module, arcname=".")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.paths.append(self.path)
            self.send_response(404 if "missing" in self.path else 500 if "broken" in self.path else 200)
            self.send_header("Content-Length", str(len(packed.getvalue())))
            self.end_headers()
            self.wfile.write(packed.getvalue())

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    gc.collect()
    server.shutdown()
    thread.join()
    server.server_close()


@unclosed
def test_a_handle_is_fetched_once_and_kept(hub_server, module, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", "/elsewhere")
    handle = f"http://127.0.0.1:{hub_server.server_port}/toy/1"
    folder = hub.resolve(handle, tmp_path / "cache")
    assert folder.parent == tmp_path / "cache"
    assert hub.module_fingerprint(folder) == hub.module_fingerprint(module)
    assert len(hub_server.paths) == 1
    assert "tf-hub-format=compressed" in hub_server.paths[0]
    assert hub.resolve(handle, tmp_path / "cache") == folder
    assert len(hub_server.paths) == 1
    assert os.environ["TFHUB_CACHE_DIR"] == "/elsewhere"


@unclosed
@pytest.mark.parametrize(
    ("path", "kind", "code"), [("missing/1", NoInputError, 66), ("broken/1", UnavailableError, 69)]
)
def test_an_unreachable_handle_is_named_with_two_ways_out(hub_server, tmp_path, path, kind, code):
    handle = f"http://127.0.0.1:{hub_server.server_port}/{path}"
    with pytest.raises(kind) as error:
        hub.resolve(handle, tmp_path)
    assert error.value.exit_code == code
    held = hashlib.sha1(handle.encode()).hexdigest()
    for part in (handle, "--set model.backbone=PATH", held):
        assert part in str(error.value)


# -- the layer ------------------------------------------------------------------------------------


def test_variables_are_adopted_not_copied(layer):
    assert [tuple(v.shape) for v in layer.trainable_variables] == [(3, 3, 3, 6), (6,)]
    assert [tuple(v.shape) for v in layer.non_trainable_variables] == [(6,)]
    layer.trainable_variables[1].assign(np.full(6, 2.0))
    np.testing.assert_array_equal(layer.module.trainable_variables[1].numpy(), np.full(6, 2.0))
    assert len({v.path for v in layer.variables}) == 3


def test_the_answer_is_the_modules_own(layer, module):
    plain = tf.saved_model.load(str(module))(IMAGES, training=False)
    np.testing.assert_array_equal(layer(IMAGES), plain)
    inputs = keras.Input((toys.SIZE, toys.SIZE, 3))
    np.testing.assert_allclose(keras.Model(inputs, layer(inputs))(IMAGES), plain, rtol=1e-6)


@pytest.mark.parametrize(("mode", "moves"), [("inference", False), ("training", True)])
def test_batch_norm_modes(module, mode, moves):
    layer = HubLayer(str(module), batch_norm=mode)
    before = layer.non_trainable_variables[0].numpy()
    result = layer(IMAGES, training=True).numpy()
    after = layer.non_trainable_variables[0].numpy()
    plain = tf.saved_model.load(str(module))
    np.testing.assert_allclose(result, plain(IMAGES, training=moves), rtol=1e-6)
    np.testing.assert_allclose(after, plain.variables[2].numpy(), rtol=1e-6)
    assert (before != after).any() == moves


def test_frozen_layers_neither_train_nor_move_nor_penalise(module):
    layer = HubLayer(str(module), batch_norm="training", trainable=False)
    before = [v.numpy() for v in layer.variables]
    layer(IMAGES, training=True)
    assert layer.trainable_variables == []
    assert layer.losses == []
    for was, variable in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(was, variable.numpy())
    layer.trainable = True
    layer(IMAGES, training=True)
    kernel = layer.variables[0].numpy()
    np.testing.assert_allclose([float(loss) for loss in layer.losses], [0.01 * (kernel**2).sum()], rtol=1e-5)


def test_a_gradient_step_reaches_the_modules_weights(layer):
    inputs = keras.Input((toys.SIZE, toys.SIZE, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    assert len(model.trainable_variables) == 4
    before = layer.module.trainable_variables[0].numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(IMAGES, training=True) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    keras.optimizers.SGD(0.1).apply(gradients, model.trainable_variables)
    np.testing.assert_allclose(
        layer.module.trainable_variables[0].numpy(), before - 0.1 * gradients[0].numpy(), rtol=1e-5
    )


def test_config_round_trip_resolves_the_handle_again(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(copy(IMAGES), layer(IMAGES))
    assert copy.fingerprint == layer.fingerprint


def test_the_fingerprint_follows_content_not_place(module, tmp_path):
    copy = shutil.copytree(module, tmp_path / "copy")
    assert hub.module_fingerprint(copy) == hub.module_fingerprint(module)
    other = toys.save_module(tmp_path / "other", width=7)
    assert hub.module_fingerprint(other) != hub.module_fingerprint(module)


def test_modules_of_another_kind_are_refused(tmp_path):
    plain = tf.Module()
    tf.saved_model.save(plain, str(tmp_path / "plain"))
    with pytest.raises(ConfigError, match="cannot be used as a backbone"):
        HubLayer(str(tmp_path / "plain"))


def test_a_module_without_weights_that_train_is_not_fine_tuned(tmp_path):
    class Means(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
        def __call__(self, pixels):
            return tf.reduce_mean(pixels, [1, 2])

    tf.saved_model.save(Means(), str(tmp_path / "means"))
    recipe = {"kind": "hub", "backbone": str(tmp_path / "means")}
    assert toys.network(recipe).model.output_shape == (None, 2)
    with pytest.raises(ConfigError, match="cannot be fine-tuned; got no trainable variables"):
        toys.network(recipe | {"mode": "fine-tune"})


@pytest.mark.parametrize(("height", "width", "named"), [(16, 8, "height 16"), (None, 4, "width 4")])
def test_another_size_than_the_modules_is_refused(layer, height, width, named):
    with pytest.raises(ConfigError, match=f"images of one size; got featurizer.{named}; expected 8"):
        layer.require(height, width)


def test_a_recipe_with_another_size_is_refused(module):
    with pytest.raises(ConfigError, match=r"featurizer\.height 16"):
        toys.network({"kind": "hub", "backbone": str(module)}, size=16)


def test_modules_of_free_size_take_any(tmp_path):
    layer = HubLayer(str(toys.save_module(tmp_path / "free", size=None)))
    layer.require(24, 40)
    assert layer(np.zeros((1, 24, 40, 3), np.float32)).shape == (1, 6)


# -- real modules ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(shared):
    return json.loads((shared / "hub" / "EXPECTED.json").read_text())


@pytest.fixture(scope="module")
def photos(shared):
    files = sorted((shared / "hub" / "sample_photos").glob("*.jpg"))
    pixels = ImageFeaturizer(224, 224)(tf.constant([path.read_bytes() for path in files]))
    return [path.name for path in files], pixels


def test_real_classifier_ranks_photos_as_recorded(shared, expected, photos):
    name = "mobilenet_v1_025_224_classification"
    names, pixels = photos
    scores = tf.nn.softmax(HubLayer(str(shared / "hub" / name))(pixels)).numpy()
    for row, photo in zip(scores, names, strict=True):
        for index, _, score in expected["classification_top5"][name][photo]:
            # JPEG decoding differs by a few grey levels from the recorded preprocessing.
            assert abs(row[index] - score) < 0.03, (photo, index)
        if expected["classification_top5"][name][photo][0][2] > 0.4:
            assert row.argmax() == expected["classification_top5"][name][photo][0][0]


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_025_224_feature_vector",
        pytest.param("mobilenet_v2_100_224_feature_vector", marks=pytest.mark.proof),
    ],
)
def test_real_modules_answer_as_loaded_plainly(shared, expected, photos, name):
    folder = shared / "hub" / name
    layer = HubLayer(str(folder))
    names, pixels = photos
    recorded = np.array([expected["feature_vector_first4"][name][photo] for photo in names])
    answer = layer(pixels).numpy()
    assert np.abs(answer[:, :4] - recorded).max() < 0.25
    np.testing.assert_allclose(answer, tf.saved_model.load(str(folder))(pixels), rtol=1e-5, atol=1e-6)
    assert layer.input_shape_of_one == (224, 224, 3)
    assert len(layer.trainable_variables) == len(layer.module.trainable_variables) > 20
    with pytest.raises(ConfigError, match="expected 224"):
        layer.require(96, 96)


def test_real_modules_of_other_kinds_are_refused_as_image_backbones(shared):
    text = HubLayer(str(shared / "hub" / "glove_twitter_25d_text_embedding"))
    with pytest.raises(ConfigError, match="not an image backbone"):
        text.require(None, None)
    with pytest.raises(ConfigError, match="more than one output"):
        HubLayer(str(shared / "hub" / "yamnet"))
