"""From CTC outputs to texts, in the graph: what was said, how sure it is, and when each word was."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from features.spec import RawKind
from models.export.sequences import beam
from models.export.sequences.alignment import aligned
from models.export.sequences.beam import Search
from models.network import Network
from models.networks.sounds import ctc


@dataclass(frozen=True)
class Writing:
    """How labels become text.

    Attributes:
        alphabet: the labels: characters, of which a space parts words; or words.
        words: whether each label is a word.
        frame_seconds: from one output to the next.
        search: how the best labels are found.
    """

    alphabet: tuple[str, ...]
    words: bool
    frame_seconds: float
    search: Search


def texts(logits: Any, writing: Writing) -> Any:
    """Return what is said, string [batch]."""
    labels, _ = beam.best(logits, writing.search)
    words, _, _ = _words(labels, writing)
    return tf.strings.strip(tf.strings.reduce_join(words, 1, separator=" "))


def transcripts(logits: Any, names: tuple[str, ...], *, writing: Writing) -> dict[str, Any]:
    """Decode CTC outputs [batch, frames, labels + 1], NaN where an example has no frame.

    Args:
        logits: of the network, the blank last.
        names: of the dataset's labels; transcripts have none.
        writing: alphabet and search.

    Returns:
        ``text`` [batch]; ``confidence`` [batch]: the probability of these labels given the sound, its root of
        degree ``count``, so that long texts compare with short ones; ``words`` [batch, N]; ``starts`` and
        ``ends`` float32 [batch, N]: seconds from the beginning; ``count`` int32 [batch]: how many words
        there are. The rest of N is filled up with nothing and 0.
    """
    labels, likelihood = beam.best(logits, writing.search)
    scores, lengths = ctc.log_probabilities(logits), ctc.lengths(logits)
    first, behind = aligned(scores, lengths, labels)
    words, heads, tails = _words(labels, writing)
    count = tf.reduce_sum(tf.cast(heads, tf.int32), 1)
    longest = tf.maximum(tf.reduce_max(tf.concat([count, [1]], 0)), 1)
    room = tf.maximum(longest - tf.shape(words)[1], 0)
    words = tf.pad(words, [[0, 0], [0, room]], constant_values=b"")[:, :longest]
    seconds = tf.constant(np.float32(writing.frame_seconds))
    return {
        "text": tf.strings.strip(tf.strings.reduce_join(words, 1, separator=" ")),
        "confidence": tf.exp(likelihood / tf.maximum(tf.cast(count, tf.float32), 1.0)),
        "words": words,
        "starts": _kept(first, heads, longest) * seconds,
        "ends": _kept(behind, tails, longest) * seconds,
        "count": count,
    }


def _words(labels: Any, writing: Writing) -> tuple[Any, Any, Any]:
    """Return the words [batch, N], and which labels [batch, n] begin and end one."""
    alphabet = tf.constant([label.encode() for label in writing.alphabet])
    there = labels >= 0
    said = tf.where(there, tf.gather(alphabet, tf.maximum(labels, 0)), b"")
    if writing.words:
        return said, there, there
    words = tf.strings.split(tf.strings.reduce_join(said, 1)).to_tensor(b"")
    return words, *_edges(there & (said != b" "))


def _edges(within: Any) -> tuple[Any, Any]:
    """Return which places [batch, n] begin a run of true ones, and which end one."""
    before = tf.pad(within, [[0, 0], [1, 0]])[:, :-1]
    behind = tf.pad(within, [[0, 0], [0, 1]])[:, 1:]
    return within & ~before, within & ~behind


def _kept(values: Any, mask: Any, longest: Any) -> Any:
    """Move the values that are kept to the front, and make them [batch, longest], 0 behind the last."""
    values = ctc.packed(values, mask)
    values = tf.pad(values, [[0, 0], [0, tf.maximum(longest - tf.shape(values)[1], 0)]])[:, :longest]
    return tf.cast(tf.maximum(values, 0), tf.float32)


def from_samples(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from float32 samples [batch, time] at the training rate to decoded outputs."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="samples")], autograph=False)
    def from_samples(samples: Any) -> dict[str, Any]:
        return decode(network.model(network.featurizer.from_samples(samples), training=False))

    return from_samples
