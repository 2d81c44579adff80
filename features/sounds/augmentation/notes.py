"""Random changes of windows of decibels, and of the notes in them: stateless, after the cache."""

from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import Field

from features.settings import Settings
from features.sounds.spectrogram import AMIN
from features.targets.notes import HIGHEST, LOWEST, PADDING

_TO_DECIBELS = 10 / np.log(10.0)
#: Places between which the curve of an equaliser is drawn.
_BANDS = 6


class NoteAugmentationSettings(Settings):
    """The ``augmentation`` section of music transcription; every change is off by default."""

    heard: int | None = Field(
        None, ge=1, description="windows of each take in a training step, side by side; null for all"
    )
    keys: int = Field(0, ge=0, le=24, description="largest transposition, up or down, in semitones")
    detune: float = Field(0.0, ge=0, le=1, description="largest detuning, up or down, in semitones")
    equalizer: float = Field(
        0.0, ge=0, le=30, description="deviation of a random equaliser with six bands, in dB"
    )
    noise: float = Field(0.0, ge=0, le=1, description="share of the takes with noise added")
    noise_level: tuple[float, float] = Field(
        (-75.0, -30.0), description="lowest and highest level of that noise, in dB"
    )
    reverb: float = Field(0.0, ge=0, le=1, description="share of the takes with reverberation added")


