"""Words on their own: cut out of running text for training, and looked up when a model is asked."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from features.errors import StorageError
from features.settings import Settings
from features.spec import FeatureSpec
from features.storage.files import writing
from features.texts.tokenizer import Tokenizer, Unit
from features.texts.vocabulary import asset, names, numbers

Signs = Literal["drop", "keep"]

#: More tokens than this on a line are written as several lines. word2vec reads no further than 10,000, and
#: lines near that gave worse vectors (1.4 million words, cbow: analogies 0.098 against 0.143).
LONGEST = 1_000
_BATCH = 512


class WordTokenizer:
    """Cut texts into words, in the graph.

    Args:
        unit: as of ``Tokenizer``.
        lowercase: as of ``Tokenizer``.
        signs: ``drop`` leaves out tokens that hold neither letter nor digit.
    """

    def __init__(self, unit: Unit = "words", lowercase: bool = True, signs: Signs = "drop") -> None:
        self._cut, self._signs = Tokenizer(unit, lowercase), signs

    def __call__(self, texts: Any) -> Any:
        """Cut texts, string [batch], into words, ragged string [batch, words].

        Raises:
            tf.errors.InvalidArgumentError: a text is not UTF-8.
        """
        tokens = self._cut(texts)
        if self._signs == "keep":
            return tokens
        mask = tf.strings.regex_full_match(tokens.flat_values, r".*[\pL\pN].*")
        return tf.ragged.boolean_mask(tokens, tokens.with_flat_values(mask))


def cut(tokenizer: WordTokenizer, texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Cut texts into words on all cores; yields each text's words, in the order of the texts."""
    spec = tf.TensorSpec([], tf.string)
    rows = tf.data.Dataset.from_generator(lambda: iter(texts), output_signature=spec).batch(_BATCH)
    for tokens in rows.map(tokenizer, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2):
        words = tokens.flat_values.numpy()
        splits = tokens.row_splits.numpy()
        for begin, end in itertools.pairwise(splits):
            yield words[begin:end].tolist()


def write(texts: Iterable[list[bytes]], path: Path) -> None:
    """Write words as word2vec reads them: a line for each text, blanks between; renamed into place.

    Raises:
        StorageError: the disk is full; nothing is left behind.
    """
    try:
        with writing(path) as stream:
            for words in texts:
                for start in range(0, len(words), LONGEST):
                    stream.write(b" ".join(words[start : start + LONGEST]) + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}", got=error.strerror, todo="free some space") from error


@keras.saving.register_keras_serializable("servable")
class WordLookup(keras.Layer):
    """Words to ids: 0 is the vocabulary's first; as many as it has words stands for every other word.

    Args:
        vocabulary: the known words.
        lowercase: whether capitals are made small first, in all scripts.
    """

    def __init__(self, vocabulary: Sequence[str], lowercase: bool = True, **options: Any) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "int32"} | options))
        if not vocabulary:
            raise ValueError("WordLookup takes at least one known word; got an empty vocabulary")
        self.vocabulary, self.lowercase = tuple(vocabulary), lowercase
        path = asset(self.vocabulary, self)
        self.table, self.names = numbers(path), names(path)
        self._convert_input_args = False
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """One id, int32."""
        return FeatureSpec((), "int32")

    @property
    def size(self) -> int:
        """How many words are known; also the id of every other."""
        return len(self.vocabulary)

    @property
    def resources(self) -> tuple[Any, ...]:
        """What the graph looks things up in; an exported model holds it."""
        return (self.table, self.names)

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.vocabulary, self.lowercase]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def call(self, words: Any) -> Any:
        """Look words up: string of any shape to int32 of the same.

        Raises:
            tf.errors.InvalidArgumentError: a word is not UTF-8.
        """
        return tf.cast(self.table.lookup(self.plain(words)), tf.int32)

    def plain(self, words: Any) -> Any:
        """Write words as the vocabulary has them: without blanks around, small where it is so."""
        words = tf.strings.unicode_transcode(words, "UTF-8", "UTF-8", errors="strict")
        return tf.strings.strip(tf.strings.lower(words, "utf-8") if self.lowercase else words)

    def words(self, ids: Any) -> Any:
        """Name ids: int32 of any shape to string of the same; an unknown word is ""."""
        return self.names.lookup(tf.cast(ids, tf.int64))

    def compute_output_spec(self, words: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor(words.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"vocabulary": list(self.vocabulary), "lowercase": self.lowercase}


class WordFeaturizerSettings(Settings):
    """What a word is, and which are known."""

    tokens: Literal["words", "blanks"] = Field(
        "words", description="words: words and signs; blanks: split at whitespace only"
    )
    lowercase: bool = Field(True, description="whether to lowercase")
    signs: Literal["drop", "keep"] = Field(
        "drop", description="how to handle tokens without a letter or digit"
    )
    wrapped: int | None = Field(
        None,
        ge=1,
        description="characters of the longest line to join to the next one, for wrapped text; null for none",
    )
    min_count: int = Field(5, ge=1, description="minimum count of a word")
    max_vocabulary: int | None = Field(
        None, ge=1, description="maximum size of the vocabulary; null for no limit"
    )
