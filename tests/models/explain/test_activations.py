"""Activation maps against the convolutions computed by hand from kernel and input."""

import numpy as np
import pytest
import tensorflow as tf

from features.errors import UsageError
from features.sounds import featurizer
from features.sounds.files.decoding import wave_bytes
from features.sounds.rules import AudioRules
from models.explain import activations
from models.figures import activation_figures
from models.figures.drawing.canvas import DARK, LIGHT, png
from models.network import Network
from models.task import Blueprint
from models.tasks import audio_classification as audio
from tests.models import toys
from tests.models.figures.test_classification import assert_legible

PHOTO = toys.picture(0, 1)


@pytest.fixture(scope="module")
def cnn() -> Network:
    return toys.network()


def pixels(network: Network, raw: bytes) -> tf.Tensor:
    return network.featurizer(tf.constant([raw]))


def test_layers_are_listed_in_order_with_the_size_of_their_maps(cnn: Network) -> None:
    found = activations.map_layers(cnn)
    kinds = ["Conv2D", "BatchNormalization", "ReLU"]
    assert [layer.kind for layer in found] == [*kinds, "MaxPooling2D", *kinds]
    assert [layer.number for layer in found] == list(range(1, 8))
    assert [layer.size for layer in found[2:5]] == [(8, 8, 4), (4, 4, 4), (4, 4, 8)]
    assert activations.choose(found, None) == found[2]
    assert activations.choose(found, "5") == activations.choose(found, found[4].name) == found[4]
    with pytest.raises(UsageError, match="number from 1 to 7"):
        activations.choose(found, "8")


def test_maps_of_convolutions_are_the_convolution_itself(cnn: Network) -> None:
    layer = cnn.model.get_layer("convolutions").layers[1]
    found = activations.activations(cnn, PHOTO, layer.name)
    seen = pixels(cnn, PHOTO)
    np.testing.assert_array_equal(found.seen, seen[0])
    wanted = tf.nn.conv2d(seen, layer.kernel.value, 1, "SAME")[0]
    np.testing.assert_allclose(found.maps, wanted, atol=1e-5)
    relu = activations.activations(cnn, PHOTO).maps
    assert relu.min() == 0 < relu.max()


def test_a_keras_network_is_looked_into_with_its_own_scaling() -> None:
    network = toys.network({"kind": "keras", "backbone": "MobileNet", "weights": None}, size=32)
    (backbone,) = (layer for layer in network.model.layers if hasattr(layer, "application"))
    found = activations.activations(network, PHOTO, "conv1")
    scaled = pixels(network, PHOTO) * 2.0 - 1.0
    kernel = backbone.network.get_layer("conv1").kernel.value
    np.testing.assert_allclose(found.maps, tf.nn.conv2d(scaled, kernel, 2, "SAME")[0], atol=1e-4)


def test_a_hub_module_shows_nothing(tmp_path) -> None:
    module = toys.save_module(tmp_path / "module")
    network = toys.network({"kind": "hub", "backbone": str(module), "mode": "frozen"}, hub=tmp_path)
    with pytest.raises(UsageError, match="activations of this network cannot be shown"):
        activations.map_layers(network)


@pytest.fixture(scope="module")
def sound() -> tuple[Network, bytes]:
    settings = {"kind": "cnn", "filters": [3], "depth": 1}
    blueprint = Blueprint(
        rules=AudioRules(sample_rate=8000),
        featurizer=featurizer.AudioFeaturizerSettings(seconds=0.4, n_fft=128, hop_length=80, n_mels=16),
        model=audio.ModelSettings.model_validate(settings),
        augmentation=audio.AudioAugmentationSettings(),
        epochs=1,
        labels=toys.LABELS,
        hub=None,
        fitted={"mean": [2.0] * 16, "deviation": [3.0] * 16},
    )
    time = np.arange(6400) / 8000
    return audio.build(blueprint), wave_bytes(np.sin(2000 * time).astype(np.float32), 8000)


def test_of_a_sound_the_first_window_is_seen(sound: tuple[Network, bytes]) -> None:
    network, raw = sound
    found = activations.activations(network, raw, "1")
    window = pixels(network, raw)[0, 0]
    np.testing.assert_array_equal(found.seen, window)
    model, _ = activations._convolutional(network)
    kernel = model.layers[1].kernel.value
    scaled = ((window - 2.0) / 3.0)[tf.newaxis, ..., tf.newaxis]
    np.testing.assert_allclose(found.maps, tf.nn.conv2d(scaled, kernel, 1, "SAME")[0], atol=1e-3)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_pictures_have_a_tile_for_the_input_and_each_map(cnn, sound, theme) -> None:
    for found in (activations.activations(cnn, PHOTO, "5"), activations.activations(*sound, "3")):
        figure = activation_figures.maps(found, theme)
        tiles = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        assert len(tiles) == 1 + found.maps.shape[-1]
        assert_legible(figure)
        assert png(figure).startswith(b"\x89PNG")
    # Time runs to the right.
    assert tiles[0].shape[:2] == found.seen.shape[::-1]
