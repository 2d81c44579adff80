"""Encoded sounds to windows of log-mel spectrograms, in the graph: the same in training and serving.

docs/featurizers.md describes the result, and how close it is to librosa.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from features.settings import Auto, Settings, Survey
from features.sounds import wave
from features.sounds.constant_q import ConstantQ
from features.sounds.spectrogram import SILENCE, LogMel
from features.spec import FeatureSpec

Features = Literal["log-mel", "mfcc", "constant-q", "samples"]

#: What stands where a shorter example of a batch has no window: never a number, so never a sound.
ABSENT = float("nan")
_SIDE_BY_SIDE = 8


@keras.saving.register_keras_serializable("servable")
class AudioFeaturizer(keras.Layer):
    """Decode sounds, bring them to one rate, and cut them into windows of equal length.

    A sound has as many windows as it needs: the last one is filled with silence. A batch has as many as
    its longest sound; the windows a shorter one lacks are NaN, so that they are told from silence.

    Args:
        sample_rate: Hz.
        seconds: length of a window.
        hop_seconds: from window to window; None for half a window.
        length: ``windows`` uses the whole sound; ``crop`` uses one window from its middle.
        features: ``log-mel``, ``mfcc`` or ``constant-q`` gives [frames, bands] for each window; ``samples``
            gives [samples].
        max_seconds: longer sounds are refused.
        spectrum: arguments of :class:`features.sounds.spectrogram.LogMel`, or for ``constant-q`` of
            :class:`features.sounds.constant_q.ConstantQ`, beside the rate.
    """

    #: Increase it whenever the same configuration produces other values: caches then compute them again.
    revision = 1

    def __init__(
        self,
        sample_rate: int,
        seconds: float = 1.0,
        hop_seconds: float | None = None,
        length: Literal["windows", "crop"] = "windows",
        features: Features = "log-mel",
        max_seconds: float = 600.0,
        spectrum: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "float32"} | options))
        self.sample_rate, self.seconds, self.length, self.features = sample_rate, seconds, length, features
        self.hop_seconds = hop_seconds or seconds / 2
        self.max_seconds, self.spectrum = max_seconds, dict(spectrum or {})
        coefficients = self.spectrum.pop("n_mfcc", 20) if features == "mfcc" else 0
        self.log_mel = (
            ConstantQ(sample_rate, **self.spectrum)
            if features == "constant-q"
            else LogMel(sample_rate, n_mfcc=coefficients, **self.spectrum)
        )
        if features == "mfcc":
            self.spectrum["n_mfcc"] = coefficients
        step = 1 if features == "samples" else self.log_mel.hop_length
        self.window = max(1, round(seconds * sample_rate / step)) + (features != "samples")
        self.hop = max(1, round(self.hop_seconds * sample_rate / step))
        self.step = step
        self._convert_input_args = False
        self._graph = tf.function(
            self._featurize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """Windows of [frames, bands] or [samples], float32; NaN where a sound has no window."""
        inner = (self.window,) if self.features == "samples" else (self.window, self.log_mel.bands)
        return FeatureSpec((None, *inner), "float32", ABSENT)

    @property
    def padding(self) -> float:
        """What fills a row up to the longest of its batch."""
        return ABSENT

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        own = {key: value for key, value in self.get_config().items() if key not in _NAMES}
        decisive = [type(self).__name__, self.revision, own]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]

    def call(self, sounds: Any) -> Any:
        """Turn WAV files, string [batch], into windows, float32 [batch, windows, ...].

        Raises:
            tf.errors.InvalidArgumentError: a sound is no 16-bit WAV file, empty, or too long.
        """
        return self._graph(sounds)

    def _featurize(self, sounds: Any) -> Any:
        decoded = tf.map_fn(
            lambda content: wave.decode(content, self.sample_rate, self.max_seconds),
            sounds,
            fn_output_signature=tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0),
            parallel_iterations=_SIDE_BY_SIDE,
        )
        return self.from_samples(decoded.to_tensor(), tf.cast(decoded.row_lengths(), tf.int32))

    def from_samples(self, samples: Any, lengths: Any | None = None) -> Any:
        """Cut samples at the sample rate into windows.

        Args:
            samples: float32 [batch, time] in [-1, 1]; beyond a sound's end anything.
            lengths: int32 [batch], samples of each sound; None for all of them.
        """
        size = tf.shape(samples)
        lengths = tf.fill(size[:1], size[1]) if lengths is None else lengths
        if self.length == "crop":
            samples, lengths = self._middle(samples, lengths)
        samples = tf.where(tf.sequence_mask(lengths, tf.shape(samples)[1]), samples, 0.0)
        if self.features == "samples":
            return self._windows(samples, lengths, 0.0)
        frames = self.log_mel.frames(lengths)
        power = self.log_mel.mel_power(tf.pad(samples, [[0, 0], [0, self._lacking(samples)]]))
        # Silence is part of the picture up to the end of the last window, and counts as such for top_db.
        need = self._needed(frames)
        power = tf.pad(power, [[0, 0], [0, tf.maximum(0, need - tf.shape(power)[1])], [0, 0]])
        present = tf.sequence_mask(frames, tf.shape(power)[1])
        return self._windows(self.log_mel.finish(power, present), frames, 0.0)

    def _middle(self, samples: Any, lengths: Any) -> tuple[Any, Any]:
        length = max(1, round(self.seconds * self.sample_rate))
        start = tf.maximum(0, (lengths - length) // 2)
        places = start[:, tf.newaxis] + tf.range(length)[tf.newaxis]
        places = tf.minimum(places, tf.maximum(0, tf.shape(samples)[1] - 1))
        return tf.gather(samples, places, axis=1, batch_dims=1), tf.minimum(lengths, length)

    def _lacking(self, samples: Any) -> Any:
        """Return how many samples short of one Fourier transform a sound is."""
        return 0 if self.log_mel.center else tf.maximum(0, self.log_mel.n_fft - tf.shape(samples)[1])

    def counts(self, steps: Any) -> Any:
        """Return the numbers of windows of sounds with these frames or samples: int32 [batch], at least 1."""
        return 1 + tf.maximum(0, -(-(steps - self.window) // self.hop))

    def _needed(self, steps: Any) -> Any:
        return self.window + (tf.reduce_max(tf.concat([[1], self.counts(steps)], 0)) - 1) * self.hop

    def _windows(self, values: Any, steps: Any, fill: float) -> Any:
        """Cut [batch, time, ...] into [batch, windows, window, ...] and blank what a sound lacks."""
        need = self._needed(steps)
        after = tf.maximum(0, need - tf.shape(values)[1])
        edges = [[0, 0], [0, after]] + [[0, 0]] * (values.shape.rank - 2)
        padded = tf.pad(values, edges, constant_values=fill)[:, :need]
        cut = tf.signal.frame(padded, self.window, self.hop, axis=1)
        there = tf.sequence_mask(self.counts(steps), tf.shape(cut)[1])
        there = tf.reshape(there, tf.concat([tf.shape(there), [1] * (cut.shape.rank - 2)], 0))
        return tf.ensure_shape(tf.where(there, cut, ABSENT), [None, *self.spec.shape])

    def starts(self, windows: Any) -> Any:
        """Return the start of each window in seconds: float32 [windows]."""
        return tf.range(tf.cast(windows, tf.float32)) * (self.hop * self.step / self.sample_rate)

    def compute_output_spec(self, sounds: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor((sounds.shape[0], *self.spec.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = ("sample_rate", "seconds", "hop_seconds", "length", "features", "max_seconds", "spectrum")
        return super().get_config() | {name: getattr(self, name) for name in own}


_NAMES = ("name", "trainable", "dtype")


def band_statistics(
    featurizer: AudioFeaturizer,
    sounds: Any,
    batch_size: int = 64,
    watch: Callable[[Any], None] = lambda windows: None,
) -> dict[str, list[float]]:
    """Measure mean and standard deviation of each band over all frames of some sounds.

    Args:
        featurizer: gives log-mel or MFCC.
        sounds: iterable of WAV bytes, read once.
        batch_size: sounds at a time.
        watch: told the windows of each batch.

    Returns:
        ``mean`` and ``deviation`` by band; the deviation is at least 1 dB.
    """
    total, squares, count = np.zeros(1), np.zeros(1), 0
    batch: list[bytes] = []

    def add() -> None:
        nonlocal total, squares, count
        windows = featurizer(tf.constant(batch))
        watch(windows)
        values = windows.numpy().reshape(-1, featurizer.log_mel.bands)
        values = values[~np.isnan(values[:, 0])].astype(np.float64)
        total, squares = total + values.sum(0), squares + np.square(values).sum(0)
        count += len(values)
        batch.clear()

    for sound in sounds:
        batch.append(sound)
        if len(batch) == batch_size:
            add()
    if batch:
        add()
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1.0))
    return {"mean": mean.tolist(), "deviation": deviation.tolist()}


__all__ = ["ABSENT", "SILENCE", "AudioFeaturizer", "band_statistics"]


class AudioFeaturizerSettings(Settings):
    """Windows and spectrum; the names are librosa's, and the sample rate is that of the data section."""

    seconds: Annotated[float, Field(gt=0, le=60)] | Auto = Field(
        1.0,
        description="length of a window in seconds; auto: the clips' own, or as much of longer ones as fits "
        "evenly, at most 2.5",
    )
    hop_seconds: float | None = Field(
        None, gt=0, description="distance between windows in seconds; null for half a window"
    )
    length: Literal["windows", "crop"] = Field(
        "windows", description="windows: the whole sound; crop: one window from its middle"
    )
    features: Literal["log-mel", "mfcc"] = Field("log-mel", description="features computed from the spectrum")
    n_fft: Annotated[int, Field(ge=32, le=16_384)] | Auto = Field(
        512, description="samples per Fourier transform; auto: twice hop_length, and 25 ms at least"
    )
    win_length: int | None = Field(
        None, ge=16, description="length of the window function in samples; null for n_fft"
    )
    hop_length: Annotated[int, Field(ge=1)] | Auto = Field(
        128, description="samples between frames; auto: a power of two, for about 64 frames in a window"
    )
    window: str = Field("hann", description="window function")
    n_mels: Annotated[int, Field(ge=4, le=512)] | Auto = Field(
        64, description="number of mel bands; auto: 64 up to 8 kHz, fewer below a lower fmax"
    )
    fmin: float = Field(0.0, ge=0, description="lowest frequency in Hz")
    fmax: Annotated[float, Field(gt=0)] | Auto | None = Field(
        None,
        description="highest frequency in Hz; null for half the sample rate; auto: for half the rate of most "
        "recordings, if that is lower",
    )
    center: bool = Field(True, description="whether frames are centred, with padding at both ends")
    power: float = Field(2.0, gt=0, description="exponent of the magnitude; 2 for power")
    top_db: float | None = Field(80.0, gt=0, description="dynamic range below the maximum, in dB")
    n_mfcc: int = Field(20, ge=1, le=512, description="number of MFCCs, if features is mfcc")

    def adapted(self, survey: Survey) -> Self:
        """Decide windows and bands from the lengths and rates of the training split's sounds."""
        given = self.model_dump()
        for name, decide in _DECISIONS.items():
            if given[name] == "auto":
                given[name] = decide(given, survey)
        return type(self).model_validate(given)


