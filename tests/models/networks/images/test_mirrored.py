"""Networks that see images both ways: an image and its mirror image have answers that agree."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from features.datasets.feature_store import fingerprint
from features.images.augmentation import NumberAugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import NumberRules
from models.networks.images.mirrored import BothWays, agreed
from models.pretrained.image_backbones import ModelSettings
from models.task import Blueprint
from models.tasks.image_regression import build


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (5, 12, 16, 3)).astype(np.float32)


def blueprint(tmp_path, **model: object) -> Blueprint:
    settings = {"kind": "cnn", "filters": [4, 6], "depth": 1, "pooling": "none", "mirrored": True} | model
    return Blueprint(
        rules=NumberRules(),
        featurizer=ImageFeaturizerSettings(height=12, width=16),
        model=ModelSettings.model_validate(settings),
        augmentation=NumberAugmentationSettings(negated=("angle",)),
        epochs=1,
        labels=("angle", "speed"),
        hub=tmp_path,
        fitted={"mean": [0.3, 20.0], "deviation": [0.1, 7.0]},
        frame=pd.DataFrame(),
    )


def test_a_mirror_image_has_the_opposite_angle_and_the_same_speed(images, tmp_path) -> None:
    keras.utils.set_random_seed(0)
    network = build(blueprint(tmp_path))
    answers = network.model(images, training=False).numpy()
    mirrored = network.model(images[:, :, ::-1], training=False).numpy()
    np.testing.assert_allclose(mirrored[:, 0], -answers[:, 0], atol=1e-5)
    np.testing.assert_allclose(mirrored[:, 1], answers[:, 1], rtol=1e-5)
    assert np.ptp(answers[:, 0]) > 1e-3
    # A picture that is its own mirror image shows no angle.
    even = images + images[:, :, ::-1]
    np.testing.assert_allclose(network.model(even, training=False).numpy()[:, 0], 0, atol=1e-5)


def test_both_ways_are_the_inner_models_own_vectors(images) -> None:
    inner = keras.Sequential([keras.Input((12, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    vectors = BothWays(inner, 3)(images).numpy()
    np.testing.assert_allclose(vectors[:, :3], inner(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vectors[:, 3:], inner(images[:, :, ::-1]), rtol=1e-5, atol=1e-6)
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    expected = (head(vectors[:, :3]) + head(vectors[:, 3:]) * np.array([1.0, -1.0], np.float32)) / 2
    np.testing.assert_allclose(agreed(head, 3, np.array([1, -1]))(vectors), expected, rtol=1e-5)


def test_cached_vectors_are_named_by_the_inner_models_weights() -> None:
    def layer() -> BothWays:
        keras.utils.set_random_seed(0)
        return BothWays(keras.layers.Dense(3), 3)

    one, same = layer(), layer()
    for each in (one, same):
        each.inner.build((None, 4))
    assert fingerprint(one) == fingerprint(same)
    one.inner.bias.assign(tf.ones(3))
    assert fingerprint(one) != fingerprint(same) != fingerprint(same.inner)
