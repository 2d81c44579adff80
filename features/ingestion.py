"""The stages of one ingest: recognise, examine, resolve copies, check, split, write."""

import hashlib
import os
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from features import copies, quarantine, snapshot, splits
from features.candidates import Columns, Source
from features.classes import check_classes
from features.errors import DataError, InternalError
from features.examination import Examination, Findings
from features.locks import exclusive
from features.names import escape
from features.rules import IngestRules
from features.sources import recognise
from features.spec import SPLITS, Progress, RawKind


def run(
    path: Path, raw: RawKind, columns: Columns, rules: IngestRules, root: Path, progress: Progress
) -> Path:
    """Ingest a source; see `dataset.ingest`.

    Returns:
        The snapshot's folder, below root.
    """
    key = hashlib.sha256(os.fsencode(path.absolute().resolve())).hexdigest()[:16]
    with exclusive(root / ".locks" / f"{key}.lock", f"ingest of {path}"):
        source = recognise(
            path,
            raw,
            rules.reading(columns),
            root / ".unpacked",
            labelling=rules.labelling,
            packing=rules.archive_rules(),
            progress=progress,
        )
        rules = rules.settled(source)
        source = rules.narrowed(source)
        examination = Examination(source, raw, rules, root / ".index", key, progress)
        findings = examination.run()
        findings.accepted = copies.resolve(
            findings.accepted, examination.refuse_example, conflicts=rules.conflicts
        )
        refused = _list_refused(findings, root / ".refused" / key)
        _require_sound(findings, source, rules, refused)
        _split(findings, source, rules)
        duplicates = copies.annotate(findings.accepted)
        card = _card(findings, source, raw, rules) | {"duplicates": duplicates}
        directory = snapshot.write(root, key, findings, card, progress)
        refused.unlink()
    return directory


def _list_refused(findings: Findings, folder: Path) -> Path:
    """Write the quarantine list where it can be read even if the run stops before there is a snapshot."""
    with snapshot.storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        quarantine.write(folder / snapshot.QUARANTINE, findings.quarantined)
    return folder / snapshot.QUARANTINE


def _require_sound(findings: Findings, source: Source, rules: IngestRules, refused: Path) -> None:
    accepted, bad = len(findings.accepted), len(findings.quarantined)
    skipped = sum(findings.skipped.values())
    if findings.found != accepted + bad + skipped:
        raise InternalError(
            f"ingest of {source.description} lost count",
            got=f"{findings.found} found, {accepted} accepted, {bad} quarantined, {skipped} skipped",
            todo="report this with the quarantine list " + str(refused),
        )
    reasons = ", ".join(f"{reason} {count}" for reason, count in findings.reasons().items())
    if "internal_error" in findings.reasons():
        raise InternalError(
            f"Servable failed on an example of {source.description}",
            got=reasons,
            todo=f"report the entry with reason internal_error in {refused}",
        )
    if bad > rules.max_bad_fraction * (accepted + bad):
        raise DataError(
            f"too much of {source.description} cannot be used",
            got=f"{bad} of {accepted + bad} examples quarantined ({reasons}), as {_example(findings)}",
            expected=f"at most {rules.max_bad_fraction:.1%}",
            todo=f"read {refused}, and correct the data or raise data.max_bad_fraction",
        )


def _example(findings: Findings) -> str:
    """Show the first of those that the most frequent reason refused."""
    reason, _ = Counter(entry["reason"] for entry in findings.quarantined).most_common(1)[0]
    first = next(entry for entry in findings.quarantined if entry["reason"] == reason)
    line = f" line {first['line']}" if "line" in first else f" row {first['row']}" if "row" in first else ""
    return f"{first['path']}{line}: {first['detail']}"


