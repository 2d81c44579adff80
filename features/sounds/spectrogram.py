"""Samples to log-mel spectrograms and MFCC, in the graph, equal to librosa's."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: librosa's: the least power, and so the decibels of silence.
AMIN = 1e-10
SILENCE = -100.0


@keras.saving.register_keras_serializable("servable")
class LogMel(keras.Layer):
    """Turn samples into decibels on the mel scale, or into MFCC.

    The names, defaults and meaning of the arguments are those of ``librosa.feature.melspectrogram``,
    ``librosa.power_to_db`` (ref 1, amin 1e-10) and ``librosa.feature.mfcc``.

    Args:
        sample_rate: Hz.
        n_fft: samples of one Fourier transform.
        win_length: samples under the window, at most n_fft; None for n_fft.
        hop_length: samples from frame to frame; None for a quarter of win_length.
        window: name for ``scipy.signal.get_window``.
        n_mels: bands.
        fmin: Hz of the lowest band.
        fmax: Hz of the highest; None for half the sample rate.
        center: whether frame t is centred at t * hop_length, with silence beyond both ends.
        power: of the magnitude: 2 for power, 1 for energy.
        top_db: decibels below a sound's maximum at which the rest is cut off; None for no cut.
        n_mfcc: coefficients of the cosine transform over the bands; 0 gives the bands themselves.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: str = "hann",
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        *,
        center: bool = True,
        power: float = 2.0,
        top_db: float | None = 80.0,
        n_mfcc: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "float32"} | options))
        self.sample_rate, self.n_fft = sample_rate, n_fft
        self.win_length = win_length or n_fft
        self.hop_length = hop_length or self.win_length // 4
        self.window, self.n_mels, self.fmin, self.fmax = window, n_mels, fmin, fmax
        self.center, self.power, self.top_db, self.n_mfcc = center, power, top_db, n_mfcc
        if not 1 <= self.win_length <= n_fft or self.hop_length < 1 or n_mfcc > n_mels:
            raise ValueError(
                "LogMel takes 1 <= win_length <= n_fft, hop_length >= 1 and n_mfcc <= n_mels; got "
                f"win_length {self.win_length}, n_fft {n_fft}, hop_length {self.hop_length}, "
                f"n_mfcc {n_mfcc}, n_mels {n_mels}"
            )
        self._constants()
        self.built = True

    def _constants(self) -> None:
        # Imported where it is used: librosa brings in numba and scikit-learn.
        from librosa import filters, util  # type: ignore[attr-defined]

        shape = filters.get_window(self.window, self.win_length, fftbins=True)
        self._window = util.pad_center(shape, size=self.n_fft).astype(np.float32)
        bands = filters.mel(
            sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels, fmin=self.fmin, fmax=self.fmax
        )
        self._bands = bands.T.astype(np.float32)
        self._paired_bands = np.repeat(self._bands, 2, axis=0)
        if self.n_mfcc:
            import scipy.fft

            transform = scipy.fft.dct(np.eye(self.n_mels), axis=0, type=2, norm="ortho")
            self._cosines = transform[: self.n_mfcc].T.astype(np.float32)

    @property
    def bands(self) -> int:
        """How many values one frame has."""
        return self.n_mfcc or self.n_mels

    @property
    def centres(self) -> Any:
        """Hz of the middle of each mel band, float32 [n_mels]: where librosa's triangles are highest."""
        from librosa import mel_frequencies

        edges = mel_frequencies(self.n_mels + 2, fmin=self.fmin, fmax=self.fmax or self.sample_rate / 2)
        return edges[1:-1].astype(np.float32)

    @property
    def floor(self) -> float:
        """Decibels of silence before `top_db` cuts."""
        return SILENCE

    def frames(self, samples: Any) -> Any:
        """Return the number of frames of a number of samples."""
        return 1 + (samples if self.center else samples - self.n_fft) // self.hop_length

    def call(self, samples: Any) -> Any:
        """Turn samples, float32 [batch, time], into decibels, [batch, frames, bands]."""
        return self.finish(self.mel_power(samples))

    def mel_power(self, samples: Any) -> Any:
        """Turn samples [batch, time] into the power in each band [batch, frames, n_mels]."""
        if self.center:
            samples = tf.pad(samples, [[0, 0], [self.n_fft // 2, self.n_fft // 2]])
        framed = tf.signal.frame(samples, self.n_fft, self.hop_length) * self._window
        # Real and imaginary parts side by side, squared in one go and added up by the matrix product:
        # abs, or taking the two apart, costs more than the transform itself.
        parts = tf.square(tf.bitcast(tf.signal.rfft(framed), tf.float32))
        if self.power == 2.0:
            return tf.linalg.matmul(tf.reshape(parts, self._flat(parts)), self._paired_bands)
        magnitude = tf.pow(tf.reduce_sum(parts, -1), self.power / 2)
        return tf.linalg.matmul(magnitude, self._bands)

    def _flat(self, parts: Any) -> Any:
        return tf.concat([tf.shape(parts)[:2], [2 * (self.n_fft // 2 + 1)]], 0)

    def finish(self, power: Any, present: Any = None) -> Any:
        """Turn powers into decibels or MFCC.

        Args:
            power: [batch, frames, n_mels].
            present: bool [batch, frames]: which frames belong to the sound, the rest becomes silence;
                None for all.
        """
        levels = decibels(power, present, self.top_db)
        return tf.linalg.matmul(levels, self._cosines) if self.n_mfcc else levels

    def compute_output_spec(self, samples: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        time = samples.shape[1]
        frames = None if time is None else self.frames(time)
        return keras.KerasTensor((samples.shape[0], frames, self.bands), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own: tuple[str, ...] = ("sample_rate", "n_fft", "win_length", "hop_length", "window", "n_mels")
        own += ("fmin", "fmax", "center", "power", "top_db", "n_mfcc")
        return super().get_config() | {name: getattr(self, name) for name in own}


def decibels(power: Any, present: Any, top_db: float | None) -> Any:
    """Turn powers [batch, frames, bands] into decibels.

    Args:
        power: at least 0.
        present: bool [batch, frames]: which frames belong to the sound, the rest is silence; None for all.
        top_db: range below the loudest of each sound; None for no limit.
    """
    levels = (10 / np.log(10.0)) * tf.math.log(tf.maximum(power, AMIN))
    if present is not None:
        levels = tf.where(present[..., tf.newaxis], levels, SILENCE)
    if top_db is not None:
        levels = tf.maximum(levels, tf.reduce_max(levels, axis=(1, 2), keepdims=True) - top_db)
    return levels
