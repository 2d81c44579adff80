"""Vectors of words from elsewhere: a word-vectors release, a TF-Hub text module or a vectors file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from features.errors import ConfigError
from models import hub

if TYPE_CHECKING:
    from models.tasks.task import Blueprint

#: Words asked of a module at a time.
_BATCH = 4096


def load(source: str, words: Sequence[str], blueprint: "Blueprint") -> np.ndarray:
    """Look the vectors of words up.

    Args:
        source: name of a word-vectors release, a hub module's handle or folder, or a file in word2vec's or
            GloVe's text format.
        words: the vocabulary.
        blueprint: knows the releases, and where fetched modules are kept.

    Returns:
        float32 [words, d]; zero for words the source does not know.

    Raises:
        ConfigError: there is no such source, or it gives no vectors.
    """
    path = Path(source)
    if path.is_file():
        return _from_file(path, words)
    released = blueprint.release(source) if "://" not in source and not path.exists() else None
    module = tf.saved_model.load(str(released or hub.resolve(source, blueprint.hub)))
    answer = _embedding(module, source)
    parts = [
        answer(tf.constant(list(words[start : start + _BATCH]))) for start in range(0, len(words), _BATCH)
    ]
    return np.concatenate([part.numpy() for part in parts]).astype(np.float32)


def _embedding(module: Any, source: str) -> Any:
    """Find the function from words [n] to vectors [n, d]."""
    signature = getattr(module, "signatures", {}).get("embed")
    if signature is not None:
        argument = next(iter(signature.structured_input_signature[1]))
        return lambda words: signature(**{argument: words})["embedding"]
    if callable(module):
        return module
    raise ConfigError(
        "no word vectors here",
        got=source,
        expected="a release with the signature embed, a hub text module, or a vectors file",
        todo="correct model.vectors",
    )


def _from_file(path: Path, words: Sequence[str]) -> np.ndarray:
    """Read the lines of the words wanted: a word, blanks, numbers; a first line may hold two counts."""
    wanted = {word: number for number, word in enumerate(words)}
    found: np.ndarray | None = None
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, _, rest = line.rstrip().partition(" ")
            if word not in wanted or (number == 1 and len(rest.split()) == 1):
                continue
            try:
                vector = np.array(rest.split(), np.float32)
            except ValueError:
                vector = np.empty(0, np.float32)
            if found is None:
                found = np.zeros((len(words), len(vector)), np.float32)
            if not len(vector) or len(vector) != found.shape[1]:
                raise ConfigError(
                    f"vectors file {path}, line {number}",
                    got=f"{len(vector)} numbers",
                    expected=f"a word and {found.shape[1]} numbers"
                    if found.shape[1]
                    else "a word and numbers",
                    todo="check that it is in word2vec's or GloVe's text format",
                )
            found[wanted[word]] = vector
    if found is None:
        raise ConfigError(
            f"vectors file {path} knows none of the words",
            expected="lines of a word and its numbers, in UTF-8",
            todo="check the file, and featurizer.lowercase",
        )
    return found


def matrix(found: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Make the table a network begins with: a row for padding, the words in order, and unknown words.

    Words without a vector get random ones of the same variance as those that have one (Kim 2014).

    Args:
        found: [words, d], zero where a word has no vector.
        size: rows wanted.
        random: draws the vectors that are missing.
    """
    known = np.abs(found).max(axis=1) > 0
    spread = float(np.sqrt(3 * found[known].var())) if known.any() else 0.25
    table = random.uniform(-spread, spread, (size, found.shape[1])).astype(np.float32)
    table[1 : len(found) + 1][known] = found[known]
    table[0] = 0
    return table