def _split(findings: Findings, source: Source, rules: IngestRules) -> None:
    """Check the classes and give every example its split."""
    examples = findings.accepted
    declared = {findings.labels.get(label, rules.class_of(label, label)) for label in source.classes}
    check_classes(
        [example.label for example in examples],
        sorted(label for label in declared if label is not None),
        _instead(findings),
        rules.labelling,
    )
    assigned = splits.assign(
        [example.label for example in examples],
        [example.verdict.identity for example in examples],
        [example.split for example in examples],
        validation_fraction=rules.validation_fraction,
        test_fraction=rules.test_fraction,
        seed=rules.seed,
        every_class=rules.labelling == "required",
    )
    for example, split in zip(examples, assigned, strict=True):
        example.split = split


#: Labels that were merged which a message names.
_MERGED = 6


def _instead(findings: Findings) -> str:
    """Say what was found in place of usable examples."""
    parts = [f"{reason} {count}" for reason, count in findings.reasons().items()]
    for reason, count in sorted(findings.skipped.items()):
        endings = ", ".join(f"{ending} {number}" for ending, number in sorted(findings.suffixes.items()))
        parts.append(f"{reason} {count}" + (f" ({endings})" if reason == "unsupported_extension" else ""))
    merged = [
        f"{label!r} read as {named!r}"
        for label, named in findings.labels.items()
        if named not in (label, None)
    ]
    said = "not used: " + "; ".join(parts) if parts else "nothing else found"
    return "; ".join((said, *sorted(merged)[:_MERGED]))


def _card(findings: Findings, source: Source, raw: RawKind, rules: IngestRules) -> dict[str, Any]:
    examples = findings.accepted
    classes: dict[str, dict[str, int]] = {}
    for example in examples:
        classes.setdefault(example.label, dict.fromkeys(SPLITS, 0))[example.split or "train"] += 1
    return {
        "source": source.description,
        "layout": source.layout,
        "root": escape(source.root),
        "raw": raw.name,
        "found": findings.found,
        "accepted": len(examples),
        "quarantined": len(findings.quarantined),
        "skipped": sum(findings.skipped.values()),
        "reasons": findings.reasons(),
        "skip_reasons": dict(sorted(findings.skipped.items())),
        "skipped_endings": dict(sorted(findings.suffixes.items())),
        "classes": dict(sorted(classes.items())),
        "splits": {split: sum(counts[split] for counts in classes.values()) for split in SPLITS},
        "splits_given": sorted({example.candidate.split for example in examples if example.candidate.split}),
        "formats": dict(sorted(Counter(example.verdict.format for example in examples).items())),
        "notes": dict(
            sorted(Counter(note for example in examples for note in example.verdict.notes).items())
        ),
        "sizes": _sizes(findings),
        "values": _values(findings),
        "decoded": findings.decoded,
        "reused": findings.reused,
        "decisions": source.decisions.card(),
        "rules": rules.model_dump(mode="json"),
    }


#: Measures with at most so many different values are counted, as sample rates and channels are.
_FEW = 24


def _values(findings: Findings) -> dict[str, dict[str, int]]:
    """Count the examples by each whole-numbered measure that has few values."""
    counted: dict[str, Counter[int | float]] = {}
    for example in findings.accepted:
        for name, value in (example.verdict.measures or {}).items():
            counted.setdefault(name, Counter())[value] += 1
    return {
        name: {str(value): count for value, count in sorted(counts.items())}
        for name, counts in counted.items()
        if len(counts) <= _FEW and all(isinstance(value, int) for value in counts)
    }


def _sizes(findings: Findings) -> dict[str, dict[str, float]]:
    """Give least, median and most of the bytes and of each measure."""
    values: dict[str, list[float]] = {"bytes": []}
    for example in findings.accepted:
        values["bytes"].append(example.verdict.size or 0)
        for name, value in (example.verdict.measures or {}).items():
            values.setdefault(name, []).append(value)
    return {
        name: {"least": min(column), "median": statistics.median(column), "most": max(column)}
        for name, column in values.items()
        if column
    }
