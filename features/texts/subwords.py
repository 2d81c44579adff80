"""Texts to ids of sub-words and back, in the graph with core ops.

The most probable pieces of each word are found by Viterbi's algorithm, as sentencepiece does it.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.spec import FeatureSpec
from features.texts import pieces as pieces_of
from features.texts.pieces import BYTES, END, FIRST, PADDING
from features.texts.tokenizer import decoded

#: A character without a piece is this much less probable than the least probable piece, as in sentencepiece.
_PENALTY = 10.0
#: A word of more characters is cut: what has no blanks is read in parts of this length.
LONGEST_WORD = 256
_NEVER = -1e30


@keras.saving.register_keras_serializable("servable")
class Subwords(keras.Layer):
    """Texts, string [batch], to the ids of their pieces and END, int32 [batch, pieces of the longest + 1].

    Args:
        pieces: as `pieces.fit` gives them.
        scores: the logarithm of each piece's probability.
        max_tokens: longer texts are cut to so many pieces.
    """

    #: Increase it whenever the same configuration produces other values: caches then compute them again.
    revision = 1

    def __init__(
        self, pieces: Sequence[str], scores: Sequence[float], max_tokens: int, **options: Any
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "int32"} | options))
        self.pieces, self.scores, self.max_tokens = tuple(pieces), tuple(scores), max_tokens
        self.longest = max(map(len, self.pieces), default=1)
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant([piece.encode() for piece in self.pieces] or [b" "]),
            tf.range(FIRST, FIRST + max(1, len(self.pieces)), dtype=tf.int32),
        )
        self.table = tf.lookup.StaticHashTable(initializer, PADDING)
        self.graph = tf.function(
            self.call, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )
        self._convert_input_args = False
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """Ids [pieces], int32."""
        return FeatureSpec((None,), "int32", PADDING)

    @property
    def padding(self) -> float:
        """What fills a row up to the longest of its batch."""
        return PADDING

    @property
    def size(self) -> int:
        """How many different ids there are."""
        return FIRST + len(self.pieces)

    @property
    def resources(self) -> tuple[Any, ...]:
        """What the graph looks things up in; an exported model holds it."""
        return (self.table,)

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.revision, self.pieces, self.scores, self.max_tokens]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def call(self, texts: Any) -> Any:
        """Turn texts into ids; see the class.

        Raises:
            tf.errors.InvalidArgumentError: a text is not UTF-8.
        """
        return self.closed(self.tokens(texts))

    def closed(self, tokens: Any) -> Any:
        """Cut ragged ids to ``max_tokens``, end them, and fill them up: int32 [batch, longest + 1]."""
        cut = tokens[:, : self.max_tokens]
        ends = tf.fill([tf.shape(cut.row_splits)[0] - 1, 1], END)
        return tf.ensure_shape(tf.concat([cut, ends], 1).to_tensor(PADDING), [None, None])

    def tokens(self, texts: Any) -> Any:
        """Cut texts into pieces: ragged int32 [batch, pieces], all of them, without an end."""
        with tf.name_scope("subwords"):
            characters = tf.strings.unicode_split(tf.strings.join([" ", decoded(texts)]), "UTF-8")
            characters = characters.with_row_splits_dtype(tf.int32)
            lasting = self._segmented(characters)
            return self._numbered(characters, lasting)

    def _segmented(self, characters: Any) -> Any:
        """Return which characters, of all texts in a row, begin a piece: bool [n]."""
        flat = characters.flat_values
        starts = _word_starts(characters)
        begins = tf.cast(tf.where(starts)[:, 0], tf.int32)
        lengths = tf.concat([begins[1:], [tf.size(flat)]], 0)[: tf.size(begins)] - begins
        scores = self._scores(flat, tf.cumsum(tf.cast(starts, tf.int32)) - 1, begins)
        steps = tf.reduce_max(tf.concat([lengths, [0]], 0))
        choices = _forwards(scores, begins, lengths, steps)
        return _backwards(choices, begins, lengths, steps, tf.size(flat))

    def _scores(self, flat: Any, words: Any, begins: Any) -> Any:
        """Score the pieces that end with each character: float32 [n, longest], the longest first.

        Args:
            flat: characters of all texts, string [n].
            words: which word each belongs to [n].
            begins: position of the first character of each word.
        """
        inside = tf.range(tf.size(flat)) - tf.gather(begins, words)
        probabilities = tf.constant([_NEVER] * FIRST + list(self.scores), tf.float32)
        unknown = min(self.scores, default=0.0) - _PENALTY
        piece, columns = flat, []
        for length in range(1, self.longest + 1):
            if length > 1:
                # One more character before those that end here; what does not fit is never looked at.
                before = tf.concat([tf.fill([length - 1], ""), flat], 0)[: tf.size(flat)]
                piece = tf.strings.join([before, piece])
            piece_scores = tf.gather(probabilities, self.table.lookup(piece))
            fits = piece_scores if length > 1 else tf.maximum(piece_scores, unknown)
            columns.append(tf.where(inside >= length - 1, fits, _NEVER))
        return tf.stack(columns[::-1], 1)

    def _numbered(self, characters: Any, begins: Any) -> Any:
        """Look the pieces up; a character without one becomes its bytes: ragged int32 [batch, pieces]."""
        places = tf.cast(tf.where(begins)[:, 0], tf.int32)
        parts = tf.RaggedTensor.from_row_starts(characters.flat_values, places, validate=False)
        pieces = tf.strings.reduce_join(parts, -1)
        numbers = self.table.lookup(pieces)
        lost = tf.equal(numbers, PADDING)
        raw = tf.io.decode_raw(tf.boolean_mask(pieces, lost), tf.uint8, fixed_length=4)
        sizes = tf.strings.length(tf.boolean_mask(pieces, lost))
        bytes_ = tf.boolean_mask(tf.cast(raw, tf.int32), tf.sequence_mask(sizes, 4)) + BYTES
        repeats = tf.where(lost, tf.strings.length(pieces), 1)
        spread = tf.repeat(numbers, repeats)
        spread = tf.tensor_scatter_nd_update(spread, tf.where(tf.equal(spread, PADDING)), bytes_)
        rows = tf.repeat(tf.gather(characters.value_rowids(), places), repeats)
        return tf.RaggedTensor.from_value_rowids(spread, rows, characters.nrows(), validate=False)

    def text(self, ids: Any) -> Any:
        """Write ids, int32 [..., pieces], as texts, string [...]; bytes that are no UTF-8 become U+FFFD."""
        written = tf.strings.reduce_join(self.written(ids), -1)
        whole = tf.strings.unicode_transcode(written, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(whole, "^ ", "", replace_global=False)

    def written(self, ids: Any) -> Any:
        """Write each id as its piece: string of the same shape."""
        return tf.gather(tf.constant(pieces_of.contents(self.pieces)), ids)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor((texts.shape[0], None), "int32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = {"pieces": list(self.pieces), "scores": list(self.scores), "max_tokens": self.max_tokens}
        return super().get_config() | own


def _word_starts(characters: Any) -> Any:
    """Return where words begin: at a blank, at a text's beginning, and within very long words; bool [n]."""
    places = tf.range(tf.size(characters.flat_values))
    of_text = places - tf.gather(characters.row_starts(), characters.value_rowids())
    starts = tf.equal(characters.flat_values, " ") | tf.equal(of_text, 0)
    begins = tf.cast(tf.where(starts)[:, 0], tf.int32)
    of_word = places - tf.gather(begins, tf.cumsum(tf.cast(starts, tf.int32)) - 1)
    return tf.equal(of_word % LONGEST_WORD, 0)


