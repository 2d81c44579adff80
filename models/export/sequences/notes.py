"""From what a network says of each frame and key to a list of notes, in the graph; and its signatures."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from features.spec import RawKind
from features.targets.notes import LOWEST
from models.network import Network
from models.networks.sounds.notes import FRAME, HELD, LOUDNESS, ONSET, present

#: Frames on either side of a beginning in which there is no other one of the same key.
APART = 2
#: A note sounds on over fewer frames than this in which its key does not seem to.
GAP = 2
#: Seconds that a note lasts at least.
SHORTEST = 0.07
_LOUDEST = 127.0


def notes(outputs: Any, labels: tuple[str, ...], step: float) -> dict[str, Any]:
    """Decode outputs [batch, frames, 4, keys]; see `models.networks.sounds.notes`.

    A note begins in a frame whose onset is at least a half and the largest nearby. It ends where its key no
    longer sounds, or where the next note of the key begins.

    Args:
        outputs: of the network; 0 is the threshold.
        labels: names of the keys, the lowest first.
        step: seconds from frame to frame.

    Returns:
        ``onsets`` and ``offsets`` float32 [batch, N] in seconds, ``pitches`` int32 [batch, N], MIDI numbers,
        and ``velocities`` float32 [batch, N], 1 to 127, by onset and pitch; N is the count of the take with
        most notes, at least 1, and what a take lacks is 0. ``count`` int32 [batch]: notes of each take.
        ``roll`` uint8 [batch, frames, keys]: 1 where a key sounds, whether or not a note was heard to begin;
        ``frames`` int32 [batch]: rows of it that the take has; ``frame_seconds`` float32 [batch].
    """
    there = present(outputs)[..., tf.newaxis]
    frames = tf.reduce_sum(tf.cast(there[..., 0], tf.int32), 1)
    onset, frame, loudness, held = (
        tf.where(there, outputs[:, :, row], float("-inf")) for row in (ONSET, FRAME, LOUDNESS, HELD)
    )
    places = tf.where(begins(onset))
    ends = tf.minimum(_ends(places, held, shortest(step)), tf.cast(tf.gather(frames, places[:, 0]), tf.int64))
    velocity = _LOUDEST * tf.sigmoid(tf.gather_nd(loudness, places))
    batch, take = tf.shape(outputs)[0], tf.cast(places[:, 0], tf.int32)
    count = tf.math.unsorted_segment_sum(tf.ones_like(take), take, batch)
    number = tf.range(tf.shape(take)[0]) - tf.gather(tf.cumsum(count, exclusive=True), take)
    cells = tf.stack([take, number], 1)
    size = tf.stack([batch, tf.reduce_max(tf.concat([count, [1]], 0))])
    return {
        "onsets": tf.scatter_nd(cells, tf.cast(places[:, 1], tf.float32) * step, size),
        "offsets": tf.scatter_nd(cells, tf.cast(ends, tf.float32) * step, size),
        "pitches": tf.scatter_nd(cells, tf.cast(places[:, 2], tf.int32) + LOWEST, size),
        "velocities": tf.scatter_nd(cells, tf.maximum(velocity, 1.0), size),
        "count": count,
        "roll": tf.cast(frame >= 0, tf.uint8),
        "frames": frames,
        "frame_seconds": tf.fill([batch], tf.constant(step, tf.float32)),
    }


def begins(onset: Any) -> Any:
    """Find where notes begin: logits that are at least 0 and the largest nearby, the first of equal ones.

    Args:
        onset: logits [batch, frames, keys].

    Returns:
        bool, of the same shape.
    """
    padded = tf.pad(onset, [[0, 0], [APART, APART], [0, 0]], constant_values=float("-inf"))
    frames = tf.shape(onset)[1]
    peaks = onset >= 0
    for late in range(1, APART + 1):
        peaks &= onset > padded[:, APART - late : APART - late + frames]
        peaks &= onset >= padded[:, APART + late : APART + late + frames]
    return peaks


def shortest(step: float) -> int:
    """Return the frames that a note lasts at least, each `step` seconds."""
    return max(1, round(SHORTEST / step))


def _ends(places: Any, held: Any, least: int) -> Any:
    """Find the frame in which each note ends.

    Args:
        places: batch, frame and key of each beginning, int64 [notes, 3], sorted.
        held: logits of sounding on [batch, frames, keys].
        least: frames that a note lasts.
    """
    size = tf.shape(held, tf.int64)
    quiet = held < 0
    for late in range(1, GAP):
        # Beyond the end everything is quiet.
        quiet &= tf.pad(quiet[:, late:], [[0, 0], [0, late], [0, 0]], constant_values=True)
    # One more frame, in which every key is quiet: each note ends somewhere.
    quiet = tf.pad(quiet, [[0, 0], [0, 1], [0, 0]], constant_values=True)
    length = size[1] + 1
    take, begin, key = tf.unstack(places, axis=1)
    line = (take * size[2] + key) * length
    silences = tf.where(tf.reshape(tf.transpose(quiet, [0, 2, 1]), [-1]))[:, 0]
    begin = line + begin
    soonest = tf.minimum(begin + least, line + size[1])
    end = tf.gather(silences, tf.searchsorted(silences, soonest))
    # The next note of the same key, of all in the order of their keys.
    order = tf.sort(begin)
    following = tf.gather(tf.concat([order, [tf.int64.max]], 0), tf.searchsorted(order, begin, side="right"))
    return tf.minimum(end, following) - line


def transcribed(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make ``serving_default``: from sounds, string [batch], to notes."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def serving_default(examples: Any) -> dict[str, Any]:
        return decode(network.model(network.featurizer(examples), training=False))

    return serving_default


def from_samples(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from float32 samples [batch, time] at the training rate to notes."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="samples")], autograph=False)
    def from_samples(samples: Any) -> dict[str, Any]:
        return decode(network.model(network.featurizer.from_samples(samples), training=False))

    return from_samples
