"""Piano rolls of notes, and the loss of what a network says of them."""

import numpy as np
import tensorflow as tf

from features.targets.notes import LOWEST, PADDING
from models.networks.sounds.notes import (
    FRAME,
    HELD,
    ONSET,
    TRANSCRIPTION,
    Thresholds,
    in_frames,
    note_loss,
    rolls,
)


def notes(*rows: tuple[float, ...], most: int = 4) -> np.ndarray:
    padded = np.full((1, most, 4), PADDING, np.float32)
    padded[0, : len(rows)] = rows
    return padded


def test_seconds_become_frames_and_padding_stays() -> None:
    framed = in_frames(notes((0.5, 1.0, 60, 64), most=2), 0.25)
    assert framed.tolist() == [[[2, 4, 60, 64], [PADDING] * 4]]


def test_notes_are_drawn_where_they_begin_and_sound() -> None:
    given = notes(
        (2.7, 5.2, LOWEST, 127), (4.0, 4.1, LOWEST + 87, 64), (-3.0, 1.0, LOWEST + 5, 64), (8, 30, 60, 1)
    )
    begins, sounds, loudness = (roll.numpy()[0] for roll in rolls(tf.constant(given), 10))
    assert begins.shape == sounds.shape == loudness.shape == (10, 88)
    assert np.argwhere(begins).tolist() == [[2, 0], [3, 0], [4, 87], [5, 87], [8, 39], [9, 39]]
    assert np.flatnonzero(sounds[:, 0]).tolist() == [2, 3, 4]
    assert np.flatnonzero(sounds[:, 87]).tolist() == [4]
    assert np.flatnonzero(sounds[:, 5]).tolist() == [0]
    assert np.flatnonzero(sounds[:, 39]).tolist() == [8, 9]
    np.testing.assert_allclose(loudness[[2, 4, 8], [0, 87, 39]], [1.0, 64 / 127, 1 / 127], rtol=1e-6)


def test_a_key_struck_again_sounds_on_and_begins_twice() -> None:
    begins, sounds, loudness = (roll.numpy()[0] for roll in rolls(notes((1, 4, 60, 20), (4, 7, 60, 100)), 10))
    assert np.flatnonzero(sounds[:, 39]).tolist() == [1, 2, 3, 4, 5, 6]
    assert np.flatnonzero(begins[:, 39]).tolist() == [1, 2, 4, 5]
    np.testing.assert_allclose(loudness[[1, 4], 39], [20 / 127, 100 / 127])


def said(frames: int, given: np.ndarray, sure: float) -> np.ndarray:
    """Outputs of a network that knows the notes."""
    begins, sounds, loudness = (roll.numpy() for roll in rolls(tf.constant(given), frames))
    loud = np.log(np.clip(loudness, 1e-4, 1 - 1e-4) / (1 - np.clip(loudness, 1e-4, 1 - 1e-4)))
    held = sure * (2 * sounds - 1)
    return np.stack([sure * (2 * begins - 1), held, loud, held], axis=2).astype(np.float32)


def test_the_loss_is_that_of_numpy_and_frames_beyond_a_take_do_not_count() -> None:
    given = notes((2, 5, 60, 100), (4, 8, 72, 50))
    outputs = np.random.default_rng(0).normal(0, 1, (1, 10, 4, 88)).astype(np.float32)
    begins, sounds, loudness = (roll.numpy()[0] for roll in rolls(tf.constant(given), 10))
    onset, frame, loud = (1 / (1 + np.exp(-outputs[0, :, row].astype(np.float64))) for row in range(3))
    entropies = -3 * begins * np.log(onset) - (1 - begins) * np.log(1 - onset)
    entropies += -sounds * np.log(frame) - (1 - sounds) * np.log(1 - frame) + begins * (loud - loudness) ** 2
    wanted = entropies.sum(axis=1).mean()
    loss = note_loss(3.0)
    np.testing.assert_allclose(loss(tf.constant(given), tf.constant(outputs)), [wanted], rtol=1e-5)
    longer = np.pad(outputs, [(0, 0), (0, 7), (0, 0), (0, 0)], constant_values=np.nan)
    np.testing.assert_allclose(loss(tf.constant(given), tf.constant(longer)), [wanted], rtol=1e-5)


def test_metrics_are_those_of_who_knows_and_of_who_does_not() -> None:
    given = notes((2, 5, 60, 100), (4, 8, 72, 50))
    knowing = tf.constant(said(10, given, 5.0))
    for name, row in (("onset_f1", ONSET), ("frame_f1", FRAME)):
        metric = TRANSCRIPTION.metrics[name]
        assert metric(tf.constant(given), knowing).numpy().tolist() == [1.0]
        silent = knowing.numpy()
        silent[:, :, row] = -1
        assert metric(tf.constant(given), tf.constant(silent)).numpy().tolist() == [0.0]


def test_thresholds_move_logits_and_do_not_train() -> None:
    layer = Thresholds()
    outputs = np.random.default_rng(0).normal(0, 1, (1, 2, 3, 88)).astype(np.float32)
    np.testing.assert_array_equal(layer(outputs), outputs[:, :, [0, 1, 2, 1]])
    layer.logits.assign([1.0, -2.0, 0.5])
    moved = layer(outputs).numpy() - outputs[:, :, [0, 1, 2, 1]]
    np.testing.assert_allclose(moved[0, 1, :, 7], [-1.0, 2.0, 0.0, -0.5], atol=1e-6)
    assert layer(outputs).shape[2] == HELD + 1
    assert layer.trainable_variables == []
