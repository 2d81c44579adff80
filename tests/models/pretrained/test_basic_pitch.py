"""The hub module basic_pitch, taken apart and put together again, answers as published."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from models.pretrained import basic_pitch
from models.pretrained.basic_pitch import FRAMES, RATE, WINDOW, BasicPitch
from tests.models import toys


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    time = np.arange(WINDOW) / RATE
    chord = 0.2 * sum(np.sin(2 * np.pi * hertz * time) * np.exp(-3 * time) for hertz in (220.0, 277.2, 370.0))
    noise = np.random.default_rng(0).normal(0, 0.1, WINDOW)
    return np.stack([chord, noise, np.zeros(WINDOW)]).astype(np.float32)


@pytest.fixture(scope="module")
def module(shared: Path) -> BasicPitch:
    folder = shared / "hub" / "basic_pitch"
    return BasicPitch(str(folder), folder)


def test_it_answers_as_the_published_module(shared: Path, module: BasicPitch, samples: np.ndarray) -> None:
    published = tf.saved_model.load(str(shared / "hub" / "basic_pitch")).signatures["serving_default"]
    wanted = published(tf.constant(samples[..., None]))
    found = basic_pitch.as_published(module.network, module.front(samples).numpy())
    for name, answer in found.items():
        np.testing.assert_allclose(answer, wanted[name].numpy(), rtol=0, atol=1e-5)
    assert found["note"].shape == (3, FRAMES, 88)
    # The keys of 220, 277 and 370 Hz.
    assert set(np.flatnonzero(found["note"][0, 30] > 0.4) + 21) == {57, 61, 66}


def test_batch_norm_keeps_its_statistics_while_weights_train(module: BasicPitch, samples: np.ndarray) -> None:
    decibels = module.front(samples)
    calm, training = (module.network(decibels, training=flag)["onset"].numpy() for flag in (False, True))
    np.testing.assert_array_equal(calm, training)
    names = {weight.path.split("/")[-2] for weight in module.network.trainable_weights}
    assert names == {"notes", "note", "onsets", "onsets_norm", "onset"}


def test_another_module_is_refused(tmp_path: Path) -> None:
    folder = toys.save_module(tmp_path / "toy", width=8)
    with pytest.raises(ConfigError, match="is not basic_pitch"):
        BasicPitch(str(folder), tmp_path)