class NoteAugmentation:
    """Change windows of decibels as the settings say, each take by its own seed, and its notes with them.

    Args:
        settings: what may change and how much.
        hop: frames from window to window.
        bins_per_key: bins of a semitone; 0 where bins are not so spaced: no transposition or detuning.
        step: seconds from frame to frame.
    """

    def __init__(self, settings: NoteAugmentationSettings, hop: int, bins_per_key: int, step: float) -> None:
        self.settings, self._hop, self._bins, self._step = settings, hop, bins_per_key, step
        self._changed = tf.function(self._change, reduce_retracing=True, autograph=False)

    @property
    def active(self) -> bool:
        """Whether anything may change at all."""
        return self.settings != NoteAugmentationSettings()

    def __call__(self, windows: Any, notes: Any, seeds: Any) -> tuple[Any, Any]:
        """Change a batch.

        Args:
            windows: decibels, float32 [batch, windows, frames, bins]; NaN where there is no window.
            notes: [batch, notes, 4], onset and offset in frames; PADDING where there is none.
            seeds: int32 [batch, 2], one pair for each take.

        Returns:
            As many windows, or the fewer that are heard, and the notes as they are in these.
        """
        changed: tuple[Any, Any] = self._changed(windows, notes, seeds)
        return changed

    def _change(self, windows: Any, notes: Any, seeds: Any) -> tuple[Any, Any]:
        draws = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([32], seed), seeds, fn_output_signature=tf.float32
        )
        windows, notes = self._heard(windows, notes, draws[:, 0])
        windows, notes = self._transposed(windows, notes, draws[:, 1:3])
        windows = self._equalized(windows, draws[:, 4 : 4 + 2 * _BANDS])
        return self._roomy(windows, draws[:, 20:24], seeds), notes

    def _heard(self, windows: Any, notes: Any, draws: Any) -> tuple[Any, Any]:
        """Draw some windows of each take that follow each other."""
        if self.settings.heard is None:
            return windows, notes
        there = ~tf.math.is_nan(windows[:, :, 0, 0])
        counts = tf.reduce_sum(tf.cast(there, tf.int32), 1)
        heard = tf.minimum(self.settings.heard, tf.shape(windows)[1])
        spare = tf.maximum(counts - heard, 0)
        first = tf.minimum(tf.cast(draws * tf.cast(spare + 1, tf.float32), tf.int32), spare)
        chosen = tf.gather(windows, first[:, tf.newaxis] + tf.range(heard), axis=1, batch_dims=1)
        earlier = tf.cast(first * self._hop, tf.float32)[:, tf.newaxis]
        moved = tf.concat([notes[..., :2] - earlier[..., tf.newaxis], notes[..., 2:]], axis=2)
        return chosen, _kept(moved, notes, moved[..., 1] > 0)

    def _transposed(self, windows: Any, notes: Any, draws: Any) -> tuple[Any, Any]:
        """Move all bins up or down, between bins by interpolation; what comes in from beyond is the edge."""
        s = self.settings
        if not self._bins or not (s.keys or s.detune):
            return windows, notes
        keys = tf.floor(draws[:, 0] * (2 * s.keys + 1)) - s.keys
        moved = self._bins * (keys + _spread(draws[:, 1]) * s.detune)
        bins = tf.shape(windows)[3]
        places = tf.range(tf.cast(bins, tf.float32))[tf.newaxis] - moved[:, tf.newaxis]
        below = tf.floor(places)
        share = _windowed(places - below)
        low, high = (
            tf.gather(
                windows, tf.clip_by_value(tf.cast(below, tf.int32) + up, 0, bins - 1), axis=3, batch_dims=1
            )
            for up in (0, 1)
        )
        pitches = notes[..., 2] + keys[:, tf.newaxis]
        higher = tf.concat([notes[..., :2], pitches[..., tf.newaxis], notes[..., 3:]], axis=2)
        inside = (pitches >= LOWEST) & (pitches <= HIGHEST)
        return low + (high - low) * share, _kept(higher, notes, inside)

    def _equalized(self, windows: Any, draws: Any) -> Any:
        if not self.settings.equalizer:
            return windows
        first, second = draws[:, :_BANDS], draws[:, _BANDS:]
        normal = tf.sqrt(-2 * tf.math.log(tf.maximum(first, 1e-7))) * tf.cos(2 * np.pi * second)
        bins = tf.cast(tf.shape(windows)[3], tf.float32)
        places = tf.range(bins) * ((_BANDS - 1) / (bins - 1))
        weights = tf.maximum(
            1 - tf.abs(places[tf.newaxis] - tf.range(_BANDS, dtype=tf.float32)[:, tf.newaxis]), 0
        )
        return windows + _windowed(self.settings.equalizer * tf.linalg.matmul(normal, weights))

    def _roomy(self, windows: Any, draws: Any, seeds: Any) -> Any:
        """Add noise of the room, and its echo, to the powers."""
        s = self.settings
        if not (s.noise or s.reverb):
            return windows
        power = tf.pow(10.0, windows / 10)
        if s.reverb:
            power += _four(tf.cast(draws[:, 2] < s.reverb, tf.float32)) * self._echo(power, draws[:, 3])
        if s.noise:
            low, high = s.noise_level
            level = tf.pow(10.0, (low + draws[:, 0] * (high - low)) / 10)
            level = tf.where(draws[:, 1] < s.noise, level, 0.0)
            shape = tf.shape(windows)[1:]
            rough = tf.map_fn(
                lambda seed: tf.random.stateless_uniform(shape, seed + 7, minval=1e-6),
                seeds,
                fn_output_signature=tf.float32,
            )
            power -= _four(level) * tf.math.log(rough)
        return _TO_DECIBELS * tf.math.log(tf.maximum(power, AMIN))

    def _echo(self, power: Any, draws: Any) -> Any:
        """Let what sounded before die away, by 60 dB within 0.2 to 1 s, and 6 to 18 dB below the sound."""
        frames = tf.shape(power)[2]
        seconds = self._step * tf.range(1.0, tf.cast(frames, tf.float32))
        lasting = (0.2 + 0.8 * draws)[:, tf.newaxis]
        decay = tf.pow(10.0, -6.0 * seconds[tf.newaxis] / lasting)
        decay *= tf.pow(10.0, -0.6 - 1.2 * draws[:, tf.newaxis]) / tf.reduce_sum(decay, 1, keepdims=True)
        apart = tf.range(frames)[:, tf.newaxis] - tf.range(frames)[tf.newaxis]
        weights = tf.gather(tf.pad(decay, [[0, 0], [1, 0]]), tf.maximum(apart, 0), axis=1)
        return tf.linalg.matmul(weights[:, tf.newaxis], power)


def _kept(moved: Any, notes: Any, inside: Any) -> Any:
    """Return notes that were moved, without those that left the take."""
    kept = inside & (notes[..., 2] >= 0)
    return tf.where(kept[..., tf.newaxis], moved, PADDING)


def _spread(draws: Any) -> Any:
    """Stretch [0, 1) to [-1, 1)."""
    return 2.0 * draws - 1.0


def _windowed(values: Any) -> Any:
    """Give values [batch, bins] axes of windows and frames."""
    return values[:, tf.newaxis, tf.newaxis]


def _four(values: Any) -> Any:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