def _forwards(scores: Any, begins: Any, lengths: Any, steps: Any) -> Any:
    """Find the best last piece up to each character of each word: int32 [longest word, words].

    Args:
        scores: as of `Subwords._scores`.
        begins: position of each word's first character.
        lengths: of the words.
        steps: length of the longest one.

    Returns:
        Lengths of pieces.
    """
    words, longest = tf.shape(begins)[0], scores.shape[1]
    last = tf.maximum(tf.shape(scores)[0] - 1, 0)

    def step(place: Any, best: Any, choices: Any) -> Any:
        at = tf.minimum(begins + place, last)
        sums = best + tf.gather(scores, at)
        choice = tf.argmax(sums, 1, tf.int32)
        highest = tf.reduce_max(sums, 1, keepdims=True)
        return place + 1, tf.concat([best[:, 1:], highest], 1), choices.write(place, longest - choice)

    start = tf.concat([tf.fill([words, longest - 1], _NEVER), tf.zeros([words, 1])], 1)
    start = tf.ensure_shape(start, [None, longest])
    buffer = tf.TensorArray(tf.int32, steps, element_shape=[None])
    _, _, choices = tf.while_loop(lambda place, *_: place < steps, step, (0, start, buffer))
    return tf.reshape(choices.stack(), [steps, words])


def _backwards(choices: Any, begins: Any, lengths: Any, steps: Any, total: Any) -> Any:
    """Follow the choices from each word's end: which characters begin a piece, bool [total]."""
    words = tf.range(tf.shape(begins)[0])

    def step(place: Any, ends: Any, chosen: Any) -> Any:
        # `ends` is where the piece before the last one found ends.
        here = tf.equal(ends, place + 1)
        length = tf.gather_nd(choices, tf.stack([tf.fill(tf.shape(words), place), words], 1))
        ends = tf.where(here, ends - length, ends)
        return place - 1, ends, chosen.write(place, tf.where(here, begins + ends, -1))

    buffer = tf.TensorArray(tf.int32, steps, element_shape=[None])
    loop = (steps - 1, lengths, buffer)
    _, _, chosen = tf.while_loop(lambda place, *_: place >= 0, step, loop)
    flat = tf.reshape(chosen.stack(), [-1])
    positions = tf.boolean_mask(flat, flat >= 0)[:, tf.newaxis]
    return tf.scatter_nd(positions, tf.ones_like(positions[:, 0]), [total]) > 0


def numbered(subwords: Subwords, texts: Sequence[str], batch_size: int = 512) -> list[np.ndarray]:
    """Turn texts into the ids of their pieces and END, int32 each, as the graph does."""
    rows = []
    for start in range(0, len(texts), batch_size):
        ids = subwords.graph(tf.constant(texts[start : start + batch_size])).numpy()
        rows += [row[: np.flatnonzero(row)[-1] + 1] for row in ids]
    return rows
