"""Random changes of log-mel windows while training: stateless, after the cache, never exported."""

from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import Field

from features.settings import Settings
from features.sounds.spectrogram import AMIN, SILENCE

TO_DECIBELS = 10 / np.log(10.0)


class AudioAugmentationSettings(Settings):
    """The ``augmentation`` section of an audio recipe; every change is off by default."""

    heard: int | None = Field(
        None, ge=1, description="random windows of each sound in a training step; null for all"
    )
    time_shift: float = Field(0.0, ge=0, lt=1, description="largest shift in time, in window lengths")
    time_stretch: float = Field(0.0, ge=0, lt=1, description="largest relative change of tempo, up or down")
    band_shift: float = Field(0.0, ge=0, lt=1, description="largest shift of the bands, as a share of them")
    band_stretch: float = Field(0.0, ge=0, lt=1, description="largest relative stretch of the bands")
    gain: float = Field(0.0, ge=0, le=60, description="largest change of loudness, up or down, in dB")
    tilt: float = Field(0.0, ge=0, le=60, description="largest slope over the bands, up or down, in dB")
    noise: float = Field(0.0, ge=0, le=1, description="share of the windows with white noise added")
    noise_snr: float = Field(20.0, description="lowest signal-to-noise ratio of that noise, in dB")
    time_masks: int = Field(0, ge=0, le=8, description="number of time masks (SpecAugment, Park et al. 2019)")
    time_mask: float = Field(0.2, ge=0, le=1, description="longest time mask, in window lengths")
    band_masks: int = Field(0, ge=0, le=8, description="number of frequency masks (SpecAugment)")
    band_mask: float = Field(0.2, ge=0, le=1, description="widest frequency mask, as a share of the bands")
    mixup: float = Field(0.0, ge=0, le=4, description="alpha of mixup (Zhang et al. 2018); 0 for none")