def _seconds(given: Mapping[str, Any], survey: Survey) -> float:
    """Cut a usual clip into the fewest windows that are short enough and overlap by half."""
    clip = survey.quantile("seconds", _USUAL)
    windows = max(1, math.ceil(2 * clip / _LONGEST - 1e-6) - 1)
    return round(max(2 * clip / (windows + 1), _SHORTEST), 2)


def _hop_length(given: Mapping[str, Any], survey: Survey) -> int:
    frames = given["seconds"] * survey.rules.sample_rate / _FRAMES
    return int(2 ** max(0, round(math.log2(frames))))


def _n_fft(given: Mapping[str, Any], survey: Survey) -> int:
    least = 2 ** math.ceil(math.log2(_TRANSFORM * survey.rules.sample_rate))
    return max(32, least, 2 * int(given["hop_length"]))


def _fmax(given: Mapping[str, Any], survey: Survey) -> float | None:
    """Leave out what no usual recording has; None where that is nothing."""
    rate = survey.quantile("rate", 0.5)
    return rate / 2 if rate < survey.rules.sample_rate else None


def _n_mels(given: Mapping[str, Any], survey: Survey) -> int:
    """Keep the width of the bands: 64 up to 8 kHz."""
    from librosa import hz_to_mel

    top = given["fmax"] or survey.rules.sample_rate / 2
    return max(4, 8 * round(_BANDS / 8 * float(hz_to_mel(top) / hz_to_mel(_WIDEST))))


#: Share of the clips that one window, or a few, hold wholly.
_USUAL = 0.95
#: Shortest and longest window in seconds.
_SHORTEST, _LONGEST = 0.5, 2.5
#: Seconds of the shortest Fourier transform: it tells the lowest bands apart.
_TRANSFORM = 0.025
#: Frames in a window, about; bands up to this frequency in Hz.
_FRAMES, _BANDS, _WIDEST = 64, 64, 8000.0
#: How settings that say ``auto`` are decided, in an order in which each needs only earlier ones.
_DECISIONS: dict[str, Callable[[Mapping[str, Any], Survey], Any]] = {
    "seconds": _seconds,
    "hop_length": _hop_length,
    "n_fft": _n_fft,
    "fmax": _fmax,
    "n_mels": _n_mels,
}
