"""Log-mel, MFCC and resampling in the graph against librosa on real and made sounds."""

import io
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sounds import check, wave
from features.sounds.spectrogram import LogMel

#: Decibels: the largest difference anywhere, and within 60 dB of a sound's maximum.
ANYWHERE, LOUD = 5e-3, 1e-3
CONFIGURATIONS = (
    {"n_fft": 256, "n_mels": 40},
    {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64, "fmin": 20.0},
    {"n_fft": 1024, "hop_length": 256, "window": "hamming", "power": 1.0},
    {"n_fft": 2048, "center": False},
)


def sounds(rate: int) -> list[np.ndarray]:
    """A chirp with noise, a click in silence, and noise, 0.7 s each."""
    random = np.random.default_rng(0)
    time = np.arange(int(0.7 * rate)) / rate
    chirp = 0.5 * np.sin(2 * np.pi * (100 + 0.3 * rate * time) * time) + random.normal(0, 1e-3, len(time))
    click = np.zeros(len(time))
    click[len(time) // 3] = 0.9
    return [each.astype(np.float32) for each in (chirp, click, random.normal(0, 0.2, len(time)))]


def wanted(samples: np.ndarray, rate: int, **settings: object) -> np.ndarray:
    """What librosa makes of the samples: [frames, bands]."""
    top_db = settings.pop("top_db", 80.0)
    settings = {"hop_length": int(settings.get("win_length", settings["n_fft"])) // 4} | settings
    power = librosa.feature.melspectrogram(y=samples, sr=rate, **settings)
    return librosa.power_to_db(power, top_db=top_db).T


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("settings", CONFIGURATIONS, ids=str)
def test_log_mel_is_librosas(rate: int, settings: dict) -> None:
    layer = LogMel(rate, **settings)
    for samples in sounds(rate):
        expected = wanted(samples, rate, **settings)
        found = layer(samples[np.newaxis]).numpy()[0]
        assert found.shape == expected.shape
        difference = np.abs(found - expected)
        assert difference.max() <= ANYWHERE
        assert difference[expected > expected.max() - 60].max() <= LOUD


def test_log_mel_is_librosas_on_real_sounds(shared: Path) -> None:
    with zipfile.ZipFile(next((shared / "data" / "audio_instruments").glob("*.zip"))) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))[::60]
        real = [soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")[0] for name in names]
    assert len(real) == 5
    for wanted_settings in CONFIGURATIONS:
        layer = LogMel(16000, **wanted_settings)
        for samples in real:
            difference = np.abs(
                layer(samples[np.newaxis]).numpy()[0] - wanted(samples, 16000, **wanted_settings)
            )
            assert difference.max() <= ANYWHERE


def test_mfcc_is_librosas() -> None:
    layer = LogMel(16000, n_fft=512, hop_length=160, n_mels=40, n_mfcc=13)
    for samples in sounds(16000):
        expected = librosa.feature.mfcc(y=samples, sr=16000, n_mfcc=13, n_fft=512, hop_length=160, n_mels=40)
        np.testing.assert_allclose(layer(samples[np.newaxis]).numpy()[0], expected.T, atol=ANYWHERE)


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"n_fft": 256, "win_length": 512}, {"hop_length": -1}, {"n_mfcc": 200}):
        with pytest.raises(ValueError, match="LogMel takes"):
            LogMel(16000, **wrong)


@pytest.mark.parametrize(
    ("found", "rate"), [(44100, 16000), (48000, 8000), (8000, 16000), (11025, 16000), (22050, 16000)]
)
def test_resampling_is_librosas(found: int, rate: int) -> None:
    """Tones differ by less than -60 dB, noise up to the Nyquist frequency by less than -40 dB."""
    resample = tf.function(lambda samples: wave.resample(samples, tf.constant(found), rate))
    chirp, _, noise = sounds(found)
    fade = np.hanning(len(chirp)).astype(np.float32)
    tone = fade * np.sin(2 * np.pi * 0.2 * min(found, rate) * np.arange(len(chirp)) / found)
    for samples, tolerance in ((tone.astype(np.float32), 1e-3), (noise * fade, 1e-2)):
        expected = librosa.resample(samples, orig_sr=found, target_sr=rate)
        got = resample(samples).numpy()
        assert got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)
        np.testing.assert_array_equal(check.resample(samples, found, rate), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([8000, 11025, 44100, 12345]), st.sampled_from([8000, 16000]))
def test_resampled_lengths_are_librosas(samples: int, found: int, rate: int) -> None:
    result = wave.resample(tf.zeros([samples]), tf.constant(found), rate)
    assert result.shape[0] == int(np.ceil(samples * rate / found))
    assert not np.any(result.numpy())