class AudioAugmentation:
    """Change windows of log-mel as the settings say, each sound by its own seed.

    Args:
        settings: what may change and how much.
        classes: number of classes, of which blended sounds have shares.
    """

    def __init__(self, settings: AudioAugmentationSettings, classes: int) -> None:
        self.settings, self.classes = settings, classes
        self._changed = tf.function(self._change, reduce_retracing=True, autograph=False)
        self._mixed = tf.function(self._mix, reduce_retracing=True, autograph=False)

    @property
    def active(self) -> bool:
        """Whether anything may change at all."""
        return self.settings != AudioAugmentationSettings()

    def __call__(self, windows: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        """Change a batch.

        Args:
            windows: decibels, float32 [batch, windows, frames, bands]; NaN where there is no window.
            targets: classes, int32 [batch].
            seeds: int32 [batch, 2], one pair per sound.

        Returns:
            As many windows, or the fewer that are heard. The targets, or shares of the classes float32
            [batch, classes] where sounds are blended.
        """
        if self.active:
            windows = self._changed(windows, seeds)
        if not self.settings.mixup:
            return windows, targets
        return self.mix(windows, tf.one_hot(targets, self.classes), seeds)

    def mix(self, windows: Any, shares: Any, seeds: Any) -> tuple[Any, Any]:
        """Blend each sound with the batch's one before it, in decibels, and their targets likewise.

        Args:
            windows: as above.
            shares: float32 [batch, classes], what of each class a sound is.
            seeds: int32 [batch, 2].

        Returns:
            The blended windows and shares; a window that only one of the two has stays as it is.
        """
        return self._mixed(windows, shares, seeds)

    def _mix(self, windows: Any, shares: Any, seeds: Any) -> tuple[Any, Any]:
        alpha = self.settings.mixup
        first = _each(seeds, lambda seed: tf.random.stateless_gamma([2], seed + 3, alpha))
        share = first[:, 0] / tf.maximum(tf.reduce_sum(first, 1), 1e-6)
        share = tf.maximum(share, 1 - share)
        partner = tf.roll(windows, 1, 0)
        partner = tf.where(tf.math.is_nan(partner), windows, partner)
        factor = share[:, tf.newaxis, tf.newaxis, tf.newaxis]
        blended = shares * share[:, tf.newaxis] + tf.roll(shares, 1, 0) * (1 - share[:, tf.newaxis])
        return windows * factor + partner * (1 - factor), blended

    def _change(self, windows: Any, seeds: Any) -> Any:
        windows = self._heard(windows, seeds)
        draws = _each(seeds, lambda seed: tf.random.stateless_uniform([48], seed))
        windows = self._shift(windows, draws[:, :4])
        windows = self._loudness(windows, draws[:, 4:8])
        windows = self._masked(windows, draws[:, 8:24], 2, self.settings.time_masks, self.settings.time_mask)
        return self._masked(windows, draws[:, 24:40], 3, self.settings.band_masks, self.settings.band_mask)

    def _heard(self, windows: Any, seeds: Any) -> Any:
        """Draw a few windows of each sound, in a random order; those that are there come first."""
        if self.settings.heard is None:
            return windows
        count = tf.shape(windows)[1]
        draws = _each(seeds, lambda seed: tf.random.stateless_uniform([count], seed + 5))
        absent = tf.math.is_nan(windows[:, :, 0, 0])
        places = tf.argsort(tf.where(absent, 1 + draws, draws))[:, : self.settings.heard]
        return tf.gather(windows, places, axis=1, batch_dims=1)

    def _shift(self, windows: Any, draws: Any) -> Any:
        """Shift and stretch over time and bands in one bilinear resampling; edges are repeated."""
        s = self.settings
        if not (s.time_shift or s.time_stretch or s.band_shift or s.band_stretch):
            return windows
        shape = tf.shape(windows)
        frames, bands = tf.cast(shape[2], tf.float32), tf.cast(shape[3], tf.float32)
        slower = 1 + _spread(draws[:, 0]) * s.time_stretch
        wider = 1 + _spread(draws[:, 1]) * s.band_stretch
        later = tf.round(_spread(draws[:, 2]) * s.time_shift * frames)
        higher = _spread(draws[:, 3]) * s.band_shift * bands
        zero = tf.zeros_like(later)
        # Output to input: x (bands) = wider u + higher, y (frames) = slower v + later.
        rows = tf.stack([wider, zero, higher, zero, slower, later, zero, zero], 1)
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.reshape(windows, [-1, shape[2], shape[3], 1]),
            transforms=tf.repeat(rows, shape[1], 0),
            output_shape=shape[2:4],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        return tf.reshape(moved, shape)

    def _loudness(self, windows: Any, draws: Any) -> Any:
        s = self.settings
        if s.gain:
            windows += _four(_spread(draws[:, 0])) * s.gain
        if s.tilt:
            windows += _four(_spread(draws[:, 1])) * s.tilt * tf.linspace(-0.5, 0.5, tf.shape(windows)[3])
        if s.noise:
            peak = tf.reduce_max(tf.where(tf.math.is_nan(windows), SILENCE, windows), (1, 2, 3))
            level = peak - s.noise_snr - 30 * draws[:, 2]
            level = tf.where(draws[:, 3] < s.noise, level, SILENCE)
            power = tf.pow(10.0, windows / 10) + _four(tf.pow(10.0, level / 10))
            windows = TO_DECIBELS * tf.math.log(tf.maximum(power, AMIN))
        return windows

    def _masked(self, windows: Any, draws: Any, axis: int, masks: int, widest: float) -> Any:
        """Set stretches of one axis to the window's mean."""
        size = tf.shape(windows)[axis]
        places = tf.range(tf.cast(size, tf.float32)) / tf.cast(size, tf.float32)
        hidden = tf.zeros([tf.shape(windows)[0], size], tf.bool)
        for number in range(masks):
            width = draws[:, 2 * number, tf.newaxis] * widest
            start = draws[:, 2 * number + 1, tf.newaxis] * (1 - width)
            hidden |= (places >= start) & (places < start + width)
        if not masks:
            return windows
        mean = tf.reduce_mean(windows, axis=(2, 3), keepdims=True)
        shape = [-1, 1, size, 1] if axis == 2 else [-1, 1, 1, size]
        # NaN stays NaN: the mean of a window that is not there is not there either.
        return tf.where(tf.reshape(hidden, shape), mean, windows)


def _each(seeds: Any, draw: Any) -> Any:
    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)


def _spread(draws: Any) -> Any:
    """Stretch [0, 1) to [-1, 1)."""
    return 2.0 * draws - 1.0


def _four(values: Any) -> Any:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
