"""Networks over a constant-Q spectrogram: what a key sounds like is the same a semitone higher."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from features.targets.notes import KEYS

#: Bins of a semitone, and of the 88 keys.
BINS_PER_KEY = 3
KEY_BINS = BINS_PER_KEY * KEYS
#: Bins from a tone to its octave below, itself, and its harmonics 2 to 7, at 36 bins an octave.
SEMITONE_THIRDS = (-36, 0, 36, 57, 72, 84, 93, 101)
#: Keys from a tone to others that have harmonics in common with it.
RELATED = (-24, -19, -12, 12, 19, 24, 28)


@keras.saving.register_keras_serializable("servable")
class Normalized(keras.Layer):
    """Bring each window's decibels to [0, 1]: [n, frames, bins] to [n, frames, bins, 1]."""

    def call(self, decibels: Any) -> Any:
        """Subtract the least value, and divide by the largest."""
        above = decibels - tf.reduce_min(decibels, axis=(1, 2), keepdims=True)
        return tf.math.divide_no_nan(above, tf.reduce_max(above, axis=(1, 2), keepdims=True))[..., tf.newaxis]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with one channel."""
        return (*shape, 1)


@keras.saving.register_keras_serializable("servable")
class Stacked(keras.Layer):
    """Put bins that are so far apart into the channels of one: [n, frames, bins, c] to [..., shifts * c].

    Args:
        shifts: distances in bins; beyond the spectrum is 0.
        bins: the lowest ones, which are kept; None for all.
    """

    def __init__(self, shifts: Sequence[int], bins: int | None = KEY_BINS, **options: Any) -> None:
        super().__init__(**options)
        self.shifts, self.bins = tuple(shifts), bins

    def call(self, maps: Any) -> Any:
        """Shift the maps, and join them."""
        bins = self.bins or maps.shape[2]
        return tf.concat([shifted(maps, shift)[:, :, :bins] for shift in self.shifts], axis=3)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [n, frames, bins, shifts * c]."""
        return (*shape[:2], self.bins or shape[2], len(self.shifts) * (shape[3] or 0))

    def get_config(self) -> dict[str, Any]:
        """Return the layer's settings."""
        return super().get_config() | {"shifts": self.shifts, "bins": self.bins}


def shifted(maps: Any, shift: int) -> Any:
    """Return the maps [n, frames, bins, c] in which each bin is the one so far above it, 0 beyond them."""
    if shift >= 0:
        return tf.pad(maps[:, :, shift:], [[0, 0], [0, 0], [0, shift], [0, 0]])
    return tf.pad(maps[:, :, :shift], [[0, 0], [0, 0], [-shift, 0], [0, 0]])


def listen(maps: Any, channels: int, dilations: Sequence[int]) -> Any:
    """Mix what keys with common harmonics say, and then each key's frames: residual dilated convolutions.

    Args:
        maps: [n, frames, keys, c].
        channels: of the result.
        dilations: frames between the taps of each convolution of five.

    Returns:
        [n, frames, keys, channels].
    """
    mixed = layers.LayerNormalization()(layers.Conv2D(channels, 1, activation="relu")(maps))
    related = Stacked((0, *RELATED), bins=None)(mixed)
    mixed = layers.Conv2D(channels, 1, activation="relu")(related)
    for number, dilation in enumerate(dilations):
        kernel = (5, 1) if number else (5, 3)
        heard = layers.Conv2D(
            channels, kernel, dilation_rate=(dilation, 1), padding="same", activation="relu"
        )(mixed)
        mixed = layers.LayerNormalization()(layers.Add()([mixed, heard]))
    return mixed


def convolutions(decibels: Any, filters: int) -> Any:
    """Listen to each key: a convolution over the harmonics of its three bins and of those around them.

    Args:
        decibels: [n, frames, bins], 36 bins an octave from the lowest key on.
        filters: of the convolution.

    Returns:
        [n, frames, keys, filters].
    """
    stacked = Stacked(SEMITONE_THIRDS)(Normalized()(decibels))
    return layers.Conv2D(filters, (5, 7), strides=(1, 3), padding="same", activation="relu")(stacked)


def said(maps: Any) -> Any:
    """Turn maps [n, frames, keys, c] into logits and loudness, [n, frames, 3, keys]."""
    # A key is struck in one of three hundred frames, and sounds in one of twenty.
    ends = [
        layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(bias))(maps)
        for bias in (-6.0, -3.0, 0.0)
    ]
    return layers.Permute((1, 3, 2))(layers.Concatenate()(ends))


@keras.saving.register_keras_serializable("servable")
class Rolls(keras.Layer):
    """Add corrections [n, frames, keys, 3] to two logits [n, frames, keys, 1]: [n, frames, 3, keys]."""

    def call(self, onset: Any, note: Any, corrections: Any) -> Any:
        """Add the corrections of onset and note; the third channel is the loudness."""
        before = tf.concat([onset, note, tf.zeros_like(note)], axis=3)
        return tf.transpose(before + corrections, [0, 1, 3, 2])

    def compute_output_shape(
        self, onset_shape: Any, note_shape: Any, corrections_shape: Any
    ) -> tuple[int | None, ...]:
        """Return [n, frames, 3, keys]."""
        return (*corrections_shape[:2], corrections_shape[3], corrections_shape[2])


def corrected(onset: Any, note: Any, maps: Any) -> Any:
    """Correct logits of onsets and notes by what maps [n, frames, keys, c] say; at first all alike."""
    small = keras.initializers.RandomNormal(stddev=0.01)
    # Networks trained with smoothed labels expect a note in one of ten frames without any.
    fewer = keras.initializers.Constant(-1.5)
    correction = layers.Conv2D(3, 1, kernel_initializer=small, bias_initializer=fewer)
    return Rolls(name="rolls")(onset, note, correction(maps))
