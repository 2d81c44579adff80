"""A corpus: lines of text without labels, streamed from their source into one clean file.

No more than one line is ever held in memory, so a corpus may be larger than that.
"""

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
from features.sources.candidates import Columns, Rejected, Skipped
from features.errors import DataError, InternalError
from features.sources.lines import End, Entry, Lines, recognise
from features.storage.locks import exclusive
from features.names import escape
from features.ingest.rules import CorpusRules
from features.spec import Progress, RawKind, silent

LINES, VERSION = "lines.txt", 2
#: Progress is told after so many lines.
_TOLD = 10_000


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
        """Tell how many lines there are; all are trained on."""
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
        found = quarantine.record(
            entry.relative,
            stage=self._stage,
            reason=entry.reason,
            detail=entry.detail,
            row=entry.row,
            line=entry.line,
            offset=entry.offset,
        )
        self._refused.write(json.dumps(found, ensure_ascii=False) + "\n")


def run(
    path: Path, raw: RawKind, columns: Columns, rules: CorpusRules, root: Path, progress: Progress
) -> Path:
    """Ingest lines of text; parameters and errors as of ``dataset.ingest``.

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
            snapshot.publish(aside, root / name)
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
            f"too much of {source.description} cannot be used",
            got=f"{counts.quarantined} of {counts.found} lines quarantined ({reasons})",
            expected=f"at most {rules.max_bad_fraction:.1%}",
            todo=f"read {refused}, and correct the data or raise data.max_bad_fraction",
        )
    if not counts.accepted:
        passed = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.skipped.items()))
        raise DataError(
            f"{source.description} hold no line of text",
            got=f"nothing but {passed}" if passed else "nothing",
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
