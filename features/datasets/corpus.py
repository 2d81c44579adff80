"""A corpus: lines of text without labels, streamed from their source into one clean file.

No more than one line is ever held in memory, so a corpus may be larger than that.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features import quarantine
from features.datasets import snapshot
from features.spec import Progress, silent

LINES, VERSION = "lines.txt", 2


@dataclass(frozen=True)
class Corpus:
    """A snapshot of lines: the text, quarantine and card.

    Attributes:
        directory: where it lies; its name is the fingerprint.
        fingerprint: hash of the lines in their order, wherever the files lie.
        card: found, accepted, quarantined, skipped (counts of lines, and of files passed over), reasons,
            skip_reasons, sizes, and the rules it was made by.
        labels: none.
    """

    directory: Path
    fingerprint: str
    card: dict[str, Any]
    labels: tuple[str, ...] = ()

    @property
    def lines(self) -> Path:
        """The accepted lines: UTF-8, each ended by LF; an empty one for blank lines and between files."""
        return self.directory / LINES

    @property
    def quarantine(self) -> Path:
        """The list of refused lines, quarantine.jsonl."""
        return self.directory / snapshot.QUARANTINE

    def size(self, split: str = "train") -> int:
        """Return how many lines there are; all are trained on."""
        return int(self.card["accepted"]) if split == "train" else 0

    def examples(self, split: str = "train") -> Iterator[bytes]:
        """Yield the lines of a split, in their order."""
        if split == "train":
            yield from self.texts()

    def texts(self, wrapped: int | None = None) -> Iterator[bytes]:
        """Yield the lines as texts, in their order.

        Args:
            wrapped: lines of at most so many characters run on into the next of the kind, until a blank line
                or the file's end; None: every line is a text.
        """
        run: list[bytes] = []
        for line in self._stored():
            short = wrapped is not None and line and len(line.decode()) <= wrapped
            if not short and run:
                yield b" ".join(run)
                run = []
            if short:
                run.append(line)
            elif line:
                yield line
        if run:
            yield b" ".join(run)

    def _stored(self) -> Iterator[bytes]:
        with self.lines.open("rb") as stream:
            for line in stream:
                yield line[:-1]

    def verify(self, progress: Progress = silent) -> list[dict[str, Any]]:
        """Compare the lines with the hash taken at ingest: a record where they changed, else nothing."""
        progress("verify", 0, 1)
        with self.lines.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        progress("verify", 1, 1)
        if digest == self.card["lines_sha256"]:
            return []
        detail = f"content of sha256 {digest[:16]}..."
        name = os.fsencode(LINES)
        return [quarantine.record(name, stage="verify", reason="hash_mismatch", detail=detail, sha256=digest)]


def load(directory: Path) -> Corpus:
    """Load a snapshot that `run` made.

    Raises:
        NoInputError: there is none.
        DataError: it is damaged.
    """
    with snapshot.reading(directory, snapshot.CARD) as path:
        card = json.loads(path.read_text(encoding="utf-8"))
        corpus = Corpus(directory, card["fingerprint"], card)
        if corpus.lines.stat().st_size != card["sizes"]["bytes"]:
            raise ValueError(f"{LINES} is not as long as the card says")
    return corpus
