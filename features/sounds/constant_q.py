"""Constant-Q spectrograms in the graph, as librosa computes them: bins at equal distances in pitch.

The filters are librosa's, with none of their spectra left out (``sparsity=0``). As there, each octave is
heard at half the sample rate of the one above it; only the filters that halve the rate are others.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.sounds.spectrogram import SILENCE, decibels

#: Taps of the filter before the rate is halved, and the share of the rate at which it cuts.
_TAPS, _CUT = 255, 0.25


@keras.saving.register_keras_serializable("servable")
class ConstantQ(keras.Layer):
    """Turn samples into decibels at bins of constant Q, those of the magnitudes of ``librosa.cqt``.

    Args:
        sample_rate: Hz.
        hop_length: samples from frame to frame; a multiple of 2 to the power of the octaves less one.
        fmin: Hz of the lowest bin.
        octaves: how many there are; the highest bin must lie below half the sample rate.
        bins_per_octave: of them.
        top_db: decibels below a sound's maximum at which the rest is cut off; None for no cut.
    """

    center = True
    #: Hz: the lowest rate at which eight octaves from the lowest key of a piano on can be heard.
    LOWEST_RATE = 14_100

    def __init__(
        self,
        sample_rate: int,
        hop_length: int = 256,
        fmin: float = 27.5,
        octaves: int = 8,
        bins_per_octave: int = 36,
        *,
        top_db: float | None = 80.0,
        **options: Any,
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "float32"} | options))
        self.sample_rate, self.hop_length, self.fmin = sample_rate, hop_length, fmin
        self.octaves, self.bins_per_octave, self.top_db = octaves, bins_per_octave, top_db
        if hop_length % 2 ** (octaves - 1) or fmin * 2**octaves > sample_rate / 2:
            raise ValueError(
                "ConstantQ takes a hop_length that is a multiple of 2 to the power of octaves - 1, and bins "
                f"below half the rate; got hop_length {hop_length}, {octaves} octaves from {fmin} Hz at "
                f"{sample_rate} Hz"
            )
        self._constants()
        self.built = True

    def _constants(self) -> None:
        # Imported where they are used: librosa brings in numba and scikit-learn.
        import scipy.signal
        from librosa import filters  # type: ignore[attr-defined]

        each = self.bins_per_octave
        spread = 2.0 ** (2.0 / each)
        top = self.fmin * 2.0 ** (self.octaves - 1 + np.arange(each) / each)
        waves, lengths = filters.wavelet(
            freqs=top,
            sr=self.sample_rate,
            pad_fft=True,
            gamma=0,
            alpha=np.full(each, (spread - 1) / (spread + 1)),
        )
        # librosa multiplies spectra, which turns a filter around: its middle comes one sample later.
        waves = np.roll(waves * np.sqrt(lengths)[:, None], 1, axis=1)
        self.n_fft = waves.shape[1]
        self._filters = np.concatenate([waves.real, waves.imag]).T[:, None].astype(np.float32)
        halving = scipy.signal.firwin(_TAPS, 2 * _CUT, window=("kaiser", 9.0))
        self._halving = halving[:, None, None].astype(np.float32)

    @property
    def bands(self) -> int:
        """How many values one frame has."""
        return self.octaves * self.bins_per_octave

    @property
    def floor(self) -> float:
        """Decibels of silence before `top_db` cuts."""
        return SILENCE

    def frames(self, samples: Any) -> Any:
        """Return the number of frames of a number of samples."""
        return 1 + samples // self.hop_length

    def call(self, samples: Any) -> Any:
        """Turn samples, float32 [batch, time], into decibels, [batch, frames, bins]."""
        return self.finish(self.mel_power(samples))

    def mel_power(self, samples: Any) -> Any:
        """Turn samples [batch, time] into the power in each bin [batch, frames, bins], the lowest first."""
        count = self.frames(tf.shape(samples)[1])
        # Silence that the longest filter reaches into: what lies beside a sound in its batch must not matter.
        silence = (self.n_fft // 2 + _TAPS) << (self.octaves - 1)
        heard = tf.pad(samples, [[0, 0], [0, silence]])[..., tf.newaxis]
        octaves = []
        for octave in range(self.octaves):
            hop = self.hop_length >> octave
            padded = tf.pad(heard, [[0, 0], [self.n_fft // 2, self.n_fft // 2 + hop], [0, 0]])
            parts = tf.nn.conv1d(padded, self._filters, hop, "VALID")[:, :count]
            # An octave lower the same filter is twice as long in seconds.
            power = tf.square(parts) * 2.0**octave
            octaves.append(power[..., : self.bins_per_octave] + power[..., self.bins_per_octave :])
            around = tf.pad(heard, [[0, 0], [_TAPS // 2, _TAPS // 2 + 1], [0, 0]])
            heard = tf.nn.conv1d(around, self._halving, 2, "VALID")
        return tf.concat(octaves[::-1], axis=2)

    def finish(self, power: Any, present: Any = None) -> Any:
        """Turn powers into decibels.

        Args:
            power: [batch, frames, bins].
            present: bool [batch, frames]: which frames belong to the sound, the rest becomes silence;
                None for all.
        """
        return decibels(power, present, self.top_db)

    def compute_output_spec(self, samples: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        time = samples.shape[1]
        frames = None if time is None else self.frames(time)
        return keras.KerasTensor((samples.shape[0], frames, self.bands), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = ("sample_rate", "hop_length", "fmin", "octaves", "bins_per_octave", "top_db")
        return super().get_config() | {name: getattr(self, name) for name in own}
