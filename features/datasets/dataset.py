"""A Dataset: a snapshot named by the fingerprint of its content."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import quarantine
from features.datasets import corpus, snapshot
from features.errors import DataError
from features.names import escape
from features.quarantine import RefusedError
from features.spec import Progress, silent
from features.storage.files import read_file

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Dataset:
    """A snapshot: manifest, quarantine and card.

    Attributes:
        directory: where it lies; its name is the fingerprint.
        fingerprint: hash of every example's content, label, split and fold, wherever the files lie.
        labels: of the classes, sorted; `target` in the frame is an index into them.
        slugs: for each label a name that is safe in paths, metrics and HTML.
        card: found, accepted, quarantined, skipped (counts), reasons, skip_reasons, classes (by label and
            split), splits, sizes, notes and the rules it was made by.
        frame: one row an example, in an order that follows content: path (bytes, None for a table's own
            cell), content (bytes, for a cell), name, sha256, bytes, label, target, split, fold, the raw
            kind's measures (image: width, height in pixels as stored, orientation as in EXIF), format, note.
        quarantine: the list of refused examples, quarantine.jsonl.
    """

    directory: Path
    fingerprint: str
    labels: tuple[str, ...]
    slugs: tuple[str, ...]
    card: dict[str, Any]
    frame: "pandas.DataFrame"
    quarantine: Path

    def size(self, split: str) -> int:
        """Return how many examples a split has."""
        return int((self.frame["split"] == split).sum())

    def examples(self, split: str) -> Iterator[bytes]:
        """Read the raw bytes of a split's examples, one after the other.

        Raises:
            DataError: a file is gone, or its content has changed since it was ingested.
        """
        for row in self.frame[self.frame["split"] == split].itertuples():
            yield self.read(row)

    @property
    def measured(self) -> "pandas.DataFrame":
        """The rows a model is measured on: the test split, or all where cross-validation left none out."""
        tested = self.frame[self.frame["split"] == "test"]
        return tested if len(tested) else self.frame

    def read(self, row: Any) -> bytes:
        """Read the raw bytes of one example.

        Args:
            row: a position in the frame, or a row of it (a Series, or a tuple of itertuples()).

        Raises:
            DataError: the file is gone, or its content has changed since it was ingested.
        """
        row = row if hasattr(row, "sha256") else self.frame.iloc[int(row)]
        try:
            return _read(row)
        except RefusedError as refusal:
            raise DataError(
                f"example {_name(row)} has changed since it was ingested",
                got=refusal.detail,
                expected=f"content of sha256 {row.sha256[:16]}...",
                todo="restore the file, or ingest again",
            ) from None

    def verify(self, progress: Progress = silent) -> list[dict[str, Any]]:
        """Read every file again and compare its hash with the manifest.

        Returns:
            A record in the form of the quarantine list for each file that changed or is gone.
        """
        damaged = []
        for done, row in enumerate(self.frame.itertuples(index=False), start=1):
            try:
                _read(row)
            except RefusedError as refusal:
                reason = "hash_mismatch" if refusal.reason in ("too_large", "changed") else refusal.reason
                damaged.append(self._damage(row, reason, refusal.detail))
            if done % 100 == 0 or done == len(self.frame):
                progress("verify", done, len(self.frame))
        return damaged

    def _damage(self, row: Any, reason: str, detail: str) -> dict[str, Any]:
        return quarantine.record(
            _relative(row),
            stage="verify",
            reason=reason,
            detail=detail,
            sha256=row.sha256,
            size=int(row.bytes),
        )


def _name(row: Any) -> str:
    """Return the name column: attribute `name` of a tuple, but not of a Series."""
    return str(getattr(row, "name") if isinstance(row, tuple) else row["name"])  # noqa: B009 - a named tuple


def _relative(row: Any) -> bytes:
    """Find the end of the path that the name shows; the name alone for a converted content."""
    name, parts = _name(row), row.path.split(b"/")
    tails = (b"/".join(parts[start:]) for start in range(len(parts)))
    return next((tail for tail in tails if escape(tail) == name), os.fsencode(name))


def _read(row: Any) -> bytes:
    if row.path is None:
        return bytes(row.content)
    content, _ = read_file(row.path, int(row.bytes))
    if (digest := hashlib.sha256(content).hexdigest()) != row.sha256:
        raise RefusedError("hash_mismatch", f"content of sha256 {digest[:16]}...")
    return content


def load(directory: Path) -> Any:
    """Load a snapshot that `ingest` made: a Dataset, or a Corpus where its examples are lines.

    Raises:
        NoInputError: there is none.
        DataError: it is damaged.
    """
    if (directory / corpus.LINES).is_file():
        return corpus.load(directory)
    manifest = snapshot.read(directory)
    return Dataset(
        directory,
        manifest.card["fingerprint"],
        manifest.labels,
        manifest.slugs,
        manifest.card,
        manifest.frame,
        directory / snapshot.QUARANTINE,
    )
