"""Prefix beam search over CTC outputs with a language model, in the graph: core ops, a batch at a time.

The search is that of Hannun et al. (2014): a prefix is worth the sum over its alignments, and each label that
extends it also what the language model says of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.networks.sounds import ctc
from models.networks.sounds.ctc import IMPOSSIBLE
from models.networks.sounds.ngrams import LanguageModel


@dataclass(frozen=True)
class Search:
    """How answers are searched for.

    Attributes:
        width: prefixes that are kept in each frame.
        model: of the labels that follow each other; None for none.
        favour: weight of the language model's log-probability beside that of the sound, and bonus for each
            label, against the language model's liking for short answers; two numbers, or a variable of them.
    """

    width: int = 16
    model: LanguageModel | None = None
    favour: Any = (0.0, 0.0)


def search(scores: Any, lengths: Any, how: Search) -> tuple[Any, Any]:
    """Find the best sequence of labels.

    Args:
        scores: log-probabilities of labels and, last, the blank: float32 [batch, frames, labels + 1].
        lengths: frames of each example, int32 [batch].
        how: width and language model.

    Returns:
        Labels int32 [batch, n], -1 behind the last, and what they are worth to the search, float32 [batch].
    """
    beam = _Beam(how, scores.shape[2] - 1)
    frames = tf.shape(scores)[1]
    ahead = tf.transpose(scores, [1, 0, 2])
    records = tf.TensorArray(tf.int32, frames, element_shape=[None, how.width, 2])

    def step(frame: Any, state: Any, records: Any) -> Any:
        following, parents, said = beam.step(ahead[frame], state)
        active = frame < lengths
        state = tuple(_chosen(active, new, old) for new, old in zip(following, state, strict=True))
        own = tf.tile(tf.range(how.width)[tf.newaxis], [tf.shape(parents)[0], 1])
        parents, said = _chosen(active, parents, own), _chosen(active, said, -tf.ones_like(said))
        return frame + 1, state, records.write(frame, tf.stack([parents, said], 2))

    start = beam.start(tf.shape(scores)[0])
    _, state, records = tf.while_loop(lambda frame, *_: frame < frames, step, (0, start, records))
    worth = beam.worth(state)
    best = tf.argmax(worth, 1, output_type=tf.int32)
    return _traced(records.stack(), best), tf.reduce_max(worth, 1)


def best(logits: Any, how: Search) -> tuple[Any, Any]:
    """Return the better of what the search finds and of the likeliest labels by frame.

    Args:
        logits: of the network, NaN where an example has no frame.
        how: width and language model; of width 1 the likeliest labels count.

    Returns:
        Labels int32 [batch, n], -1 behind the last, and their log-probability [batch], as sums over all
        alignments.
    """
    candidates = [ctc.greedy(logits)]
    if how.width > 1:
        candidates.append(search(ctc.log_probabilities(logits), ctc.lengths(logits), how)[0])
    likely = [-ctc.negative_log_likelihood(labels, logits) for labels in candidates]
    worth = tf.stack([own + favour(labels, how) for own, labels in zip(likely, candidates, strict=True)], 1)
    # Of equals the search's: it comes last.
    chosen = len(candidates) - 1 - tf.argmax(worth[:, ::-1], 1, output_type=tf.int32)
    labels = tf.gather(tf.stack(candidates, 1), chosen, axis=1, batch_dims=1)
    longest = tf.reduce_max(tf.reduce_sum(tf.cast(labels >= 0, tf.int32), 1))
    return labels[:, : tf.maximum(longest, 1)], tf.gather(tf.stack(likely, 1), chosen, axis=1, batch_dims=1)


def favour(labels: Any, how: Search) -> Any:
    """Return what the language model and the bonus add to the worth of labels [batch, n]: [batch]."""
    beam = _Beam(how, how.model.states.shape[1]) if how.model is not None else None
    count = tf.reduce_sum(tf.cast(labels >= 0, tf.float32), 1)
    if beam is None:
        return how.favour[1] * count
    scores, states = beam.scores, beam.states

    def step(number: Any, state: Any, total: Any) -> Any:
        label = labels[:, number]
        place = tf.stack([state, tf.maximum(label, 0)], 1)
        total += tf.where(label >= 0, tf.gather_nd(scores, place), 0.0)
        return number + 1, tf.where(label >= 0, tf.gather_nd(states, place), state), total

    begin = (0, tf.zeros(tf.shape(labels)[:1], tf.int32), tf.zeros(tf.shape(labels)[:1]))
    _, state, total = tf.while_loop(lambda number, *_: number < tf.shape(labels)[1], step, begin)
    return total + tf.gather(scores[:, -1], state)


def _chosen(active: Any, new: Any, old: Any) -> Any:
    return tf.where(active[:, tf.newaxis], new, old)


def _traced(records: Any, best: Any) -> Any:
    """Follow the parents [frames, batch, width, 2] of the best prefix back to its beginning."""
    frames = tf.shape(records)[0]
    labels = tf.TensorArray(tf.int32, frames, element_shape=[None])

    def step(frame: Any, place: Any, labels: Any) -> Any:
        record = tf.gather(records[frame], place, axis=1, batch_dims=1)
        return frame - 1, record[:, 0], labels.write(frame, record[:, 1])

    _, _, labels = tf.while_loop(lambda frame, *_: frame >= 0, step, (frames - 1, best, labels))
    said = tf.transpose(labels.stack())
    return ctc.packed(said, said >= 0)


class _Beam:
    """The prefixes of a batch: log-probability with and without a blank at the end, and so on."""

    def __init__(self, how: Search, labels: int) -> None:
        self.how, self.labels = how, labels
        model = how.model or LanguageModel(
            np.zeros((1, labels + 1), np.float32), np.zeros((1, labels), np.int32)
        )
        ends = tf.one_hot(labels, labels + 1, 0.0, 1.0)
        self.scores = tf.constant(model.scores) * how.favour[0] + ends * how.favour[1]
        self.states = tf.constant(model.states)

    def start(self, batch: Any) -> tuple[Any, ...]:
        """Return the empty prefix, and places for others: blank, label, model's worth, state, last, hash."""
        shape = [batch, self.how.width]
        first = tf.tile(tf.range(self.how.width)[tf.newaxis] == 0, [batch, 1])
        impossible = tf.fill(shape, tf.constant(IMPOSSIBLE))
        return (
            tf.where(first, 0.0, impossible),
            impossible,
            tf.zeros(shape),
            tf.zeros(shape, tf.int32),
            tf.fill(shape, -1),
            # No two empty places are alike.
            tf.tile(-tf.range(self.how.width, dtype=tf.int64)[tf.newaxis], [batch, 1]),
        )

    def worth(self, state: tuple[Any, ...]) -> Any:
        """Return what each prefix is worth as a whole answer, [batch, width]."""
        blank, label, model, places, _, _ = state
        return _sum(blank, label) + model + tf.gather(self.scores[:, -1], places)

    def step(self, frame: Any, state: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, Any]:
        """Go on by one frame [batch, labels + 1].

        Returns:
            The following state, the place of each prefix's parent, and the label it adds, -1 for none.
        """
        blank, label, model, places, last, names = state
        width, labels = self.how.width, self.labels
        both = _sum(blank, label)
        # A prefix stays as it is: by a blank, or by its last label going on.
        kept_blank = frame[:, -1:] + both
        of_last = tf.gather(frame, tf.maximum(last, 0), axis=1, batch_dims=1)
        kept_label = tf.where(last >= 0, of_last + label, IMPOSSIBLE)
        # Or it is extended: by its last label only after a blank.
        same = tf.one_hot(last, labels, on_value=True, off_value=False, dtype=tf.bool)
        extended = frame[:, tf.newaxis, :-1] + tf.where(same, blank[..., tf.newaxis], both[..., tf.newaxis])
        new_names = names[..., tf.newaxis] * _PRIME + tf.range(1, labels + 1, dtype=tf.int64)
        # What an extension and a prefix that is there already have in common is added up.
        to_last = tf.tile(tf.maximum(last, 0)[:, tf.newaxis], [1, width, 1])
        into = tf.gather(extended, to_last, axis=2, batch_dims=2)
        alike = tf.gather(new_names, to_last, axis=2, batch_dims=2) == names[:, tf.newaxis]
        alike &= (last >= 0)[:, tf.newaxis]
        joining = tf.reduce_max(tf.where(alike, into, IMPOSSIBLE), 1)
        kept_label = _sum(kept_label, joining)
        existing = tf.reduce_any(alike[..., tf.newaxis] & same[:, tf.newaxis], 2)
        extended = tf.where(existing, IMPOSSIBLE, extended)
        new_model = model[..., tf.newaxis] + tf.gather(self.scores, places)[..., :-1]
        worth = tf.concat(
            [_sum(kept_blank, kept_label) + model, tf.reshape(extended + new_model, [-1, width * labels])], 1
        )
        chosen = tf.math.top_k(worth, width).indices
        stays = chosen < width
        parents = tf.where(stays, chosen, (chosen - width) // labels)
        said = tf.where(stays, -1, (chosen - width) % labels)

        def picked(old: Any, new: Any) -> Any:
            flat = tf.concat([old, tf.reshape(new, [-1, width * labels])], 1)
            return tf.gather(flat, chosen, axis=1, batch_dims=1)

        def inherited(values: Any) -> Any:
            return tf.gather(values, parents, axis=1, batch_dims=1)

        old_places = inherited(places)
        new_places = tf.gather_nd(self.states, tf.stack([old_places, tf.maximum(said, 0)], 2))
        following = (
            tf.where(stays, inherited(kept_blank), IMPOSSIBLE),
            picked(kept_label, extended),
            picked(model, new_model),
            tf.where(stays, old_places, new_places),
            tf.where(stays, inherited(last), said),
            picked(names, new_names),
        )
        return following, parents, said


#: Names of prefixes are polynomials in it, modulo 2^64.
_PRIME = 1_099_511_628_211


def _sum(first: Any, second: Any) -> Any:
    """Add probabilities given as logarithms; impossible ones stay so."""
    larger = tf.maximum(first, second)
    return tf.maximum(larger + tf.math.log1p(tf.exp(-tf.abs(first - second))), IMPOSSIBLE)
