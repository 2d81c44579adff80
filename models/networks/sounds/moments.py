"""A linear model of what a sound is like over time, as a layer: it needs few examples.

Means, deviations and extremes of bands and of cepstral coefficients say what a sound is made of, deviations
of their changes how lively it is, autocorrelations whether it ticks, rolls or crackles; where in the sound
something is, they do not say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.networks import windows as each_window

#: Cepstral coefficients that are described, as of speech.
COEFFICIENTS = 20
#: Of autocorrelations: groups of neighbouring bands, and frames from one place to the other.
GROUPS, LAGS = 8, (1, 2, 4, 8, 16, 32)
#: Variance, in dB squared, that is added to what an autocorrelation is divided by: of silence it is 0.
_STILL = 1.0
#: Inverse strength of the L2 penalty, over standardised moments.
STRENGTH = 0.1
#: Smallest deviation, in dB or of a correlation, that a moment is divided by.
_LEAST = 0.01
#: Digits after the point that are kept of weights: what is beyond them depends on the machine.
_DIGITS = 6


def moments(windows: Any) -> Any:
    """Describe sounds by what their frames are like, wherever they are.

    Args:
        windows: decibels, float32 [batch, windows, frames, bands]; NaN where there is no window.

    Returns:
        float32 [batch, d], d as of `size`. Of the bands: mean, deviation, largest and smallest value over all
        frames, and deviation of the changes from frame to frame. The same of the cepstral coefficients, which
        are librosa's MFCC (an orthonormal cosine transform over the bands). Of groups of bands the
        autocorrelation at each lag within a window; 0 where windows are not longer than the lag.
    """
    there = each_window.present(windows)
    frames = tf.where(there[..., tf.newaxis, tf.newaxis], windows, 0.0)
    cosines, groups = _cosines(windows.shape[-1]), _groups(windows.shape[-1])
    parts = [_described(values, there) for values in (frames, tf.tensordot(frames, cosines, 1))]
    return tf.concat([*parts, _autocorrelation(tf.tensordot(frames, groups, 1), there)], 1)


def size(bands: int) -> int:
    """Return how many moments sounds of so many bands have."""
    return 5 * (bands + min(COEFFICIENTS, bands)) + len(LAGS) * min(GROUPS, bands)


def _described(values: Any, there: Any) -> Any:
    changes = values[:, :, 1:] - values[:, :, :-1]
    mean = _mean(values, there)
    deviations = [
        tf.sqrt(_mean(tf.square(part - _aligned(middle)), there))
        for part, middle in ((values, mean), (changes, _mean(changes, there)))
    ]
    absent = ~there[..., tf.newaxis, tf.newaxis]
    most = tf.reduce_max(tf.where(absent, values.dtype.min, values), (1, 2))
    least = tf.reduce_min(tf.where(absent, values.dtype.max, values), (1, 2))
    return tf.concat([mean, *deviations, most, least], 1)


def _autocorrelation(values: Any, there: Any) -> Any:
    """Correlate [batch, windows, frames, d] with what comes some frames later: [batch, lags d]."""
    centred = values - _aligned(_mean(values, there))
    spread = _mean(tf.square(centred), there) + _STILL
    frames = values.shape[2]
    parts = [
        _mean(centred[:, :, lag:] * centred[:, :, :-lag], there) / spread
        if lag < frames
        else tf.zeros_like(spread)
        for lag in LAGS
    ]
    return tf.concat(parts, 1)


def _mean(values: Any, there: Any) -> Any:
    """Average [batch, windows, frames, d] over the frames of windows that are there: [batch, d]."""
    return each_window.mean(tf.where(there[..., tf.newaxis], tf.reduce_mean(values, 2), 0.0), there)


def _aligned(vectors: Any) -> Any:
    return vectors[:, tf.newaxis, tf.newaxis]


def _cosines(bands: int) -> np.ndarray:
    """Return the orthonormal cosine transform of type 2, float32 [bands, coefficients]."""
    import scipy.fft

    rows = scipy.fft.dct(np.eye(bands), axis=0, type=2, norm="ortho")
    return rows[: min(COEFFICIENTS, bands)].T.astype(np.float32)


def _groups(bands: int) -> np.ndarray:
    """Return what averages neighbouring bands, float32 [bands, groups]."""
    parts = np.array_split(np.eye(bands, dtype=np.float32), min(GROUPS, bands))
    return np.stack([part.mean(0) for part in parts], axis=1)


def fit(rows: np.ndarray, classes: np.ndarray, labels: int) -> dict[str, Any]:
    """Fit multinomial logistic regression to standardised moments.

    Args:
        rows: moments [sounds, d].
        classes: number of each sound's class.
        labels: how many classes there are.

    Returns:
        Plain data: ``centre`` and ``scale`` [d], ``kernel`` [d][labels], ``bias`` [labels]. A class without
        a sound is the least likely one. Empty where there are fewer than two classes to tell apart.
    """
    from sklearn.linear_model import LogisticRegression

    present = np.unique(classes)
    if len(present) < 2:
        return {}
    rows = np.asarray(rows, np.float64)
    centre, scale = rows.mean(0), np.maximum(rows.std(0), _LEAST)
    fitted = LogisticRegression(C=STRENGTH, max_iter=300).fit((rows - centre) / scale, classes)
    # Of two classes scikit-learn has the difference alone.
    weights, biases = fitted.coef_, fitted.intercept_
    if len(present) == 2:
        weights, biases = np.stack([-weights[0], weights[0]]) / 2, np.array([-biases[0], biases[0]]) / 2
    kernel, bias = np.zeros((rows.shape[1], labels)), np.full(labels, np.log(0.5 / len(rows)))
    kernel[:, present], bias[present] = weights.T, biases
    values = {"centre": centre, "scale": scale, "kernel": kernel, "bias": bias}
    return {name: np.round(value, _DIGITS).tolist() for name, value in values.items()}


@keras.saving.register_keras_serializable("servable")
class Linear(keras.Layer):
    """Score sounds by their moments: windows [batch, windows, frames, bands] to logits [batch, classes].

    Nothing here is trained with a network.

    Args:
        bands: of the windows.
        classes: how many there are.
        fitted: as `fit` returns it; None leaves the scores at 0. It is not kept in the config: a layer made
            again gets its weights from where it was saved.
    """

    def __init__(
        self, bands: int, classes: int, fitted: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "name": "moments"} | options))
        self.bands, self.classes = bands, classes
        shapes = {"centre": (), "scale": (), "kernel": (classes,)}
        self.parts = {
            name: self.add_weight((size(bands), *further), "zeros", trainable=False, name=name)
            for name, further in shapes.items()
        }
        self.parts["bias"] = self.add_weight((classes,), "zeros", trainable=False, name="bias")
        self.assign(fitted or {"scale": np.ones(size(bands))})
        self.built = True

    def assign(self, fitted: Mapping[str, Any]) -> None:
        """Take weights as `fit` returns them; nothing changes where they are empty."""
        for name, value in fitted.items():
            self.parts[name].assign(np.asarray(value, np.float32))

    def refit(self, batches: Sequence[tuple[Any, Any]]) -> None:
        """Fit anew to batches of windows and classes."""
        rows = np.concatenate([moments(tf.constant(windows)).numpy() for windows, _ in batches])
        self.assign(fit(rows, np.concatenate([classes for _, classes in batches]), self.classes))

    def call(self, windows: Any) -> Any:
        """Return the logits."""
        rows = (moments(windows) - self.parts["centre"]) / self.parts["scale"]
        return tf.linalg.matmul(rows, self.parts["kernel"]) + self.parts["bias"]

    def compute_output_spec(self, windows: Any) -> keras.KerasTensor:
        """Return the result's shape and dtype."""
        return keras.KerasTensor((windows.shape[0], self.classes), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the sizes."""
        return super().get_config() | {"bands": self.bands, "classes": self.classes}
