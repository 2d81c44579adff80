"""Files of word vectors: word2vec's and GloVe's text formats and word2vec's binary one, plain or gzipped.

Only the words requested are kept, so that a file may be larger than memory; gensim's reader keeps all.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from features.errors import ConfigError

#: Dimensions and bytes of a word beyond which a file is none of ours, so that no header makes us take memory.
_MOST_DIMENSIONS, _LONGEST_WORD = 65_536, 4096
_HEAD = 64 << 10


def read(path: Path, words: Sequence[str]) -> np.ndarray:
    """Read the vectors of words; a word's first vector counts.

    Args:
        path: of the file; one whose head is not UTF-8 text is binary.
        words: those requested.

    Returns:
        float32 [words, d]; zero for words the file does not have.

    Raises:
        ConfigError: it is no such file, or has none of the words.
    """
    places = {word: number for number, word in enumerate(words)}
    table: np.ndarray | None = None
    try:
        with _open(path) as stream:
            rows = _binary(path, stream) if _is_binary(path) else _text(path, stream, places)
            for word, vector in rows:
                if (place := places.pop(word, None)) is not None:
                    table = np.zeros((len(words), len(vector)), np.float32) if table is None else table
                    table[place] = vector
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ConfigError(
            f"vectors file {path} cannot be read", got=error, todo="download it again"
        ) from error
    if table is None:
        raise ConfigError(
            f"vectors file {path} contains none of the words",
            expected="words and their numbers, in UTF-8",
            todo="check the file, and featurizer.lowercase",
        )
    return table


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _is_binary(path: Path) -> bool:
    """Return whether a file is binary: its first row, after a header of two counts, is not decimal text."""
    with _open(path) as stream:
        first = stream.readline(256).split()
        if len(first) != 2 or not all(part.isdigit() for part in first):
            return False
        head = stream.read(_HEAD)
    row = head.partition(b"\n")[0]
    try:
        [float(number) for number in row.split()[-int(first[1]) :]]
    except ValueError:
        return True
    return len(row.split()) <= int(first[1])


def _text(path: Path, stream: IO[bytes], places: dict[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Read lines of a word, blanks, numbers; a first line may hold two counts."""
    width = 0
    for number, line in enumerate(stream, start=1):
        parts = line.rstrip().split(b" ")
        if number == 1 and len(parts) == 2:
            continue
        word = parts[0].decode("utf-8", "replace")
        if word not in places:
            continue
        try:
            vector = np.array(parts[1:], np.float32)
        except ValueError:
            vector = np.empty(0, np.float32)
        width = width or len(vector)
        if not width or len(vector) != width:
            raise ConfigError(
                f"vectors file {path}, line {number}",
                got=f"{len(vector)} numbers",
                expected=f"a word and {width} numbers" if width else "a word and numbers",
                todo="check that it is in word2vec's or GloVe's text format",
            )
        yield word, vector


def _binary(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, np.ndarray]]:
    """Read word2vec's binary rows: a word, a blank, little-endian float32 numbers, perhaps a line end."""
    count, width = (int(part) for part in stream.readline(256).split())
    if not 0 < width <= _MOST_DIMENSIONS:
        raise _damaged(path, 0, f"{width} dimensions")
    for row in range(1, count + 1):
        word = bytearray()
        while (byte := stream.read(1)) != b" ":
            if not byte or len(word) > _LONGEST_WORD:
                raise _damaged(path, row, "no word")
            word += byte
        values = stream.read(4 * width)
        if len(values) < 4 * width:
            raise _damaged(path, row, f"{len(values)} of {4 * width} bytes")
        yield word.lstrip(b"\n").decode("utf-8", "replace"), np.frombuffer(values, "<f4")


def _damaged(path: Path, row: int, got: str) -> ConfigError:
    return ConfigError(
        f"vectors file {path}, word {row}",
        got=got,
        expected="word2vec's binary format to its end",
        todo="download it again",
    )
