"""Whole spectrograms: every frame once, and batch mates."""

import numpy as np
import tensorflow as tf

from features.sounds.files.decoding import wave_bytes
from features.sounds.frames import FrameFeaturizer
from features.sounds.spectrogram import LogMel

RATE = 8000
SPECTRUM = {"n_fft": 256, "hop_length": 80, "n_mels": 16}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def test_frames_are_those_of_the_whole_sound_and_others_are_absent() -> None:
    layer = FrameFeaturizer(RATE, spectrum=SPECTRUM)
    raws = [wave_bytes(noise(seconds), RATE) for seconds in (0.5, 1.3, 0.02)]
    together = layer(tf.constant(raws)).numpy()
    assert together.shape == (3, 131, 16)
    assert (~np.isnan(together[..., 0])).sum(1).tolist() == [51, 131, 3]
    rounded = (np.rint(noise(0.5) * 32768) / 32768).astype(np.float32)
    np.testing.assert_allclose(together[0, :51], LogMel(RATE, **SPECTRUM)(rounded[np.newaxis])[0], atol=1e-4)
    for place, raw in enumerate(raws):
        alone = layer(tf.constant([raw])).numpy()[0]
        np.testing.assert_allclose(together[place, : len(alone)], alone, atol=1e-5)
    assert layer.frame_seconds == 0.01
