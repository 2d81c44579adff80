"""Find probable sequences one symbol after the other, in the graph: greedily, and along a beam."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

#: From what is known of each hypothesis, nested tensors [n, ...], the last symbols int32 [n] and their place
#: to the logarithms of the next symbols' probabilities [n, symbols], and what is known then.
Step = Callable[[Any, Any, Any], tuple[Any, Any]]

_NEVER = -1e9


@dataclass(frozen=True)
class Search:
    """How sequences are looked for.

    The score of a sequence is the sum of the logarithms of its symbols' probabilities, its end among them,
    divided by ((5 + length) / 6) ** penalty (Wu and others 2016). Beside the beam the greedy sequence is
    always followed to its end, so that no answer scores below it.

    Attributes:
        begin: symbol before the first.
        end: symbol that ends a sequence.
        beams: hypotheses kept of each example; 1 is the greedy search.
        penalty: exponent of the length, a number or a variable; 0 compares sums.
        padding: what fills shorter sequences up.
    """

    begin: int
    end: int
    beams: int
    penalty: Any
    padding: int = 0

    def run(self, step: Step, known: Any, limits: Any) -> tuple[Any, Any]:
        """Find the best sequence of each example.

        Args:
            step: see `Step`.
            known: at the beginning, nested tensors [examples, ...].
            limits: largest number of symbols of each example, the end among them, int32 [examples]; a
                sequence that is as long as that is ended.

        Returns:
            Symbols int32 [examples, the longest], END among them and padding behind it; scores [examples].
        """
        lanes = self.beams + 1 if self.beams > 1 else 1
        repeat = tf.nest.map_structure(lambda part: tf.repeat(part, lanes, 0), known)
        examples = tf.shape(limits)[0]
        symbols = tf.zeros([examples, lanes, 0], tf.int32)
        last = tf.fill([examples, lanes], self.begin)
        # At first all hypotheses are one.
        first = tf.constant([0.0] + [_NEVER] * (lanes - 2) + [0.0] * (lanes > 1))
        sums = tf.tile(first[tf.newaxis], [examples, 1])
        done = tf.zeros([examples, lanes], tf.bool)
        lengths = tf.zeros([examples, lanes], tf.int32)
        loop = (0, symbols, last, sums, done, lengths, repeat)
        lane = tf.TensorShape([None, lanes])
        own = [tf.TensorShape([]), tf.TensorShape([None, lanes, None]), *[lane] * 4]
        shapes = (*own, tf.nest.map_structure(_any_length, repeat))
        _, symbols, _, sums, _, lengths, _ = tf.while_loop(
            lambda place, symbols, last, sums, done, *_: ~tf.reduce_all(done),
            lambda *state: self._advance(step, limits, *state),
            loop,
            shape_invariants=shapes,
        )
        scores = self._scored(sums, lengths)
        best = tf.argmax(scores, 1, tf.int32)
        return tf.gather(symbols, best, batch_dims=1), tf.gather(scores, best, batch_dims=1)

    def _advance(
        self,
        step: Step,
        limits: Any,
        place: Any,
        symbols: Any,
        last: Any,
        sums: Any,
        done: Any,
        lengths: Any,
        memory: Any,
    ) -> tuple[Any, ...]:
        """Add one symbol to each hypothesis."""
        examples, lanes = tf.shape(last)[0], last.shape[1]
        log_probs, memory = step(memory, tf.reshape(last, [-1]), place)
        size = log_probs.shape[-1]
        log_probs = tf.reshape(log_probs, [examples, lanes, size])
        ends = tf.one_hot(self.end, size, 0.0, _NEVER)
        log_probs = tf.where((place + 1 >= limits)[:, tf.newaxis, tf.newaxis], log_probs + ends, log_probs)
        # A finished hypothesis stays as it is.
        rests = tf.one_hot(self.padding, size, 0.0, _NEVER)
        log_probs = tf.where(done[..., tf.newaxis], rests, log_probs)
        parents, chosen, sums = self._chosen(sums[..., tf.newaxis] + log_probs, lengths, done)
        done, lengths = (tf.gather(part, parents, batch_dims=1) for part in (done, lengths))
        lengths += tf.cast(~done, tf.int32)
        done |= tf.equal(chosen, self.end)
        symbols = tf.gather(symbols, parents, batch_dims=1)
        symbols = tf.concat([symbols, chosen[..., tf.newaxis]], 2)
        rows = tf.reshape(parents + lanes * tf.range(examples)[:, tf.newaxis], [-1])
        memory = tf.nest.map_structure(lambda part: tf.gather(part, rows), memory)
        return place + 1, symbols, chosen, sums, done, lengths, memory

    def _chosen(self, sums: Any, lengths: Any, done: Any) -> tuple[Any, Any, Any]:
        """Choose how to go on: parents, symbols and sums, [examples, lanes] each."""
        examples, lanes, size = tf.shape(sums)[0], sums.shape[1], sums.shape[2]
        own = tf.argmax(sums[:, -1], 1, tf.int32)[:, tf.newaxis]
        alone = tf.fill([examples, 1], lanes - 1), own, tf.reduce_max(sums[:, -1], 1, keepdims=True)
        if lanes == 1:
            return alone
        beams = lanes - 1
        longer = (lengths + tf.cast(~done, tf.int32))[:, :beams, tf.newaxis]
        scores = self._scored(sums[:, :beams], longer)
        _, best = tf.math.top_k(tf.reshape(scores, [examples, beams * size]), beams)
        flat = tf.reshape(sums[:, :beams], [examples, beams * size])
        several = best // size, best % size, tf.gather(flat, best, batch_dims=1)
        parents, chosen, new_sums = (tf.concat(pair, 1) for pair in zip(several, alone, strict=True))
        return parents, chosen, new_sums

    def _scored(self, sums: Any, lengths: Any) -> Any:
        return sums / ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** self.penalty


def _any_length(part: Any) -> Any:
    """Leave all axes open but the last: hypotheses, and what grows."""
    if part.shape.rank == 1:
        return tf.TensorShape([None])
    return tf.TensorShape([None] * (part.shape.rank - 1) + [part.shape[-1]])


def score(step: Step, known: Any, symbols: Any, search: Search) -> Any:
    """Score given sequences as a search does: int32 [n, length], padding behind the end, to [n]."""
    last = tf.fill([tf.shape(symbols)[0]], search.begin)
    total = tf.zeros([tf.shape(symbols)[0]])
    for place in range(symbols.shape[1]):
        log_probs, known = step(known, last, tf.constant(place))
        last = symbols[:, place]
        gained = tf.gather(log_probs, last, batch_dims=1)
        total += tf.where(tf.equal(last, search.padding), 0.0, gained)
    lengths = tf.reduce_sum(tf.cast(tf.not_equal(symbols, search.padding), tf.int32), 1)
    return search._scored(total, lengths)
