"""Mistakes in preparing a sound."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr
import tensorflow as tf

from features.sounds import wave
from flows.diagnosis.mistake import Change, Mistake, combined

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)
SCALES = (
    Change(
        "integers of 16 bits", "divide by 32768: samples are from -1 to 1", lambda samples: samples * 32_768
    ),
)


def mistakes(content: bytes, raw: bytes, featurizer: Any) -> list[Mistake]:
    """Return what a client may make of a sound: float32 samples [time].

    Args:
        content: of the file.
        raw: what is sent of it: a WAV file.
        featurizer: of the model.
    """
    rate = featurizer.sample_rate
    right = wave.decode(tf.constant(raw), rate, featurizer.max_seconds).numpy()
    samples, own = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    bases = [Mistake((), "", right), *_rates(samples.mean(axis=1), own, rate), *_channels(samples, own, rate)]
    return combined(bases, SCALES)


def _rates(samples: np.ndarray, own: int, rate: int) -> Iterator[Mistake]:
    """Yield the samples at other rates, which the model takes for its own."""
    for other in dict.fromkeys((own, *RATES)):
        if other != rate:
            todo = f"resample to {rate:,} Hz"
            yield Mistake((f"sample rate of {other:,} Hz",), todo, soxr.resample(samples, own, other))


def _channels(samples: np.ndarray, own: int, rate: int) -> Iterator[Mistake]:
    """Yield one channel alone, and channels in turn, where there are several."""
    if samples.shape[1] == 1:
        return
    todo = "send the mean of the channels"
    at_rate = soxr.resample(samples, own, rate)
    yield Mistake(("stereo (the first channel alone)",), todo, at_rate[:, 0])
    yield Mistake(("stereo (channels in turn)",), todo, at_rate.reshape(-1))
    yield Mistake(("stereo (the sum of the channels)",), todo, at_rate.sum(axis=1))


def laid_out(given: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Bring samples to [time]; say where they have channels or padding."""
    samples = np.squeeze(given)
    if samples.ndim == 2:
        channels = samples if samples.shape[1] <= 8 else samples.T
        return channels.mean(axis=1), f"stereo ({channels.shape[1]} channels): send the mean of the channels"
    heard = np.flatnonzero(samples)
    if len(samples) > len(right) and len(heard):
        if heard[-1] < len(right):
            return samples[
                : len(right)
            ], "padding (silence behind): send the sound alone, or from_samples one by one"
        if heard[0] >= len(samples) - len(right) > 0:
            return samples[-len(right) :], "padding (silence before): send the sound alone"
    return samples, None


def network_input(values: np.ndarray, featurizer: Any) -> Any:
    """Return what the network is given for samples."""
    return featurizer.from_samples(tf.constant(values[np.newaxis], tf.float32))
