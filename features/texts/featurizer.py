"""Texts to token ids, in the graph: the same in training, SavedModel and live server.

docs/text.md defines tokens. The vocabulary comes from the training split and travels as an asset.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import keras
import tensorflow as tf
from pydantic import Field

from features.settings import Auto, Settings, Survey
from features.spec import FeatureSpec
from features.texts.tokenizer import Tokenizer, Unit
from features.texts.vocabulary import asset, numbers

Keep = Literal["head", "tail"]

#: Id of what fills up the shorter texts of a batch.
PADDING = 0

#: Characters of the pieces of a token, and how many of one count: all of a word of up to 11 letters. Of a
#: longer one the last of the longest pieces are left out; a fixed number keeps features of one shape.
_PIECE_LENGTHS, PIECES = (3, 4, 5), 32
#: Buckets that ``subwords: auto`` chooses, and the characters of a training split up to which it does: with
#: more texts most words are known, and the pieces of all their tokens would take hundreds of megabytes.
BUCKETS, MOST_CHARACTERS = 20_000, 10_000_000


@keras.saving.register_keras_serializable("servable")
class TextFeaturizer(keras.Layer):
    """Texts to the ids of their tokens; a text without any token counts as one unknown token.

    Ids: 0 fills up shorter texts, 1 is the vocabulary's first token, one more than its number of tokens
    stands for every unknown token. With subwords a token is its id and the numbers of its pieces, so that an
    unknown word is still known by its spelling (Bojanowski et al. 2017).

    Args:
        vocabulary: the known tokens.
        unit: as of :class:`Tokenizer`.
        lowercase: as of :class:`Tokenizer`.
        max_tokens: longer texts are cut; None keeps all.
        keep: the end of a longer text that is kept.
        subwords: buckets that pieces of tokens are hashed into (`pieces`); 0 for none.
    """

    #: Increase it whenever the same configuration produces other values: caches then compute them again.
    revision = 1

    def __init__(
        self,
        vocabulary: Sequence[str],
        unit: Unit = "words",
        lowercase: bool = True,
        max_tokens: int | None = None,
        keep: Keep = "head",
        subwords: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "int32"} | options))
        if not vocabulary:
            raise ValueError("TextFeaturizer takes at least one known token; got an empty vocabulary")
        if subwords and unit == "characters":
            raise ValueError(
                f"a token of one character has no subwords; got unit={unit}, subwords={subwords}"
            )
        self.vocabulary, self.unit, self.lowercase = tuple(vocabulary), unit, lowercase
        self.max_tokens, self.keep, self.subwords = max_tokens, keep, subwords
        self.tokens = Tokenizer(unit, lowercase)
        self.table = numbers(asset(self.vocabulary, self))
        self._convert_input_args = False
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """Ids [tokens], with subwords [tokens, 1 + PIECES], int32; 0 beyond a text's or a token's end."""
        return FeatureSpec((None, 1 + PIECES) if self.subwords else (None,), "int32", PADDING)

    @property
    def padding(self) -> float:
        """What fills a row up to the longest of its batch."""
        return PADDING

    @property
    def size(self) -> int:
        """How many different ids there are: padding, vocabulary, unknown."""
        return len(self.vocabulary) + 2

    @property
    def unknown(self) -> int:
        """Id of every token that is not in the vocabulary."""
        return len(self.vocabulary) + 1

    @property
    def nothing(self) -> Any:
        """What stands for a text without any token, int32 [] or [1 + PIECES]: an unknown one, no pieces."""
        return tf.constant([self.unknown] + [PADDING] * PIECES if self.subwords else self.unknown, tf.int32)

    @property
    def resources(self) -> tuple[Any, ...]:
        """What the graph looks things up in; an exported model holds it."""
        return (self.table,)

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.revision, self.vocabulary, self.unit, self.lowercase]
        decisive += [self.max_tokens, self.keep, *([self.subwords] if self.subwords else [])]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def call(self, texts: Any) -> Any:
        """Turn texts, string [batch], into ids, int32 [batch, tokens of the longest, ...] as `spec` says.

        Raises:
            tf.errors.InvalidArgumentError: a text is not UTF-8.
        """
        return self.ids(self.cut(self.tokens(texts)))

    def cut(self, tokens: Any) -> Any:
        """Leave out what is beyond ``max_tokens``: ragged [batch, tokens]."""
        if self.max_tokens is None:
            return tokens
        return tokens[:, : self.max_tokens] if self.keep == "head" else tokens[:, -self.max_tokens :]

    def ids(self, tokens: Any) -> Any:
        """Look tokens up: ragged string [batch, tokens] to int32 [batch, tokens of the longest, ...]."""
        numbers = tf.cast(self.table.lookup(tokens.flat_values) + 1, tf.int32)
        if self.subwords:
            numbers = tf.concat([numbers[:, tf.newaxis], pieces(tokens.flat_values, self.subwords)], 1)
        shape = (None, *self.spec.shape)
        dense = tokens.with_flat_values(numbers).to_tensor(PADDING, shape=shape)
        missing = tf.maximum(0, 1 - tf.shape(dense)[1])
        dense = tf.pad(dense, [[0, 0], [0, missing], *([[0, 0]] if self.subwords else [])])
        empty = tf.reshape(tokens.row_lengths() == 0, [-1] + [1] * (dense.shape.rank - 1))
        first = tf.where(empty, self.nothing, dense[:, :1])
        return tf.ensure_shape(tf.concat([first, dense[:, 1:]], 1), shape)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor((texts.shape[0], *self.spec.shape), "int32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = ("unit", "lowercase", "max_tokens", "keep", "subwords")
        return (
            super().get_config()
            | {name: getattr(self, name) for name in own}
            | {"vocabulary": list(self.vocabulary)}
        )


def pieces(tokens: Any, buckets: int) -> Any:
    """Number the pieces of tokens: every run of 3 to 5 characters of ``<token>``, the short ones first.

    Subwords as of Bojanowski et al. 2017, hashed into buckets; two pieces may share one.

    Args:
        tokens: string [n].
        buckets: different numbers, from 1.

    Returns:
        int32 [n, PIECES]; 0 beyond a token's last piece.
    """
    characters = tf.strings.unicode_split(tf.strings.join(["<", tokens, ">"]), "UTF-8")
    runs = [tf.strings.ngrams(characters, length, separator="") for length in _PIECE_LENGTHS]
    ngrams = tf.concat(runs, 1)
    hashed = tf.strings.to_hash_bucket_fast(ngrams.flat_values, buckets)
    numbered = ngrams.with_flat_values(tf.cast(hashed, tf.int32) + 1)
    return numbered.to_tensor(PADDING, shape=(None, PIECES))


class TextFeaturizerSettings(Settings):
    """What a token is, which are known, and how many of a text are read."""

    tokens: Literal["words", "blanks", "characters"] = Field(
        "words", description="words: words and signs; blanks: split at whitespace only"
    )
    lowercase: bool = Field(True, description="whether to lowercase")
    min_count: int = Field(1, ge=1, description="minimum count of a token in the training split")
    max_vocabulary: int | None = Field(
        None, ge=1, description="maximum size of the vocabulary; null for no limit"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="maximum tokens of a text; longer ones are truncated; null for no limit"
    )
    keep: Literal["head", "tail"] = Field("head", description="which end of a longer text to keep")
    subwords: Annotated[int, Field(ge=0, le=2**24)] | Auto = Field(
        0,
        description="hash buckets for the pieces of 3 to 5 characters of each token; 0 for none; "
        "auto: 20,000 for words of at most 10 million characters of texts",
    )

    def adapted(self, survey: Survey) -> Self:
        """Decide by the size of the training split whether words are known by their spelling as well."""
        if self.subwords != "auto":
            return self
        few = float(survey.measures["characters"].sum()) <= MOST_CHARACTERS
        spelt = few and self.tokens != "characters"
        return self.model_copy(update={"subwords": BUCKETS if spelt else 0})
