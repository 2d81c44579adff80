"""Texts to token ids, in the graph: the same in training, SavedModel and live server.

docs/text.md says what a token is. The vocabulary comes from the training split and travels as an asset.
"""

import hashlib
import json
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from features.spec import FeatureSpec

Unit = Literal["words", "blanks", "characters"]
Keep = Literal["head", "tail"]

#: Id of what fills up the shorter texts of a batch.
PADDING = 0

#: Characters of the pieces of a token, and how many of one count: all of a word of up to 11 letters. Of a
#: longer one the last of the longest pieces are left out; a fixed number keeps features of one shape.
_PIECE_LENGTHS, PIECES = (3, 4, 5), 32

_CLITIC = r"(?i)([\pL\pM])(n't|'(?:s|re|ve|d|ll|m))\b"
_TOKEN = r"(?i)(n't\b|'(?:s|re|ve|d|ll|m)\b|[\pL\pN\pM]+|\S)"  # noqa: S105 - no password
_BLANKS = r"[\s\pZ\p{Cc}]+"


def decoded(texts: Any) -> Any:
    """Check that texts, string of any shape, are UTF-8.

    Raises:
        tf.errors.InvalidArgumentError: one is not.
    """
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="strict")


class Tokenizer:
    """Cut texts into tokens, in the graph.

    Args:
        unit: ``words`` parts words, numbers and each other sign, and English clitics (``is n't``, ``it 's``)
            as treebanks do; ``blanks`` cuts at blanks alone; ``characters`` gives every character.
        lowercase: whether capitals are made small first, in all scripts.
    """

    def __init__(self, unit: Unit = "words", lowercase: bool = True) -> None:
        if unit not in ("words", "blanks", "characters"):
            raise ValueError(f"a token is one of words, blanks and characters; got {unit}")
        self.unit, self.lowercase = unit, lowercase

    def __call__(self, texts: Any) -> Any:
        """Cut texts, string [batch], into tokens, ragged string [batch, tokens].

        Raises:
            tf.errors.InvalidArgumentError: a text is not UTF-8.
        """
        texts = decoded(texts)
        texts = tf.strings.lower(texts, "utf-8") if self.lowercase else texts
        texts = tf.strings.regex_replace(texts, _BLANKS, " ")
        if self.unit == "characters":
            return tf.strings.unicode_split(tf.strings.strip(texts), "UTF-8")
        if self.unit == "words":
            texts = tf.strings.regex_replace(texts, "[\u2018\u2019]", "'")
            texts = tf.strings.regex_replace(texts, _CLITIC, r"\1 \2")
            texts = tf.strings.regex_replace(texts, _TOKEN, r" \1 ")
        return tf.strings.split(texts)


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

    #: Raise it whenever the same configuration gives other values: caches then compute them again.
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
        found = tf.cast(self.table.lookup(tokens.flat_values) + 1, tf.int32)
        if self.subwords:
            found = tf.concat([found[:, tf.newaxis], pieces(tokens.flat_values, self.subwords)], 1)
        shape = (None, *self.spec.shape)
        dense = tokens.with_flat_values(found).to_tensor(PADDING, shape=shape)
        missing = tf.maximum(0, 1 - tf.shape(dense)[1])
        dense = tf.pad(dense, [[0, 0], [0, missing], *([[0, 0]] if self.subwords else [])])
        empty = tf.reshape(tokens.row_lengths() == 0, [-1] + [1] * (dense.shape.rank - 1))
        first = tf.where(empty, self.nothing, dense[:, :1])
        return tf.ensure_shape(tf.concat([first, dense[:, 1:]], 1), shape)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Give the result's shape and dtype."""
        return keras.KerasTensor((texts.shape[0], *self.spec.shape), "int32")

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
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
    found = tf.concat(runs, 1)
    hashed = tf.strings.to_hash_bucket_fast(found.flat_values, buckets)
    numbered = found.with_flat_values(tf.cast(hashed, tf.int32) + 1)
    return numbered.to_tensor(PADDING, shape=(None, PIECES))


def asset(vocabulary: Sequence[str], owner: Any) -> Path:
    """Write tokens to a file, a line each, that a SavedModel then carries; it lives as long as its owner."""
    folder = tempfile.mkdtemp(prefix="servable-vocabulary-")
    # The file is read again when the model is saved: it stays as long as its layer.
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "vocabulary.txt"
    path.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    return path


_LINE, _NUMBER = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER


def numbers(path: Path) -> Any:
    """Make the lookup of token to number; any other token has the number of tokens as its number."""
    lines = tf.lookup.TextFileInitializer(str(path), tf.string, _LINE, tf.int64, _NUMBER)
    return tf.lookup.StaticVocabularyTable(lines, num_oov_buckets=1)


def names(path: Path) -> Any:
    """Make the lookup of number to token; any other number has "" as its token."""
    lines = tf.lookup.TextFileInitializer(str(path), tf.int64, _NUMBER, tf.string, _LINE)
    return tf.lookup.StaticHashTable(lines, "")


def count(
    tokenizer: Tokenizer, texts: Iterable[bytes], batch_size: int = 512
) -> tuple[Counter[str], list[int]]:
    """Count the tokens of texts, and how many each text has.

    Args:
        tokenizer: cuts the texts.
        texts: UTF-8, read once.
        batch_size: texts at a time.
    """
    counts: Counter[bytes] = Counter()
    lengths: list[int] = []
    batch: list[bytes] = []

    def add() -> None:
        tokens = tokenizer(tf.constant(batch))
        counts.update(tokens.flat_values.numpy().tolist())
        lengths.extend(tokens.row_lengths().numpy().tolist())
        batch.clear()

    for text in texts:
        batch.append(text)
        if len(batch) == batch_size:
            add()
    if batch:
        add()
    return Counter({token.decode(): number for token, number in counts.items()}), lengths


def totals(texts: Iterable[list[bytes]]) -> Counter[str]:
    """Count the tokens of texts that are cut already."""
    counts: Counter[bytes] = Counter()
    for tokens in texts:
        counts.update(tokens)
    return Counter({token.decode(): number for token, number in counts.items()})


def choose(counts: Counter[str], min_count: int = 1, max_size: int | None = None) -> list[str]:
    """Choose a vocabulary: the most frequent tokens first, equal ones by their characters.

    Args:
        counts: of every token.
        min_count: rarer ones are unknown tokens.
        max_size: most tokens that are known; None for all.
    """
    known = [(token, number) for token, number in counts.items() if number >= min_count]
    return [token for token, _ in sorted(known, key=lambda pair: (-pair[1], pair[0]))][:max_size]
