"""Vectors of words from elsewhere: a word-vectors release, a TF-Hub text module or a vectors file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from features.errors import ConfigError, DataError
from models.pretrained import hub_modules, vector_files

if TYPE_CHECKING:
    from models.task import Blueprint

#: Words asked of a module at a time.
_BATCH = 4096


def load(source: str, words: Sequence[str], blueprint: "Blueprint") -> np.ndarray:
    """Look the vectors of words up.

    Args:
        source: name of a word-vectors release, a hub module's handle or folder, or a vectors file as
            ``vector_files.read`` takes it.
        words: the vocabulary.
        blueprint: knows the releases, and where fetched modules are kept.

    Returns:
        float32 [words, d]; zero for words the source does not know.

    Raises:
        ConfigError: there is no such source, or it gives no vectors.
    """
    path = Path(source)
    if path.is_file():
        return vector_files.read(path, words)
    released = blueprint.release(source) if "://" not in source and not path.exists() else None
    module = hub_modules.load(released or hub_modules.resolve(source, blueprint.hub), source)
    answer = _embedding(module, source)
    try:
        parts = [
            answer(tf.constant(list(words[start : start + _BATCH]))) for start in range(0, len(words), _BATCH)
        ]
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise _none_here(f"{source}: {' '.join(str(error).split())[:200]}") from error
    return np.concatenate([part.numpy() for part in parts]).astype(np.float32)


def _embedding(module: Any, source: str) -> Any:
    """Find the function from words [n] to vectors [n, d]."""
    signature = getattr(module, "signatures", {}).get("embed")
    if signature is not None:
        argument = next(iter(signature.structured_input_signature[1]))
        return lambda words: signature(**{argument: words})["embedding"]
    if callable(module):
        return module
    raise _none_here(source)


def _none_here(got: str) -> ConfigError:
    return ConfigError(
        "no word vectors",
        got=got,
        expected="a release with the signature embed, a hub text module, or a vectors file",
        todo="correct model.vectors",
    )


def known(source: str, words: Sequence[str], blueprint: "Blueprint") -> list[str]:
    """Leave out the words that a source has no vector for; arguments and errors as of `load`.

    Raises:
        DataError: it knows none of them.
    """
    there = np.abs(load(source, words, blueprint)).max(axis=1, initial=0) > 0
    covered = [word for word, has in zip(words, there, strict=True) if has]
    if not covered:
        raise DataError(
            f"{source} contains no word of the corpus",
            got=f"{len(words):,} words, such as {', '.join(map(repr, words[:5]))}",
            todo="check featurizer.lowercase, and that both are of the same language",
        )
    return covered


def matrix(vectors: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Make the table a network begins with: a row for padding, the words in order, and unknown words.

    Words without a vector get random ones of the same variance as those that have one (Kim 2014).

    Args:
        vectors: [words, d], zero where a word has no vector.
        size: rows requested.
        random: draws the vectors that are missing.
    """
    present = np.abs(vectors).max(axis=1) > 0
    spread = float(np.sqrt(3 * vectors[present].var())) if present.any() else 0.25
    table = random.uniform(-spread, spread, (size, vectors.shape[1])).astype(np.float32)
    table[1 : len(vectors) + 1][present] = vectors[present]
    table[0] = 0
    return table
