"""Examine every entry of a source: what is accepted, what is quarantined, what is passed over."""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.ingest.rules import ExampleRules
from features.ingest.verdicts import kinds
from features.ingest.verdicts.decoder_pool import DecoderPool, Job
from features.ingest.verdicts.part_examiner import Examiner
from features.ingest.verdicts.verdict import VERSION, Verdict
from features.ingest.verdicts.verdict_index import VerdictIndex
from features.quarantine import RefusedError, record
from features.sources.files.candidates import Candidate, Rejected, Skipped, Source
from features.spec import Progress, RawKind
from features.spread import Spread
from features.storage.files import stamp_of
from features.targets.target import Readings, Target

#: Verdicts are kept, and progress is told, after so many examples or so many seconds.
_SAVE_EVERY, _SAVE_SECONDS = 500, 1.0


@dataclass(slots=True)
class Example:
    """One accepted example on its way into the manifest."""

    candidate: Candidate
    verdict: Verdict
    label: str
    split: str | None
    notes: list[str] = field(default_factory=list)


@dataclass
class Findings:
    """The outcome so far: each entry found stands in exactly one of accepted, quarantined and skipped.

    Attributes:
        found: entries met in the source.
        accepted: examples that can be used.
        quarantined: records as quarantine.record makes them.
        skipped: entries passed over, by reason.
        suffixes: endings of those with reason ``unsupported_extension``.
        labels: what each target was read as; see `features.targets.target.Readings`.
        lost: (reason, ending) of those that look like examples.
        decoded: examples decoded in this run.
        reused: examples whose verdict was known.
    """

    found: int = 0
    accepted: list[Example] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    suffixes: Counter[str] = field(default_factory=Counter)
    labels: Readings = field(default_factory=dict)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    decoded: int = 0
    reused: int = 0

    def reasons(self) -> dict[str, int]:
        """Count the quarantined by reason."""
        return dict(sorted(Counter(entry["reason"] for entry in self.quarantined).items()))


