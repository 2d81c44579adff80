"""Write a dataset's snapshot aside, and rename it into place."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import quarantine
from features.datasets.snapshot import CARD, LABELS, MANIFEST, QUARANTINE, storing
from features.ingest.examination import Example, Findings
from features.spec import Progress
from features.storage.trees import sha256
from features.targets.classes import slug
from features.targets.target import Target

if TYPE_CHECKING:
    import pyarrow


#: Raised by one when the same examples come to mean another dataset.
VERSION = 1


def fingerprint(
    raw: str,
    examples: Sequence[Example],
    columns: Mapping[str, str] | None = None,
    numbers: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
) -> str:
    """Hash what the dataset is: each example's content, target, split, fold and block, in any order.

    ``columns`` are those that the examples are rows of, kind by name; ``numbers`` say how some are written;
    ``names`` are those of targets that the examples do not name themselves.

    Where the files lie, what they are called and which were refused does not matter.

    Returns:
        16 hexadecimal digits.
    """
    said: list[Any] = [list(columns.items())] if columns else []
    said += [sorted(numbers.items())] if numbers else []
    said += [list(names)] if names else []
    digest = hashlib.sha256(json.dumps(["dataset", VERSION, raw, *said]).encode())
    for line in sorted(json.dumps(_essence(example)) for example in examples):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()[:16]


def _essence(example: Example) -> list[str | None]:
    candidate = example.candidate
    block = () if candidate.block is None else (candidate.block,)
    return [example.verdict.sha256, example.label, example.split, candidate.fold, *block]


def write(
    root: Path, key: str, findings: Findings, target: Target, card: dict[str, Any], progress: Progress
) -> Path:
    """Write a snapshot aside and rename it into place.

    Where the same content was ingested before, the files of its snapshot are replaced one by one: paths,
    refusals and counts may be others.

    Args:
        root: folder of all snapshots.
        key: name of the source, whose lock the caller holds.
        findings: with splits assigned.
        target: of the examples.
        card: to be stored, with the names of the targets as ``labels``; the fingerprint is added.
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
    labels, rules = card["labels"], card["rules"]
    names = () if {example.label for example in examples} == set(labels) else labels
    name = fingerprint(card["raw"], examples, rules.get("columns"), rules.get("numbers"), names)
    directory, aside = root / name, root / f".{key}.partial"
    shutil.rmtree(aside, ignore_errors=True)  # Left by a process that was killed.
    with storing(directory):
        try:
            aside.mkdir(parents=True)
            _write_manifest(aside / MANIFEST, examples, target, labels)
            quarantine.write(aside / QUARANTINE, findings.quarantined)
            slugs = [{"label": label, "slug": slug(label)} for label in labels]
            _write_json(aside / LABELS, slugs)
            card = {"fingerprint": name, "manifest_sha256": sha256(aside / MANIFEST)} | card
            _write_json(aside / CARD, card)
            publish(aside, directory)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    progress("write", len(examples), len(examples))
    return directory


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


def _write_manifest(path: Path, examples: Sequence[Example], target: Target, names: Sequence[str]) -> None:
    import pyarrow.parquet

    # A handle: pyarrow takes a path for a URI, and none that is not UTF-8.
    with open(path, "wb") as file:
        pyarrow.parquet.write_table(_table(examples, target, names), file)


def _table(examples: Sequence[Example], target: Target, names: Sequence[str]) -> "pyarrow.Table":
    import pyarrow

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
        "target": target.column([example.label for example in examples], names),
        "split": pyarrow.array([example.split for example in examples], text),
        "fold": pyarrow.array([candidate.fold for candidate in candidates], text),
    }
    if any(candidate.block is not None for candidate in candidates):
        columns["block"] = pyarrow.array([candidate.block for candidate in candidates], text)
    for measure in dict.fromkeys(name for verdict in verdicts for name in verdict.measures or ()):
        columns[measure] = pyarrow.array([(verdict.measures or {}).get(measure) for verdict in verdicts])
    columns["format"] = pyarrow.array([verdict.format for verdict in verdicts], text)
    columns["note"] = pyarrow.array(["; ".join(dict.fromkeys(example.notes)) for example in examples], text)
    return pyarrow.table(columns)
