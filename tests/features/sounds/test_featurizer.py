"""Sounds to windows: decoding in the graph, lengths, padding, statistics, and what is refused."""

import io
from functools import cache

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from features.sounds.augmentation.windows import AudioAugmentation, AudioAugmentationSettings
from features.sounds.featurizer import AudioFeaturizer, band_statistics
from features.sounds.files.decoding import wave_bytes
from features.sounds.spectrogram import LogMel

RATE = 8000
SPECTRUM = {"n_fft": 256, "hop_length": 80, "n_mels": 16}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def featurizer(**settings: object) -> AudioFeaturizer:
    return AudioFeaturizer(RATE, **({"seconds": 0.5, "spectrum": dict(SPECTRUM)} | settings))


@cache
def usual() -> AudioFeaturizer:
    """Make the one of log-mel: its graph takes half a second to build."""
    return featurizer()


@cache
def short() -> AudioFeaturizer:
    """Make one that hears two seconds at most."""
    return featurizer(max_seconds=2.0)


def test_samples_come_out_as_soundfile_reads_them() -> None:
    stereo = np.stack([noise(0.5), noise(0.5, 1)], 1)
    stream = io.BytesIO()
    soundfile.write(stream, stereo, RATE, format="WAV", subtype="PCM_16")
    windows = featurizer(features="samples")(tf.constant([stream.getvalue()])).numpy()
    expected = soundfile.read(io.BytesIO(stream.getvalue()), dtype="float32")[0].mean(1)
    np.testing.assert_allclose(windows[0, 0], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("seconds", "windows"), [(0.1, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.77, 3), (1.0, 3), (2.0, 7)]
)
def test_windows_cover_the_whole_sound(seconds: float, windows: int) -> None:
    """Windows of 0.5 s, 0.25 s apart; the last one is filled with silence."""
    features = usual()(tf.constant([wave_bytes(noise(seconds), RATE)])).numpy()[0]
    assert features.shape == (windows, 51, 16)
    whole = LogMel(RATE, **SPECTRUM)(
        (np.rint(noise(seconds) * 32768) / 32768).astype(np.float32)[np.newaxis]
    ).numpy()[0]
    silence = max(-100.0, whole.max() - 80)
    padded = np.pad(whole, ((0, 51 + 25 * windows), (0, 0)), constant_values=silence)
    for number, window in enumerate(features):
        np.testing.assert_allclose(window, padded[25 * number : 25 * number + 51], atol=1e-4)


def test_crop_takes_the_middle() -> None:
    samples = noise(2.0)
    features = featurizer(length="crop", features="samples")(tf.constant([wave_bytes(samples, RATE)]))
    assert features.shape[1] == 1
    np.testing.assert_allclose(features[0, 0], samples[6000:10000], atol=1 / 32768)


