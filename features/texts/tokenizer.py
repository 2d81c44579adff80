"""Cut texts into tokens, in the graph, and count them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import tensorflow as tf

Unit = Literal["words", "blanks", "characters"]


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
