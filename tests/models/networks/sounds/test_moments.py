"""A linear model beside a network of sounds: moments by NumPy and librosa, weights by scikit-learn."""

from dataclasses import replace

import keras
import librosa
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from models.networks import blend
from models.networks.sounds import moments
from models.networks.sounds.moments import Linear
from models.tasks import audio_classification
from tests.models import planted

BANDS, FRAMES = 24, 9


def heard(counts: tuple[int, ...] = (3, 1, 2)) -> np.ndarray:
    """Make windows of decibels; NaN where a sound has fewer than another."""
    levels = np.random.default_rng(0).uniform(-80, 0, (len(counts), max(counts), FRAMES, BANDS))
    for row, count in enumerate(counts):
        levels[row, count:] = np.nan
    return levels.astype(np.float32)


def correlated(there: np.ndarray, lag: int) -> np.ndarray:
    """Correlate the level of each eighth of the bands with that of so many frames later, with NumPy."""
    level = np.stack([group.mean(2) for group in np.array_split(there, 8, axis=2)], 2)
    level -= level.mean((0, 1))
    if lag >= FRAMES:
        return np.zeros(8)
    pairs = [window[lag:] * window[:-lag] for window in level]
    return np.mean(pairs, (0, 1)) / (np.square(level).mean((0, 1)) + 1)


def test_moments_are_those_of_numpy_and_librosa() -> None:
    windows = heard()
    described = moments.moments(tf.constant(windows)).numpy()
    assert described.shape == (3, moments.size(BANDS))
    for sound, row in zip(windows, described, strict=True):
        there = sound[~np.isnan(sound[:, 0, 0])].astype(np.float64)
        cepstra = librosa.feature.mfcc(S=there.swapaxes(1, 2), n_mfcc=moments.COEFFICIENTS).swapaxes(1, 2)
        expected = [
            moment
            for values in (there, cepstra)
            for moment in (
                values.mean((0, 1)),
                values.std((0, 1)),
                np.diff(values, axis=1).std((0, 1)),
                values.max((0, 1)),
                values.min((0, 1)),
            )
        ]
        expected += [correlated(there, lag) for lag in moments.LAGS]
        np.testing.assert_allclose(row, np.concatenate(expected), rtol=1e-4, atol=1e-4)


def test_batch_mates_change_nothing_and_a_constant_sound_has_no_deviation() -> None:
    windows = heard()
    alone = moments.moments(tf.constant(windows[1:2, :1]))[0]
    np.testing.assert_allclose(moments.moments(tf.constant(windows))[1], alone, rtol=1e-5, atol=1e-5)
    constant = moments.moments(tf.fill([1, 2, FRAMES, 8], -40.0)).numpy()[0]
    np.testing.assert_allclose(constant[:8], -40)
    np.testing.assert_allclose(constant[8:24], 0, atol=1e-4)
    np.testing.assert_allclose(constant[24:40], -40)
    np.testing.assert_allclose(constant[-48:], 0, atol=1e-4)


def test_what_ticks_is_told_from_what_crackles_by_what_comes_later() -> None:
    generator = np.random.default_rng(0)
    beats = np.where(np.arange(64) % 8 == 0, 0.0, -60.0)
    levels = np.stack([beats, generator.permutation(beats)])
    windows = np.broadcast_to(levels[:, None, :, None], (2, 1, 64, BANDS)).astype(np.float32)
    ticking, crackling = moments.moments(tf.constant(windows)).numpy()[:, -48:].reshape(2, 6, 8)
    assert (ticking[3] > 0.8).all(), "eight frames later it ticks again"
    assert (crackling[3] < 0.4).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_scikit_learn(classes: int) -> None:
    windows = heard((2,) * 30)
    targets = np.arange(30) % classes
    rows = moments.moments(tf.constant(windows)).numpy().astype(np.float64)
    # The last class has no sound.
    fitted = moments.fit(rows, targets, classes + 1)
    layer = Linear(BANDS, classes + 1, fitted)
    logits = layer(tf.constant(windows)).numpy()
    standard = (rows - rows.mean(0)) / np.maximum(rows.std(0), 0.01)
    oracle = LogisticRegression(C=moments.STRENGTH, max_iter=1000).fit(standard, targets)
    expected = oracle.predict_proba(standard)
    np.testing.assert_allclose(tf.nn.softmax(logits[:, :classes]), expected, atol=1e-3)
    assert (logits.argmin(1) == classes).all()
    assert not layer.trainable_variables
    again = Linear.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(tf.constant(windows)), logits)


def test_one_class_alone_has_nothing_to_tell_apart() -> None:
    assert moments.fit(np.zeros((4, 3)), np.ones(4, np.int64), 2) == {}


def test_the_network_is_trained_alone_and_blended_by_validation() -> None:
    keras.utils.set_random_seed(1)
    examples = planted.sounds(9, 0)
    targets = np.int32([example.label for example in examples])
    splits = ["train"] * 6 + ["validation"] * 3
    frame = pd.DataFrame({"split": splits, "target": targets})
    plans = {most: replace(planted.sound_blueprint(wide=most), frame=frame, fitted={}) for most in (0, 5, 6)}
    fits = {
        most: audio_classification.fit(plan, [each.raw for each in examples[:6]])
        for most, plan in plans.items()
    }
    # Of more sounds than that, the network learns alone.
    assert fits[0] == fits[5] == {name: fits[6][name] for name in ("mean", "deviation")}
    plan = replace(plans[6], fitted=fits[6])
    built = audio_classification.build(plan)
    windows = built.featurizer(tf.constant([each.raw for each in examples]))
    described = moments.moments(windows).numpy()
    assert plan.fitted["moments"] == moments.fit(described[:6], targets[:6], 3)
    deep, wide = built.phases[0].model(windows, training=False), built.model.get_layer("wide")(windows)
    np.testing.assert_allclose(wide, Linear(24, 3, plan.fitted["moments"])(windows), atol=1e-5)
    assert built.calibrate is not None
    built.calibrate([])
    np.testing.assert_allclose(built.model(windows, training=False), (deep + wide) / 2, atol=1e-5)
    built.calibrate([(windows[6:].numpy(), targets[6:])])
    shares = blend.choose(
        deep.numpy()[6:],
        wide.numpy()[6:],
        targets[6:],
        audio_classification.EQUAL,
        audio_classification.DOUBT,
    )
    np.testing.assert_allclose(
        built.model(windows, training=False), shares[0] * deep + shares[1] * wide, atol=1e-5
    )
    assert built.settle is not None
    built.settle([(windows[:4].numpy(), targets[:4]), (windows[4:].numpy(), targets[4:])])
    whole = Linear(24, 3, moments.fit(described, targets, 3))(windows)
    np.testing.assert_allclose(built.model.get_layer("wide")(windows), whole, atol=1e-4)
    # The weights of the two stay those of examples that neither had seen.
    np.testing.assert_allclose(
        built.model(windows, training=False), shares[0] * deep + shares[1] * whole, atol=1e-4
    )
