"""Random changes of whole log-mel spectrograms while training: stateless, after the cache, never exported."""

from typing import Any

import tensorflow as tf
from pydantic import Field

from features.settings import Settings
from features.sounds.augmentation.windows import TO_DECIBELS
from features.sounds.featurizer import ABSENT
from features.sounds.spectrogram import AMIN, SILENCE

#: Draws that decide how one sound is changed.
_DRAWS = 48


class FrameAugmentationSettings(Settings):
    """The ``augmentation`` section of a recipe over whole sounds; every change is off by default."""

    join: float = Field(
        0.0, ge=0, le=1, description="share of the sounds that another one of the batch is put behind"
    )
    speed: float = Field(0.0, ge=0, lt=1, description="largest relative change of tempo, up or down")
    band_stretch: float = Field(
        0.0, ge=0, lt=1, description="largest relative stretch of the bands, as of other voices"
    )
    gain: float = Field(0.0, ge=0, le=60, description="largest change of loudness, up or down, in dB")
    tilt: float = Field(0.0, ge=0, le=60, description="largest slope over the bands, up or down, in dB")
    noise: float = Field(0.0, ge=0, le=1, description="share of the sounds with noise added")
    noise_snr: float = Field(20.0, description="lowest signal-to-noise ratio of that noise, in dB")
    time_masks: int = Field(0, ge=0, le=8, description="number of time masks (SpecAugment, Park et al. 2019)")
    time_mask: int = Field(20, ge=0, description="longest time mask, in frames; a tenth of the sound at most")
    band_masks: int = Field(0, ge=0, le=8, description="number of frequency masks (SpecAugment)")
    band_mask: float = Field(0.2, ge=0, le=1, description="widest frequency mask, as a share of the bands")


class FrameAugmentation:
    """Change spectrograms as the settings say, each sound by its own seed.

    Args:
        settings: what may change and how much.
        between: labels between the targets of two sounds that are joined.
    """

    def __init__(self, settings: FrameAugmentationSettings, between: tuple[int, ...] = ()) -> None:
        self.settings, self.between = settings, between
        self._changed = tf.function(self._change, reduce_retracing=True, autograph=False)

    @property
    def active(self) -> bool:
        """Whether anything may change at all."""
        return self.settings != FrameAugmentationSettings()

    def __call__(self, frames: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        """Change a batch.

        Args:
            frames: decibels, float32 [batch, frames, bands]; NaN where a sound has no frame.
            targets: labels, int32 [batch, n], -1 behind the last.
            seeds: int32 [batch, 2], one pair per sound.

        Returns:
            Frames, more or fewer of them, and targets; where sounds may be joined, with twice the places.
        """
        changed: tuple[Any, Any] = self._changed(frames, targets, seeds)
        return changed

    def _change(self, frames: Any, targets: Any, seeds: Any) -> tuple[Any, Any]:
        draws = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([_DRAWS], seed), seeds, fn_output_signature=tf.float32
        )
        lengths = present(frames)
        frames, lengths = self._stretched(frames, lengths, draws[:, :2])
        noises = tf.map_fn(
            lambda seed: tf.random.stateless_uniform(tf.shape(frames)[1:], seed + 1),
            seeds,
            fn_output_signature=tf.float32,
        )
        frames = self._louder(frames, draws[:, 2:7], noises)
        if self.settings.join:
            joined = draws[:, 7] < self.settings.join
            longest = tf.reduce_max(joined_lengths(lengths, joined, 0))
            frames, lengths = _behind(frames, lengths, joined, (), longest)
            room = 2 * (targets.shape[1] or tf.shape(targets)[1]) + len(self.between)
            targets, _ = _behind(targets, labelled(targets), joined, self.between, room)
        frames = self._masked(frames, lengths, draws[:, 8:40])
        there = tf.sequence_mask(lengths, tf.shape(frames)[1])
        return tf.where(there[..., tf.newaxis], frames, ABSENT), targets

    def _stretched(self, frames: Any, lengths: Any, draws: Any) -> tuple[Any, Any]:
        """Change tempo and stretch the bands by linear interpolation."""
        s, bands = self.settings, tf.shape(frames)[2]
        clean = tf.where(tf.math.is_nan(frames), SILENCE, frames)
        if s.band_stretch:
            wider = 1 + _spread(draws[:, 1]) * s.band_stretch
            places = wider[:, tf.newaxis] * tf.range(tf.cast(bands, tf.float32))
            moved = _between(tf.transpose(clean, [0, 2, 1]), places, tf.fill(tf.shape(lengths), bands))
            clean = tf.transpose(moved, [0, 2, 1])
        if not s.speed:
            return clean, lengths
        slower = 1 + _spread(draws[:, 0]) * s.speed
        counts = tf.cast(tf.math.ceil(tf.cast(lengths, tf.float32) * slower), tf.int32)
        places = tf.range(tf.cast(tf.reduce_max(counts), tf.float32)) / slower[:, tf.newaxis]
        return _between(clean, places, lengths), counts

    def _louder(self, frames: Any, draws: Any, noises: Any) -> Any:
        s, bands = self.settings, tf.shape(frames)[2]
        slope = tf.linspace(-0.5, 0.5, bands)
        if s.noise:
            peak = tf.reduce_max(frames, (1, 2))
            level = peak - s.noise_snr - 30 * draws[:, 2]
            level = tf.where(draws[:, 3] < s.noise, level, SILENCE)
            level = _three(level) + _three(_spread(draws[:, 4])) * 10.0 * slope
            # The power of noise in a narrow band is exponentially distributed.
            exponential = -tf.math.log(tf.maximum(1.0 - noises, 1e-7))
            power = tf.pow(10.0, frames / 10) + tf.pow(10.0, level / 10) * exponential
            frames = TO_DECIBELS * tf.math.log(tf.maximum(power, AMIN))
        frames += _three(_spread(draws[:, 0])) * s.gain
        return frames + _three(_spread(draws[:, 1])) * s.tilt * slope

    def _masked(self, frames: Any, lengths: Any, draws: Any) -> Any:
        """Set stretches of time and bands to the sound's mean."""
        s, size = self.settings, tf.shape(frames)
        if not (s.time_masks or s.band_masks):
            return frames
        there = tf.sequence_mask(lengths, size[1], tf.float32)[..., tf.newaxis]
        mean = tf.reduce_sum(frames * there, 1, keepdims=True)
        mean /= tf.maximum(tf.reduce_sum(there, 1, keepdims=True), 1.0)
        length = tf.cast(lengths, tf.float32)
        longest = tf.minimum(float(s.time_mask), length / 10)
        hidden = _stretches(draws[:, :16], s.time_masks, longest, length, size[1])[..., tf.newaxis]
        bands = tf.cast(tf.fill(tf.shape(lengths), size[2]), tf.float32)
        hidden |= _stretches(draws[:, 16:], s.band_masks, bands * s.band_mask, bands, size[2])[:, tf.newaxis]
        return tf.where(hidden, mean, frames)


