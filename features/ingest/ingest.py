"""From a source to a dataset: the door of this folder."""

from pathlib import Path
from typing import Any

from features.datasets.dataset import load
from features.ingest import ingest_examples, ingest_lines
from features.ingest.rules import CorpusRules, ExampleRules, SourceRules
from features.sources.files import object_copies
from features.sources.files.candidates import Columns
from features.spec import Progress, RawKind, silent
from features.spread import Spread
from features.targets.classes import CLASS
from features.targets.target import Target


def ingest(
    path: Path | str,
    *,
    raw: RawKind,
    target: Target = CLASS,
    columns: Columns,
    rules: SourceRules,
    root: Path,
    progress: Progress = silent,
    spread: Spread | None = None,
) -> Any:
    """Turn a folder, table or archive into a Dataset; into a Corpus where each line is an example.

    Every example is decoded fully, under limits, in processes of their own; what cannot be used goes to the
    quarantine with its reason. Files known from an earlier ingest and unchanged since are not read again.

    Args:
        path: of the source; as text it may be the URL of objects, which are downloaded below root.
        raw: the raw kind of its examples.
        target: what they are to be answered with; lines of a Corpus have none.
        columns: of a table.
        rules: limits, splits, classes to merge or leave out.
        root: folder for snapshots (each named by its fingerprint) and, hidden in it, for caches.
        progress: called with the stages ``unpack``, ``scan``, ``decode`` and ``write``.
        spread: decodes files elsewhere; None: in processes of this machine.

    Raises:
        NoInputError, AccessError: the source is not there, or may not be read.
        DataError: its layout is not known, too much of it is bad, or its classes cannot be learnt.
        TemporaryError: another process ingests the same source.
        UnavailableError: an object store cannot be reached.
        StorageError: the disk is full.
    """
    path = object_copies.local(str(path), root / object_copies.FOLDER, progress)
    if raw.lines:
        assert isinstance(rules, CorpusRules), "lines have rules of their own"
        return load(ingest_lines.run(path, raw, columns, rules, root, progress))
    assert isinstance(rules, ExampleRules), "examples have rules of their own"
    return load(ingest_examples.run(path, raw, target, columns, rules, root, progress, spread))
