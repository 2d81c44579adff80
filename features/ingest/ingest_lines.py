"""Ingest lines of text into a corpus, with one line in memory at a time."""

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from features import quarantine
from features.datasets import snapshot
from features.datasets.corpus import LINES, VERSION
from features.errors import DataError, InternalError
from features.ingest import write_snapshot
from features.ingest.rules import CorpusRules
from features.names import escape
from features.sources.files.candidates import Columns, Rejected, Skipped
from features.sources.lines import End, Entry, Lines, recognise
from features.spec import Progress, RawKind
from features.storage.locks import exclusive

#: Progress is told after so many lines.
_TOLD = 10_000


@dataclass
class _Counts:
    """The outcome so far."""

    found: int = 0
    accepted: int = 0
    quarantined: int = 0
    size: int = 0
    longest: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    suffixes: Counter[str] = field(default_factory=Counter)


class _Writer:
    """Put each entry where it belongs: the lines, the quarantine, or the count of what is passed over."""

    def __init__(self, lines: IO[bytes], refused: IO[str], stage: str) -> None:
        self._lines, self._refused, self._stage = lines, refused, stage
        self.counts = _Counts()
        self.digest = hashlib.sha256()
        self._parted = False

    def put(self, entry: Entry) -> None:
        """Account for one entry."""
        if isinstance(entry, End):
            self._parted = True
            return
        self.counts.found += 1
        if isinstance(entry, Skipped):
            self._parted = True
            self.counts.skipped[entry.reason] += 1
            if entry.reason == "unsupported_extension":
                self.counts.suffixes[entry.suffix] += 1
        elif isinstance(entry, Rejected):
            self._reject(entry)
        else:
            self._accept(entry + b"\n")

    def _accept(self, line: bytes) -> None:
        if self._parted and self.counts.accepted:
            self._write(b"\n")
        self._parted = False
        self._write(line)
        self.counts.accepted += 1
        self.counts.longest = max(self.counts.longest, len(line) - 1)

    def _write(self, line: bytes) -> None:
        self._lines.write(line)
        self.digest.update(line)
        self.counts.size += len(line)

    def _reject(self, entry: Rejected) -> None:
        self.counts.quarantined += 1
        self.counts.reasons[entry.reason] += 1
        record = quarantine.record(
            entry.relative,
            stage=self._stage,
            reason=entry.reason,
            detail=entry.detail,
            row=entry.row,
            line=entry.line,
            offset=entry.offset,
        )
        self._refused.write(json.dumps(record, ensure_ascii=False) + "\n")


def run(
    path: Path, raw: RawKind, columns: Columns, rules: CorpusRules, root: Path, progress: Progress
) -> Path:
    """Ingest lines of text; parameters and errors as of ``ingest.ingest``.

    Returns:
        The snapshot's folder, below root.
    """
    key = hashlib.sha256(os.fsencode(path.absolute().resolve())).hexdigest()[:16]
    with exclusive(root / ".locks" / f"{key}.lock", f"ingest of {path}"):
        source = recognise(path, raw, rules.reading(columns), rules, root / ".unpacked", progress)
        aside = root / f".{key}.partial"
        shutil.rmtree(aside, ignore_errors=True)  # Left by a process that was killed.
        with snapshot.storing(aside), _removed(aside):
            aside.mkdir(parents=True)
            written = _write(source, aside, f"ingest.{raw.name}", progress)
            refused = _keep_refused(aside, root / ".refused" / key)
            _require_sound(written.counts, source, rules, refused)
            name = hashlib.sha256(f"corpus {VERSION} {written.digest.hexdigest()}".encode()).hexdigest()[:16]
            card = {"fingerprint": name, "raw": raw.name} | _card(written, source, rules)
            (aside / snapshot.CARD).write_text(json.dumps(card, ensure_ascii=False, indent=2) + "\n")
            write_snapshot.publish(aside, root / name)
            refused.unlink()
    return root / name


@contextlib.contextmanager
def _removed(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(source: Lines, aside: Path, stage: str, progress: Progress) -> _Writer:
    refused = (aside / snapshot.QUARANTINE).open("w", encoding="utf-8")
    with (aside / LINES).open("wb") as lines, refused:
        writer = _Writer(lines, refused, stage)
        for number, entry in enumerate(source.scan(), start=1):
            writer.put(entry)
            if number % _TOLD == 0:
                progress("read", number, None)
    progress("read", writer.counts.found, writer.counts.found)
    return writer


def _keep_refused(aside: Path, folder: Path) -> Path:
    """Copy the quarantine list to where it can be read even if there will be no snapshot."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(aside / snapshot.QUARANTINE, folder / snapshot.QUARANTINE))


def _require_sound(counts: _Counts, source: Lines, rules: CorpusRules, refused: Path) -> None:
    if counts.found != counts.accepted + counts.quarantined + counts.skipped.total():
        raise InternalError(f"ingest of {source.description} lost count", got=vars(counts))
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.reasons.items()))
    if counts.quarantined > rules.max_bad_fraction * (counts.accepted + counts.quarantined):
        raise DataError(
            f"{source.description}: {counts.quarantined:,} of {counts.accepted + counts.quarantined:,} lines "
            f"are unusable (limit {100 * rules.max_bad_fraction:g} %): {reasons}",
            todo=f"read {refused}, and correct the data or raise data.max_bad_fraction",
        )
    if not counts.accepted:
        passed = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.skipped.items()))
        raise DataError(
            f"no text in {source.description}",
            got=f"only {passed}" if passed else "nothing",
            todo="check that the files are of the expected kind",
        )


def _card(written: _Writer, source: Lines, rules: CorpusRules) -> dict[str, Any]:
    counts = written.counts
    return {
        "source": source.description,
        "layout": "corpus",
        "root": escape(source.root),
        "found": counts.found,
        "accepted": counts.accepted,
        "quarantined": counts.quarantined,
        "skipped": counts.skipped.total(),
        "reasons": dict(sorted(counts.reasons.items())),
        "skip_reasons": dict(sorted(counts.skipped.items())),
        "skipped_endings": dict(sorted(counts.suffixes.items())),
        "sizes": {"bytes": counts.size, "longest_line": counts.longest},
        "lines_sha256": written.digest.hexdigest(),
        "decisions": source.decisions.card(),
        "rules": rules.model_dump(mode="json"),
    }