def present(frames: Any) -> Any:
    """Return how many frames each sound [batch, frames, bands] has: int32 [batch]."""
    return tf.reduce_sum(tf.cast(~tf.math.is_nan(frames[..., 0]), tf.int32), 1)


def labelled(targets: Any) -> Any:
    """Return how many labels each target [batch, n] has: int32 [batch]."""
    return tf.reduce_sum(tf.cast(targets >= 0, tf.int32), 1)


def _between(values: Any, places: Any, lengths: Any) -> Any:
    """Interpolate values [batch, n, d] at places [batch, m] of the first `lengths` of them."""
    last = tf.cast(lengths - 1, tf.float32)[:, tf.newaxis]
    places = tf.minimum(places, last)
    below = tf.math.floor(places)
    share = (places - below)[..., tf.newaxis]
    low = tf.cast(below, tf.int32)
    high = tf.cast(tf.minimum(below + 1, last), tf.int32)
    first, second = (tf.gather(values, index, axis=1, batch_dims=1) for index in (low, high))
    return first * (1 - share) + second * share


def _behind(values: Any, lengths: Any, chosen: Any, between: tuple[int, ...], room: Any) -> tuple[Any, Any]:
    """Put behind the chosen rows of a batch the row before them, with labels between the two.

    Returns:
        Values [batch, room, ...], -1 behind the last, and their lengths.
    """
    gap = len(between)
    total = joined_lengths(lengths, chosen, gap)
    place = tf.range(room)[tf.newaxis]
    own = tf.clip_by_value(place + tf.zeros_like(lengths)[:, tf.newaxis], 0, tf.shape(values)[1] - 1)
    behind = tf.clip_by_value(place - lengths[:, tf.newaxis] - gap, 0, tf.shape(values)[1] - 1)
    own, theirs = (
        tf.gather(whose, index, axis=1, batch_dims=1)
        for whose, index in ((values, own), (tf.roll(values, 1, 0), behind))
    )
    result = tf.where(_like(place < lengths[:, tf.newaxis], own), own, theirs)
    for number, label in enumerate(between):
        result = tf.where(_like(place == lengths[:, tf.newaxis] + number, own), label, result)
    return tf.where(_like(tf.sequence_mask(total, room), own), result, tf.cast(-1, values.dtype)), total


def joined_lengths(lengths: Any, chosen: Any, gap: int) -> Any:
    """Return the lengths of rows [batch] of which the chosen ones have the row before them behind."""
    return tf.where(chosen, lengths + gap + tf.roll(lengths, 1, 0), lengths)


def _stretches(draws: Any, masks: int, widest: Any, length: Any, size: Any) -> Any:
    """Draw stretches of an axis: bool [batch, size].

    Args:
        draws: [batch, 2 masks or more].
        masks: how many.
        widest: of a stretch, [batch].
        length: of the axis, [batch].
        size: places of the axis.
    """
    places = tf.range(tf.cast(size, tf.float32))
    hidden = tf.zeros([tf.shape(draws)[0], size], tf.bool)
    for number in range(masks):
        width = (draws[:, 2 * number] * widest)[:, tf.newaxis]
        start = draws[:, 2 * number + 1, tf.newaxis] * (length[:, tf.newaxis] - width)
        hidden |= (places >= start) & (places < start + width)
    return hidden


def _like(flags: Any, values: Any) -> Any:
    """Give flags [batch, n] as many axes as values have."""
    return flags[..., tf.newaxis] if len(values.shape) == 3 else flags


def _spread(draws: Any) -> Any:
    """Stretch [0, 1) to [-1, 1)."""
    return 2.0 * draws - 1.0


def _three(values: Any) -> Any:
    return values[:, tf.newaxis, tf.newaxis]
