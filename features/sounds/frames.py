"""Encoded sounds to log-mel spectrograms of their whole length, in the graph.

docs/featurizers.md describes the spectrum; here it is not cut into windows.
"""

from typing import Any

import keras
import tensorflow as tf
from pydantic import Field

from features.settings import Settings
from features.sounds.featurizer import ABSENT, AudioFeaturizer
from features.spec import FeatureSpec


@keras.saving.register_keras_serializable("servable")
class FrameFeaturizer(AudioFeaturizer):
    """Decode sounds, bring them to one rate, and compute the log-mel spectrum of every frame.

    A batch has as many frames as its longest sound; those a shorter one lacks are NaN.

    Args:
        sample_rate: Hz.
        max_seconds: longer sounds are refused.
        spectrum: arguments of :class:`features.sounds.spectrogram.LogMel` beside the rate.
    """

    revision = 1

    def __init__(
        self,
        sample_rate: int,
        max_seconds: float = 600.0,
        spectrum: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sample_rate, max_seconds=max_seconds, spectrum=spectrum, **options)

    @property
    def spec(self) -> FeatureSpec:
        """Frames of [bands], float32; NaN where a sound has none."""
        return FeatureSpec((None, self.log_mel.bands), "float32", ABSENT)

    @property
    def frame_seconds(self) -> float:
        """Seconds between two frames."""
        return self.log_mel.hop_length / self.sample_rate

    def from_samples(self, samples: Any, lengths: Any | None = None) -> Any:
        """Compute the frames of samples at the sample rate: float32 [batch, frames, bands].

        Args:
            samples: float32 [batch, time] in [-1, 1]; beyond a sound's end anything.
            lengths: int32 [batch], samples of each sound; None for all of them.
        """
        size = tf.shape(samples)
        lengths = tf.fill(size[:1], size[1]) if lengths is None else lengths
        samples = tf.where(tf.sequence_mask(lengths, size[1]), samples, 0.0)
        power = self.log_mel.mel_power(tf.pad(samples, [[0, 0], [0, self._lacking(samples)]]))
        present = tf.sequence_mask(tf.maximum(self.log_mel.frames(lengths), 1), tf.shape(power)[1])
        decibels = self.log_mel.finish(power, present)
        return tf.ensure_shape(tf.where(present[..., tf.newaxis], decibels, ABSENT), [None, *self.spec.shape])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        windows = ("seconds", "hop_seconds", "length", "features")
        return {name: value for name, value in super().get_config().items() if name not in windows}


class FrameFeaturizerSettings(Settings):
    """The spectrum; the names are librosa's, and the sample rate is that of the data section."""

    n_fft: int = Field(512, ge=32, le=16_384, description="samples per Fourier transform")
    win_length: int | None = Field(
        None, ge=16, description="length of the window function in samples; null for n_fft"
    )
    hop_length: int = Field(160, ge=1, description="samples between frames")
    window: str = Field("hann", description="window function")
    n_mels: int = Field(64, ge=4, le=512, description="number of mel bands")
    fmin: float = Field(0.0, ge=0, description="lowest frequency in Hz")
    fmax: float | None = Field(
        None, gt=0, description="highest frequency in Hz; null for half the sample rate"
    )
    center: bool = Field(True, description="whether frames are centred, with padding at both ends")
    power: float = Field(2.0, gt=0, description="exponent of the magnitude; 2 for power")
    top_db: float | None = Field(80.0, gt=0, description="dynamic range below the maximum, in dB")