class Examination:
    """One pass over a source.

    Args:
        source: to examine.
        raw: the raw kind of its examples.
        target: what they are answered with.
        rules: limits, and what the target's reading needs.
        cache: folder for the verdict index and converted content.
        key: name of the source in the cache.
        progress: called with the stages ``scan`` and ``decode``.
        spread: decodes files elsewhere; None: in decoder processes of this one.
    """

    def __init__(
        self,
        source: Source,
        raw: RawKind,
        target: Target,
        rules: ExampleRules,
        cache: Path,
        key: str,
        progress: Progress,
        spread: Spread | None = None,
    ) -> None:
        self._spread = spread
        self._source, self._raw, self._rules, self._progress = source, raw, rules, progress
        self._target = target
        self._index_path = cache / f"{key}.sqlite"
        self._parts = cache / f"{key}.parts"
        self._store = cache / "converted"
        self._stage = f"ingest.{raw.name}"
        self.findings = Findings()

    def run(self) -> Findings:
        """Look at every entry; decode what is new or changed.

        Raises:
            InternalError: the decoder processes cannot work.
            StorageError: the verdict index cannot be written.
        """
        candidates = self._labelled(list(self._scan()))
        for candidate, verdict in zip(candidates, self._verdicts(candidates), strict=True):
            if verdict.reason is None:
                self._accept(candidate, verdict)
            else:
                self.refuse(candidate, verdict, verdict.reason, verdict.detail)
        return self.findings

    def _accept(self, candidate: Candidate, verdict: Verdict) -> None:
        """Accept an example if its target fits it; parts that do not fit are refused by themselves."""
        fitted = self._target.fit(candidate.label, verdict.measures or {}, self._rules)
        if isinstance(fitted, RefusedError):
            self.refuse(candidate, verdict, fitted.reason, fitted.detail)
            return
        for part in fitted.left_out:
            self.findings.found += 1
            self.refuse(replace(candidate, row=part.row, line=None), verdict, part.reason, part.detail)
        verdict = replace(verdict, notes=(*verdict.notes, *fitted.notes))
        example = Example(candidate, verdict, fitted.text, candidate.split, list(verdict.notes))
        self.findings.accepted.append(example)

    def refuse(self, candidate: Candidate, verdict: Verdict, reason: str, detail: str) -> None:
        """Put a candidate on the quarantine list."""
        self.findings.quarantined.append(
            record(
                self._relative(candidate),
                stage=self._stage,
                reason=reason,
                detail=detail,
                sha256=verdict.sha256,
                size=verdict.size,
                row=candidate.row,
                line=candidate.line,
            )
        )

    def refuse_example(self, example: Example, reason: str, detail: str) -> None:
        """Put an example that was accepted so far on the quarantine list."""
        self.refuse(example.candidate, example.verdict, reason, detail)

    def _relative(self, candidate: Candidate) -> bytes:
        if candidate.link is not None:
            return candidate.link
        if candidate.path is None:
            return candidate.name.rpartition(":")[0].encode("utf-8")
        if not candidate.path.startswith(self._source.root):
            return candidate.name.encode("utf-8")  # an object, named by its URL
        return candidate.path[len(self._source.root) :].lstrip(b"/")

    def _scan(self) -> Iterator[Candidate]:
        """Yield the candidates as found; account for everything else."""
        findings = self.findings
        for entry in self._source:
            findings.found += 1
            if findings.found % 1000 == 0:
                self._progress("scan", findings.found, None)
            if isinstance(entry, Skipped):
                self._skip(entry)
            elif isinstance(entry, Rejected):
                self._reject(entry)
            else:
                yield entry
        self._progress("scan", findings.found, findings.found)

    def _labelled(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Read the candidates' targets; account for those that are left out or cannot be read."""
        written = {candidate.label for candidate in candidates}
        self.findings.labels = self._target.read(written, self._rules, self._source.decisions)
        labelled = []
        for candidate in candidates:
            label = self.findings.labels[candidate.label]
            if label is None:
                self._skip(Skipped(candidate.name, "dropped_class"))
            elif isinstance(label, RefusedError):
                self.refuse(candidate, Verdict(), label.reason, label.detail)
            else:
                labelled.append(candidate if label == candidate.label else replace(candidate, label=label))
        return labelled

    def _skip(self, entry: Skipped) -> None:
        self.findings.skipped[entry.reason] += 1
        if entry.reason == "unsupported_extension":
            self.findings.suffixes[entry.suffix] += 1
        if entry.resembles:
            self.findings.lost[entry.reason, entry.suffix] += 1

    def _reject(self, entry: Rejected) -> None:
        self.findings.quarantined.append(
            record(
                entry.relative,
                stage=self._stage,
                reason=entry.reason,
                detail=entry.detail,
                row=entry.row,
                line=entry.line,
                offset=entry.offset,
            )
        )

    def index(self, rules: Mapping[str, Any]) -> VerdictIndex:
        """Open this source's cache of verdicts that depend on these rules."""
        return VerdictIndex(self._index_path, rules)

    def _verdicts(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Return each candidate's verdict, from the index where its file is unchanged."""
        rules = {"raw": self._raw.name, "version": VERSION, **self._rules.verdict_rules()}
        with self.index(rules) as index:
            files = [candidate.path for candidate in candidates if candidate.path is not None]
            cached = dict(zip(files, index.find(files, [_stamp(path) for path in files]), strict=True))
            jobs: dict[Job, list[int]] = defaultdict(list)
            verdicts: list[Verdict | None] = []
            for place, candidate in enumerate(candidates):
                verdicts.append(cached.get(candidate.path) if candidate.path is not None else None)
                if verdicts[-1] is None:
                    jobs[Job(candidate.path, candidate.content)].append(place)
            self.findings.reused = len(candidates) - sum(map(len, jobs.values()))
            for job, verdict in self._decode(list(jobs), index):
                for place in jobs[job]:
                    verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _decode(self, jobs: list[Job], index: VerdictIndex) -> Iterator[tuple[Job, Verdict]]:
        """Examine in other processes; keep verdicts as they come, so that a killed run loses few."""
        for batch in _timely(self._examined(jobs)):
            index.add((job.path, verdict) for job, verdict in batch if job.path is not None)
            self.findings.decoded += len(batch)
            self._progress("decode", self.findings.decoded, len(jobs))
            yield from batch

    def _examined(self, jobs: list[Job]) -> Iterator[tuple[Job, Verdict]]:
        """Examine files where they are spread to, if they are; all else in decoder processes of this one."""
        rules, store = self._rules.decoder_rules(), os.fsencode(self._store)
        if self._spread is not None:
            files = [job.path for job in jobs if job.path is not None]
            examiner = Examiner(self._raw.name, json.dumps(rules), store, self._parts)
            for path, verdict in examiner.examined(files, self._spread):
                yield Job(path), verdict
            # What stands in a table is not sent to be read: it would travel instead of a path.
            jobs = [job for job in jobs if job.path is None]
        with DecoderPool(kinds.reader(self._raw), rules, store, self._rules.decode_processes) as pool:
            for place, verdict in pool.examine(jobs):
                yield jobs[place], verdict


def _timely(answers: Iterable[tuple[Job, Verdict]]) -> Iterator[list[tuple[Job, Verdict]]]:
    batch: list[tuple[Job, Verdict]] = []
    begin = time.monotonic()
    for answer in answers:
        batch.append(answer)
        if len(batch) >= _SAVE_EVERY or time.monotonic() - begin > _SAVE_SECONDS:
            yield batch
            batch, begin = [], time.monotonic()
    if batch:
        yield batch


def _stamp(path: bytes) -> tuple[int, int, int, int] | None:
    try:
        return stamp_of(os.lstat(path))
    except OSError:
        return None