def test_batch_mates_change_nothing() -> None:
    sounds = [wave_bytes(noise(seconds, 3), RATE) for seconds in (0.2, 1.9, 0.6)]
    for output in ("log-mel", "mfcc", "samples"):
        layer = featurizer(features=output, spectrum=SPECTRUM | ({"n_mfcc": 8} if output == "mfcc" else {}))
        together = layer(tf.constant(sounds)).numpy()
        for number, sound in enumerate(sounds):
            alone = layer(tf.constant([sound])).numpy()[0]
            # A matrix product rounds a row by its place: to the bit on some processors, to a few units in
            # the last place on others.
            np.testing.assert_allclose(together[number, : len(alone)], alone, rtol=1e-6, atol=1e-5)
            if output == "samples":
                np.testing.assert_array_equal(together[number, : len(alone)], alone)
            assert np.isnan(together[number, len(alone) :]).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a WAV file"),
        (b"ID3 an mp3", "not a WAV file"),
        (wave_bytes(noise(0.5), RATE)[:30], "too short"),
        (wave_bytes(noise(3.0), RATE), "too long"),
        (wave_bytes(noise(0.5), 100), "sample rate"),
    ],
    ids=["empty", "mp3", "cut", "long", "rate"],
)
def test_what_cannot_be_heard_is_an_invalid_argument(content: bytes, words: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        short()(tf.constant([content]))


def test_band_statistics_are_those_of_all_frames() -> None:
    layer = featurizer(hop_seconds=0.5)
    sounds = [wave_bytes(noise(seconds, 5), RATE) for seconds in (0.5, 1.4, 0.9)]
    found = band_statistics(layer, iter(sounds), batch_size=2)
    frames = np.concatenate([layer(tf.constant([sound])).numpy().reshape(-1, 16) for sound in sounds])
    np.testing.assert_allclose(found["mean"], frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["deviation"], np.maximum(frames.std(0), 1), rtol=1e-4)


def changed(windows: np.ndarray, **settings: object) -> np.ndarray:
    seeds = tf.constant([[number, 7] for number in range(len(windows))], tf.int32)
    augmentation = AudioAugmentation(AudioAugmentationSettings(**settings), len(windows))
    return augmentation(tf.constant(windows), tf.range(len(windows)), seeds)[0].numpy()


def batch() -> np.ndarray:
    windows = np.random.default_rng(0).uniform(-80, 0, (6, 2, 20, 16)).astype(np.float32)
    windows[3, 1] = np.nan
    return windows


def test_augmentation_keeps_what_is_not_there() -> None:
    everything = {"time_shift": 0.2, "time_stretch": 0.2, "band_shift": 0.1, "band_stretch": 0.1, "gain": 6}
    everything |= {"tilt": 6, "noise": 1, "time_masks": 2, "band_masks": 2}
    result = changed(batch(), **everything)
    assert np.isnan(result[3, 1]).all()
    assert np.isfinite(np.delete(result.reshape(12, 20, 16), 7, 0)).all()
    np.testing.assert_array_equal(result, changed(batch(), **everything))


def test_a_step_hears_other_windows_of_a_sound_each_time_and_silence_of_none() -> None:
    windows = np.random.default_rng(0).uniform(-80, 0, (1, 5, 20, 16)).astype(np.float32)
    windows[0, 3:] = np.nan
    augmentation = AudioAugmentation(AudioAugmentationSettings(heard=2), 3)
    heard = set()
    for number in range(30):
        seeds = tf.constant([[number, 7]], tf.int32)
        result = augmentation(tf.constant(windows), tf.constant([0]), seeds)[0].numpy()
        matches = [[np.array_equal(one, whole) for whole in windows[0, :3]].index(True) for one in result[0]]
        assert len(set(matches)) == 2
        heard |= {tuple(matches)}
    assert {place for pair in heard for place in pair} == {0, 1, 2}
    np.testing.assert_array_equal(np.isnan(changed(batch(), heard=4)[:, :, 0, 0]).sum(1), [0, 0, 0, 1, 0, 0])


def test_gain_adds_the_same_everywhere() -> None:
    difference = changed(batch(), gain=6) - batch()
    for example in difference[:3]:
        assert np.ptp(example) < 1e-4
        assert np.abs(example).max() <= 6
    assert len({round(float(example[0, 0, 0]), 3) for example in difference}) == 6


def test_time_shift_moves_whole_frames() -> None:
    before, after = batch()[0, 0], changed(batch(), time_shift=0.3)[0, 0]
    moves = [shift for shift in range(-6, 7) if _moved(before, after, shift)]
    assert len(moves) == 1


def _moved(before: np.ndarray, after: np.ndarray, shift: int) -> bool:
    inner = slice(max(0, -shift), 20 - max(0, shift))
    return bool(np.allclose(after[inner], before[inner.start + shift : inner.stop + shift], atol=1e-4))


def test_masks_hide_at_most_what_they_may() -> None:
    result = changed(batch(), time_masks=1, time_mask=0.5)
    hidden = np.isclose(result, batch().mean(axis=(2, 3), keepdims=True), atol=1e-3).all(-1)
    assert 0 < hidden.sum() <= 6 * 2 * 10


def test_mixup_blends_sounds_and_targets_alike() -> None:
    mixer = AudioAugmentation(AudioAugmentationSettings(mixup=0.4), 6)
    windows = batch()
    seeds = tf.constant([[number, 1] for number in range(6)], tf.int32)
    blended, targets = (each.numpy() for each in mixer(tf.constant(windows), tf.range(6), seeds))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    for number in (1, 2, 5):
        share = targets[number, number]
        assert 0.5 <= share <= 1
        expected = share * windows[number] + (1 - share) * windows[number - 1]
        np.testing.assert_allclose(blended[number], expected, atol=1e-3)
    assert np.isnan(blended[3, 1]).all()
