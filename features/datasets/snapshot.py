"""A dataset on disk: manifest.parquet, quarantine.jsonl, card.json and labels.json in one folder."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from features.errors import DataError, NoInputError, StorageError
from features.storage.arrow import open_for_arrow
from features.storage.trees import sha256

if TYPE_CHECKING:
    import pandas

MANIFEST, QUARANTINE, CARD, LABELS = "manifest.parquet", "quarantine.jsonl", "card.json", "labels.json"


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Turn a failure to write into a StorageError that names the place."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {error.filename or place}",
            got=error.strerror or error,
            todo="free disk space or name another workspace, then repeat: checked files are not read again",
        ) from error


class Snapshot(Protocol):
    """What a Dataset and a Corpus have in common: examples as ingest left them, named by their content."""

    @property
    def directory(self) -> Path:
        """Where it lies; its name is the fingerprint."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of its content."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the targets; none where examples have no target."""
        ...

    @property
    def card(self) -> dict[str, Any]:
        """Counts, decisions and rules."""
        ...

    @property
    def quarantine(self) -> Path:
        """The list of refused examples, quarantine.jsonl."""
        ...

    def size(self, split: str) -> int:
        """Return how many examples a split has."""
        ...

    def examples(self, split: str) -> Iterator[bytes]:
        """Read the raw bytes of a split's examples, one after the other."""
        ...


@dataclass(frozen=True)
class Manifest:
    """The content of a snapshot's files."""

    labels: tuple[str, ...]
    slugs: tuple[str, ...]
    card: dict[str, Any]
    frame: "pandas.DataFrame"


def read(directory: Path) -> Manifest:
    """Read a snapshot.

    Raises:
        NoInputError: there is none.
        DataError: it is damaged; names the file.
    """
    with reading(directory, CARD) as path:
        card = json.loads(path.read_text(encoding="utf-8"))
        digest = card["fingerprint"] and card["manifest_sha256"]
    with reading(directory, MANIFEST) as path:
        frame = _read_manifest(path, digest)
    with reading(directory, LABELS) as path:
        entries = json.loads(path.read_text(encoding="utf-8"))
        labels, slugs = (tuple(entry[key] for entry in entries) for key in ("label", "slug"))
        if list(labels) != card["labels"]:
            raise ValueError("its labels are not those of the card")
    return Manifest(labels, slugs, card, frame)


def _read_manifest(path: Path, digest: str) -> "pandas.DataFrame":
    import pyarrow.parquet

    # Parquet's own checksums leave out the footer, where one bit can null a column.
    if sha256(path) != digest:
        raise ValueError("its content is not what the card says")
    with open_for_arrow(path) as file:
        return pyarrow.parquet.read_table(file).to_pandas()


@contextlib.contextmanager
def reading(directory: Path, name: str) -> Iterator[Path]:
    """Turn what goes wrong while a snapshot's file is read into an error that names it."""
    import pyarrow

    try:
        yield directory / name
    except FileNotFoundError:
        raise NoInputError(
            "no dataset", got=f"{directory}, which is not a dataset", todo="ingest the data first"
        ) from None
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{name} of dataset {directory} is damaged",
            got=f"{type(error).__name__}: {error}"[:300],
            todo="ingest the data again to replace it",
        ) from error
