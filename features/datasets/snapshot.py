"""A dataset on disk: manifest.parquet, quarantine.jsonl, card.json and labels.json in one folder."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import quarantine
from features.ingest.classes import slug
from features.errors import DataError, NoInputError, StorageError
from features.ingest.examination import Example, Findings
from features.spec import Progress

if TYPE_CHECKING:
    import pandas
    import pyarrow

MANIFEST, QUARANTINE, CARD, LABELS = "manifest.parquet", "quarantine.jsonl", "card.json", "labels.json"

#: Raised by one when the same examples come to mean another dataset.
VERSION = 1


def fingerprint(
    raw: str,
    examples: Sequence[Example],
    columns: Mapping[str, str] | None = None,
    numbers: Mapping[str, str] | None = None,
) -> str:
    """Hash what the dataset is: each example's content, label, split and fold, in any order.

    ``columns`` are those that the examples are rows of, kind by name; ``numbers`` say how some are written.

    Where the files lie, what they are called and which were refused does not matter.

    Returns:
        16 hexadecimal digits.
    """
    said = [list(columns.items())] if columns else []
    said += [sorted(numbers.items())] if numbers else []
    digest = hashlib.sha256(json.dumps(["dataset", VERSION, raw, *said]).encode())
    for line in sorted(json.dumps(_essence(example)) for example in examples):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()[:16]


def _essence(example: Example) -> list[str | None]:
    return [example.verdict.sha256, example.label, example.split, example.candidate.fold]


def write(root: Path, key: str, findings: Findings, card: dict[str, Any], progress: Progress) -> Path:
    """Write a snapshot aside and rename it into place.

    Where the same content was ingested before, the files of its snapshot are replaced one by one: paths,
    refusals and counts may be others.

    Args:
        root: folder of all snapshots.
        key: name of the source, whose lock the caller holds.
        findings: with splits assigned.
        card: to be stored; the fingerprint is added.
        progress: called with stage ``write``.

    Returns:
        The snapshot's folder.

    Raises:
        StorageError: the disk is full, or writing fails.
    """
    progress("write", 0, len(findings.accepted))
    examples = sorted(
        findings.accepted, key=lambda example: (json.dumps(_essence(example)), example.candidate.name)
    )
    labels = sorted({example.label for example in examples})
    rules = card["rules"]
    name = fingerprint(card["raw"], examples, rules.get("columns"), rules.get("numbers"))
    directory, aside = root / name, root / f".{key}.partial"
    shutil.rmtree(aside, ignore_errors=True)  # Left by a process that was killed.
    with storing(directory):
        try:
            aside.mkdir(parents=True)
            _write_manifest(aside / MANIFEST, examples, labels)
            quarantine.write(aside / QUARANTINE, findings.quarantined)
            slugs = [{"label": label, "slug": slug(label)} for label in labels]
            _write_json(aside / LABELS, slugs)
            card = {"fingerprint": name, "manifest_sha256": _sha256(aside / MANIFEST)} | card
            _write_json(aside / CARD, card)
            publish(aside, directory)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    progress("write", len(examples), len(examples))
    return directory


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Turn a failure to write into a StorageError that names the place."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {error.filename or place}",
            got=error.strerror or error,
            todo="free disk space or name another workspace, then repeat: what is examined stays known",
        ) from error


def publish(aside: Path, directory: Path) -> None:
    """Flush a snapshot's files to disk and rename its folder into place."""
    for file in aside.iterdir():
        with open(file, "rb") as written:
            os.fsync(written.fileno())
    try:
        aside.rename(directory)
    except OSError as error:
        # Made before, or just now by an ingest of the same content from another source.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for file in aside.iterdir():
            file.replace(directory / file.name)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_manifest(path: Path, examples: Sequence[Example], labels: Sequence[str]) -> None:
    import pyarrow.parquet

    # A handle: pyarrow takes a path for a URI, and none that is not UTF-8.
    with open(path, "wb") as file:
        pyarrow.parquet.write_table(_table(examples, labels), file)


def _table(examples: Sequence[Example], labels: Sequence[str]) -> "pyarrow.Table":
    import pyarrow

    target = {label: index for index, label in enumerate(labels)}
    verdicts = [example.verdict for example in examples]
    candidates = [example.candidate for example in examples]
    paths = [os.fsencode(v.stored) if v.stored else c.path for c, v in zip(candidates, verdicts, strict=True)]
    text, integer = pyarrow.string(), pyarrow.int64()
    columns = {
        "path": pyarrow.array(paths, pyarrow.binary()),
        "content": pyarrow.array(
            [None if path else c.content for path, c in zip(paths, candidates, strict=True)], pyarrow.binary()
        ),
        "name": pyarrow.array([candidate.name for candidate in candidates], text),
        "sha256": pyarrow.array([verdict.sha256 for verdict in verdicts], text),
        "bytes": pyarrow.array([verdict.size for verdict in verdicts], integer),
        "label": pyarrow.array([example.label for example in examples], text),
        "target": pyarrow.array([target[example.label] for example in examples], integer),
        "split": pyarrow.array([example.split for example in examples], text),
        "fold": pyarrow.array([candidate.fold for candidate in candidates], text),
    }
    for measure in dict.fromkeys(name for verdict in verdicts for name in verdict.measures or ()):
        columns[measure] = pyarrow.array([(verdict.measures or {}).get(measure) for verdict in verdicts])
    columns["format"] = pyarrow.array([verdict.format for verdict in verdicts], text)
    columns["note"] = pyarrow.array(["; ".join(dict.fromkeys(example.notes)) for example in examples], text)
    return pyarrow.table(columns)


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
        if labels != tuple(sorted(set(frame["label"]))):
            raise ValueError("its labels are not those of the manifest")
    return Manifest(labels, slugs, card, frame)


def _read_manifest(path: Path, digest: str) -> "pandas.DataFrame":
    import pyarrow.parquet

    # Parquet's own checksums leave out the footer, where one bit can null a column.
    if _sha256(path) != digest:
        raise ValueError("its content is not what the card says")
    with open(path, "rb") as file:
        return pyarrow.parquet.read_table(file).to_pandas()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def reading(directory: Path, name: str) -> Iterator[Path]:
    """Turn what goes wrong while a snapshot's file is read into an error that names it."""
    import pyarrow

    try:
        yield directory / name
    except FileNotFoundError:
        raise NoInputError(
            "no dataset", got=f"{directory}, which is no snapshot", todo="ingest the data first"
        ) from None
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{name} of dataset {directory} is damaged",
            got=f"{type(error).__name__}: {error}"[:300],
            todo="ingest the data again: the snapshot is renewed",
        ) from error
