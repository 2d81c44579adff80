"""Vocabularies as assets of a graph."""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf


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
