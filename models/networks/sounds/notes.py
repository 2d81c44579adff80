"""What a network says of the notes of a take: for each frame and key whether it begins, sounds, and how loud.

Outputs are [batch, frames, 4, keys]: logits of a beginning and of sounding, loudness before a sigmoid, and
the logit of sounding on: the second with a threshold of its own. They are NaN where a take has no frame. What
hears one window gives the first three. Targets are notes [batch, notes, 4]: onset and offset in frames, pitch
and velocity, as in `features.targets.notes`.
"""

from typing import Any

import keras
import tensorflow as tf

from features.targets.notes import KEYS, LOWEST
from models.objective import Objective, PerExample

ONSET, FRAME, LOUDNESS, HELD = range(4)
#: Frames that a beginning lasts.
_BEGINNING = 2
_LOUDEST = 127.0


def in_frames(notes: Any, step: float) -> Any:
    """Turn the onsets and offsets of encoded notes [..., 4] from seconds into frames, each `step` seconds."""
    there = notes[..., 2:3] >= 0
    return tf.where(there, notes / tf.constant([step, step, 1.0, 1.0]), notes).numpy()


def rolls(notes: Any, frames: Any) -> tuple[Any, Any, Any]:
    """Draw notes as piano rolls.

    Args:
        notes: [batch, notes, 4], in frames.
        frames: how many there are.

    Returns:
        Where keys are struck, where they sound, and how loudly they were struck where they were, from 0 to 1:
        float32 [batch, frames, keys] each.
    """
    batch, count = tf.shape(notes)[0], tf.shape(notes)[1]
    key = tf.cast(notes[..., 2], tf.int32) - LOWEST
    there = (notes[..., 2] >= 0) & (key >= 0) & (key < KEYS)
    # The frames before and after the stroke are its beginning: on average they are neither early nor late.
    begin = tf.cast(tf.floor(notes[..., 0]), tf.int32)
    end = tf.maximum(tf.cast(tf.round(notes[..., 1]), tf.int32), begin + 1)
    row = tf.repeat(tf.range(batch)[:, tf.newaxis], count, axis=1)

    def scattered(frame: Any, values: Any, chosen: Any) -> Any:
        places = tf.stack([row, frame, key], axis=2)
        chosen = chosen & there & (frame >= 0) & (frame <= frames)
        size = tf.stack([batch, frames + 1, KEYS])
        return tf.scatter_nd(tf.boolean_mask(places, chosen), tf.boolean_mask(values, chosen), size)[:, :-1]

    ones = tf.ones_like(notes[..., 0])
    inside = end > 0
    struck = [scattered(begin + late, ones, inside) for late in range(_BEGINNING)]
    louder = [scattered(begin + late, notes[..., 3] / _LOUDEST, inside) for late in range(_BEGINNING)]
    changes = scattered(tf.maximum(begin, 0), ones, inside) - scattered(tf.minimum(end, frames), ones, inside)
    beginnings = tf.add_n(struck)
    loudness = tf.math.divide_no_nan(tf.add_n(louder), beginnings)
    sounding = tf.cumsum(changes, axis=1) > 0.5
    return tf.minimum(beginnings, 1.0), tf.cast(sounding, tf.float32), loudness


def present(outputs: Any) -> Any:
    """Return which frames of outputs [batch, frames, rows, keys] a take has: bool [batch, frames]."""
    return ~tf.math.is_nan(outputs[:, :, 0, 0])


def _over_frames(values: Any, there: Any) -> Any:
    """Average [batch, frames] over the frames that are there."""
    weights = tf.cast(there, tf.float32)
    return tf.reduce_sum(values * weights, 1) / tf.maximum(tf.reduce_sum(weights, 1), 1.0)


def note_loss(onset_weight: float) -> PerExample:
    """Make the loss of notes: the cross-entropies of beginning and sounding, and the error of the loudness.

    Each is the sum over the keys, averaged over the frames of a take. Args:
        onset_weight: of a beginning beside a frame without one.
    """

    def loss(targets: Any, outputs: Any) -> Any:
        there = present(outputs)
        begins, sounds, loudness = rolls(targets, tf.shape(outputs)[1])
        onset, frame, loud, *_ = tf.unstack(tf.where(there[..., None, None], outputs, 0.0), axis=2)
        of_onsets = tf.nn.weighted_cross_entropy_with_logits(begins, onset, onset_weight)
        of_frames = tf.nn.sigmoid_cross_entropy_with_logits(sounds, frame)
        of_loudness = begins * tf.square(tf.sigmoid(loud) - loudness)
        return _over_frames(tf.reduce_sum(of_onsets + of_frames + of_loudness, 2), there)

    return loss


def _f1(row: int) -> PerExample:
    """Make the F1 of one kind of frame of each take, at a probability of a half."""

    def f1(targets: Any, outputs: Any) -> Any:
        there = tf.cast(present(outputs), tf.float32)[..., tf.newaxis]
        truth = rolls(targets, tf.shape(outputs)[1])[row] * there
        heard = tf.cast(outputs[:, :, row] > 0, tf.float32)
        both = tf.reduce_sum(truth * heard, [1, 2])
        return tf.math.divide_no_nan(2 * both, tf.reduce_sum(truth + heard, [1, 2]))

    return f1


TRANSCRIPTION = Objective(
    loss=lambda settings: note_loss(settings.onset_weight),
    measured_loss=note_loss(1.0),
    metrics={"onset_f1": _f1(ONSET), "frame_f1": _f1(FRAME)},
    best="onset_f1",
    higher_is_better=True,
    report="test/note_f1",
)


@keras.saving.register_keras_serializable("servable")
class Thresholds(keras.Layer):
    """Move logits so that 0 is the threshold that was chosen after training; before, do nothing."""

    def build(self, shape: Any) -> None:
        """Make the thresholds of a beginning, of sounding, and of sounding on."""
        self.logits = self.add_weight(shape=(3,), initializer="zeros", trainable=False, name="thresholds")

    def call(self, outputs: Any) -> Any:
        """Move outputs [batch, frames, 3, keys], and add a fourth row."""
        onset, frame, loudness = tf.unstack(outputs, axis=2)
        begins, sounds, held = tf.unstack(self.logits)
        return tf.stack([onset - begins, frame - sounds, loudness, frame - held], axis=2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, frames, 4, keys]."""
        return (*shape[:2], 4, shape[3])
