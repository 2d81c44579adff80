"""Put a network together that writes a sentence for a sentence, and what it is trained for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from features.datasets.sequences import Sequences
from features.texts.pieces import BEGIN, END, PADDING
from features.texts.subwords import Subwords, numbered
from models.network import Network, Phase
from models.networks.texts.beam_search import Search
from models.networks.texts.writer import MeanReading, Writer, shifted
from models.objective import Objective, PerExample

#: Sub-words that any answer may have, beside those for each one of the source.
_FEW = 10


def network(featurizer: Subwords, writer: Writer, beams: int, growth: float, epochs: int) -> Network:
    """Join sub-words, a network over them and the search for its answers.

    Args:
        featurizer: of both languages.
        writer: the network.
        beams: width of the beam.
        growth: sub-words that an answer may have for each one of the source.
        epochs: passes over the training split.
    """
    source = keras.Input((None,), dtype="int32", name="source")
    previous = keras.Input((None,), dtype="int32", name="previous")
    model = keras.Model([source, previous], writer(source, previous), name="translation")
    embed = keras.Model(source, MeanReading(writer)(source))
    usual = Search(BEGIN, END, beams, writer.length_penalty.value, PADDING)

    def write(ids: Any, beams: int | None = None) -> tuple[Any, Any]:
        lengths = tf.reduce_sum(tf.cast(tf.not_equal(ids, PADDING), tf.float32), 1)
        limits = _FEW + tf.cast(growth * lengths, tf.int32)
        return writer.write(ids, replace(usual, beams=beams or usual.beams), limits)

    def decode(outputs: tuple[Any, Any], labels: Sequence[str]) -> dict[str, Any]:
        ids, scores = outputs
        return {"text": featurizer.text(ids), "score": scores}

    def place(texts: Any, frame: Any) -> Sequences:
        return Sequences(numbered(featurizer, list(texts)), PADDING)

    leg = Phase("train", featurizer, model, None, epochs, place=place, forced=shifted)
    return Network(featurizer, model, embed, (leg,), decode=decode, write=write)


def cross_entropy(label_smoothing: float) -> PerExample:
    """Make the softmax cross-entropy per sub-word of a batch.

    Targets are ids [batch, n], 0 behind the end; outputs logits [batch, n, ids]. The mean over the examples
    is the mean over their sub-words.
    """

    def loss(targets: Any, logits: Any) -> Any:
        size = logits.shape[-1]
        rest = label_smoothing / size
        probabilities = tf.one_hot(targets, size, 1.0 - label_smoothing + rest, rest)
        return _shares(targets, tf.nn.softmax_cross_entropy_with_logits(probabilities, logits))

    return loss


def hits(targets: Any, logits: Any) -> Any:
    """Count sub-words that have the highest logit, given those before: their share as a mean."""
    same = tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(targets, tf.int32))
    return _shares(targets, tf.cast(same, tf.float32))


def _shares(targets: Any, values: Any) -> Any:
    """Add values [batch, n] up so that their mean over the batch is that over its sub-words: [batch]."""
    there = tf.cast(tf.not_equal(targets, PADDING), values.dtype)
    examples = tf.cast(tf.shape(targets)[0], values.dtype)
    return tf.reduce_sum(values * there, 1) * examples / tf.maximum(tf.reduce_sum(there), 1.0)


TRANSLATION = Objective(
    loss=lambda settings: cross_entropy(settings.label_smoothing),
    measured_loss=cross_entropy(0.0),
    metrics={"accuracy": hits},
    best="accuracy",
    higher_is_better=True,
    report="test/bleu",
)
