"""Changes of windows of decibels, and of the notes in them."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.sounds.augmentation.notes import NoteAugmentation, NoteAugmentationSettings
from features.targets.notes import PADDING

FRAMES, BINS, HOP, STEP = 20, 264, 14, 0.01
NOTES = np.array([[[3, 9, 60, 64], [30, 50, 22, 64], [40, 44, 108, 64], [PADDING] * 4]], np.float32)


@cache
def augmentation(**settings: Any) -> NoteAugmentation:
    return NoteAugmentation(NoteAugmentationSettings(**settings), HOP, 3, STEP)


def changed(windows: np.ndarray, seed: int = 0, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    change = augmentation(**settings)
    assert change.active
    seeds = tf.constant([[seed, 1]] * len(windows), tf.int32)
    given = np.repeat(NOTES, len(windows), axis=0)
    new, notes = change(tf.constant(windows), tf.constant(given), seeds)
    return new.numpy(), notes.numpy()


def windows(count: int = 4, takes: int = 1) -> np.ndarray:
    """Windows in which a tone sounds at the bin of each note, over silence at -60 dB."""
    made = np.full((takes, count, FRAMES, BINS), -60.0, np.float32)
    for number in range(count):
        for onset, offset, pitch, _ in NOTES[0, :3]:
            begin, end = (int(np.clip(one - HOP * number, 0, FRAMES)) for one in (onset, offset))
            made[:, number, begin:end, 3 * (int(pitch) - 21)] = 0.0
    return made


def test_without_settings_nothing_is_active() -> None:
    assert not NoteAugmentation(NoteAugmentationSettings(), HOP, 3, STEP).active


def test_keys_move_with_the_bins_and_those_that_leave_the_keyboard_are_left_out() -> None:
    moves = set()
    for seed in range(12):
        new, notes = changed(windows(), seed, keys=2)
        keys = int(notes[0, 0, 2]) - 60
        moves.add(keys)
        assert (new[0, 0, 3:9, 3 * (39 + keys)] == 0).all()
        assert new[0, 0, 3:9, 3 * 39] == pytest.approx(0 if keys == 0 else -60)
        assert (notes[0, 1, 2] == 22 + keys) == (keys >= -1)
        assert (notes[0, 2, 2] == 108 + keys) == (keys <= 0)
        assert (notes[0, 3] == PADDING).all()
    assert moves == {-2, -1, 0, 1, 2}


def test_detuning_moves_bins_and_no_notes() -> None:
    new, notes = changed(windows(), detune=0.3)
    np.testing.assert_array_equal(notes, NOTES)
    tone = new[0, 0, 4, 3 * 39 - 2 : 3 * 39 + 3] + 60
    assert 0 < tone.max() < 60
    assert tone.sum() == pytest.approx(60, abs=1e-3)


def test_windows_that_are_heard_follow_each_other_and_notes_move_with_them() -> None:
    whole = windows(5)
    whole[0, 4] = np.nan
    firsts = set()
    for seed in range(20):
        new, notes = changed(whole, seed, heard=2)
        assert new.shape == (1, 2, FRAMES, BINS)
        first = next(n for n in range(3) if np.array_equal(new[0], whole[0, n : n + 2]))
        firsts.add(first)
        moved = NOTES[0, :3] - np.array([HOP * first, HOP * first, 0, 0])
        np.testing.assert_array_equal(notes[0, :3], np.where(moved[:, 1:2] > 0, moved, PADDING))
    assert firsts == {0, 1, 2}


def test_noise_lies_between_its_levels_and_absent_windows_stay_absent() -> None:
    silent = np.full((1, 2, FRAMES, BINS), -100.0, np.float32)
    silent[0, 1] = np.nan
    new, _ = changed(silent, noise=1.0, noise_level=(-50.0, -40.0))
    mean = 10 * np.log10(np.mean(10 ** (new[0, 0] / 10)))
    assert -50.5 < mean < -39.5
    assert np.isnan(new[0, 1]).all()


def test_an_echo_dies_away_after_the_sound_and_never_before_it() -> None:
    sound = np.full((1, 1, FRAMES, BINS), -100.0, np.float32)
    sound[0, 0, 5] = 0.0
    new, _ = changed(sound, reverb=1.0)
    # Silence of -100 dB echoes as well.
    np.testing.assert_allclose(new[0, 0, :6], sound[0, 0, :6], atol=0.1)
    tail = new[0, 0, 6:, 0]
    assert (np.diff(tail) < 0).all()
    assert -40 < tail[0] < -6


def test_an_equaliser_is_the_same_in_every_frame_and_smooth() -> None:
    new, _ = changed(windows(), equalizer=6.0)
    curve = new - windows()
    np.testing.assert_allclose(curve, np.broadcast_to(curve[:, :1, :1], curve.shape), atol=1e-4)
    assert np.ptp(curve) > 1
    assert np.abs(np.diff(curve[0, 0, 0])).max() < 1


def test_the_same_seed_changes_alike_whatever_the_batch() -> None:
    settings = {"keys": 2, "equalizer": 3.0, "noise": 0.5, "reverb": 0.5, "heard": 2}
    alone, notes = changed(windows(), 7, **settings)
    both, all_notes = changed(windows(takes=2), 7, **settings)
    np.testing.assert_allclose(both, np.repeat(alone, 2, axis=0), atol=1e-4)
    np.testing.assert_array_equal(all_notes, np.repeat(notes, 2, axis=0))
