"""The stages of one ingest: recognise, examine, resolve copies, check, split, write."""

import hashlib
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features import quarantine
from features.datasets import snapshot, splits
from features.decisions import Decisions
from features.errors import ConfigError, DataError, InternalError
from features.ingest import agreement, copies, write_snapshot
from features.ingest.examination import Examination, Findings
from features.ingest.rules import ExampleRules
from features.names import counted, escape, suffix_of
from features.sources.files.candidates import Columns, Source
from features.sources.files.object_copies import FOLDER, Copies
from features.sources.files.selection import FOLLOW
from features.sources.recognise import recognise
from features.spec import SPLITS, Progress, RawKind
from features.spread import Spread
from features.storage.locks import exclusive
from features.targets.target import Gathered, Target


def run(
    path: Path,
    raw: RawKind,
    target: Target,
    columns: Columns,
    rules: ExampleRules,
    root: Path,
    progress: Progress,
    spread: Spread | None = None,
) -> Path:
    """Ingest a source; see `ingest.ingest`.

    Returns:
        The snapshot's folder, below root.
    """
    key = hashlib.sha256(os.fsencode(path.absolute().resolve())).hexdigest()[:16]
    reading = rules.reading(columns)
    with exclusive(root / ".locks" / f"{key}.lock", f"ingest of {path}"):
        source = recognise(
            path,
            raw,
            replace(
                reading,
                table=replace(reading.table, objects=Copies(root / FOLDER)),
                usual_targets=target.usual,
                several_targets=target.several,
                target_gaps=target.gaps,
                annotations=target.annotations,
                beside=target.beside,
                find_targets=target.columns,
            ),
            root / ".unpacked",
            labelling=rules.labelling,
            packing=rules.archive_rules(),
            follow_symlinks=rules.follow_symlinks,
            progress=progress,
        )
        _require_blocks(source, rules)
        rules = rules.settled(source)
        source = rules.narrowed(source)
        examination = Examination(source, raw, target, rules, root / ".index", key, progress, spread)
        findings = examination.run()
        agreement.require(examination, raw, rules, source.decisions, progress)
        _decide(findings, source)
        findings.accepted = copies.resolve(
            findings.accepted, examination.refuse_example, conflicts=rules.conflicts
        )
        refused = _list_refused(findings, root / ".refused" / key)
        _require_sound(findings, source, rules, refused)
        _split(findings, source, target, rules)
        duplicates = copies.annotate(findings.accepted)
        card = _card(findings, source, raw, target, rules) | {"duplicates": duplicates}
        directory = write_snapshot.write(root, key, findings, target, card, progress)
        refused.unlink()
    return directory


def _list_refused(findings: Findings, folder: Path) -> Path:
    """Write the quarantine list where it can be read even if the run stops before there is a snapshot."""
    with snapshot.storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        quarantine.write(folder / snapshot.QUARANTINE, findings.quarantined)
    return folder / snapshot.QUARANTINE


def _require_sound(findings: Findings, source: Source, rules: ExampleRules, refused: Path) -> None:
    accepted, bad = len(findings.accepted), len(findings.quarantined)
    skipped = sum(findings.skipped.values())
    if findings.found != accepted + bad + skipped:
        raise InternalError(
            f"ingest of {source.description} lost count",
            got=f"{findings.found} found, {accepted} accepted, {bad} quarantined, {skipped} skipped",
            todo="report this with the quarantine list " + str(refused),
        )
    if "internal_error" in findings.reasons():
        raise InternalError(
            f"Servable failed on an example of {source.description}",
            got=_listed(findings.reasons()),
            todo=f"report the entry with reason internal_error in {refused}",
        )
    lost = findings.lost.total()
    if bad + lost > rules.max_bad_fraction * (accepted + bad + lost):
        raise DataError(
            f"{bad + lost:,} of {accepted + bad + lost:,} examples of {source.description} are unusable "
            f"(limit {100 * rules.max_bad_fraction:g} %): {', '.join(_losses(findings))}",
            todo="; ".join(_remedies(findings, refused)) + ", or raise data.max_bad_fraction",
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _losses(findings: Findings) -> Iterator[str]:
    """Name a quarantined example for each reason, the most frequent first, and what was skipped."""
    for reason, count in Counter(entry["reason"] for entry in findings.quarantined).most_common():
        first = next(entry for entry in findings.quarantined if entry["reason"] == reason)
        place = next((f" {kind} {first[kind]}" for kind in ("line", "row") if kind in first), "")
        more = f" and {count - 1:,} more" if count > 1 else ""
        yield f"{first['path']}{place} ({reason}: {first['detail']}){more}"
    for (reason, suffix), count in sorted(findings.lost.items()):
        yield f"{counted(count, 'skipped file')} {suffix or 'without extension'} ({reason})"


#: What becomes useful of skipped files that look like examples.
_REMEDIES = {
    "symlink": FOLLOW,
    "outside_class_folder": "move the files beside the class folders into them, or away",
    "unsupported_extension": "rename the files to the ending that is read",
}


def _remedies(findings: Findings, refused: Path) -> Iterator[str]:
    if findings.quarantined:
        yield f"read {refused}, and correct the data"
    for reason in sorted({reason for reason, _ in findings.lost}):
        yield _REMEDIES[reason]


#: Notes on boxes that the user is told about: what was done, why, and whether to look at it.
_NOTED = {
    "clipped_boxes": ("clipped in", "partly outside; data.outside=refuse leaves them out", False),
    "other_orientation": (
        "coordinates may count in the other orientation in",
        "the declared size is that before EXIF turns the photo, or after it; see data.boxes",
        True,
    ),
}


def _decide(findings: Findings, source: Source) -> None:
    """Record what was decided about files: contents that are not what their ending says, and links."""
    misnamed = Counter(
        (suffix_of(example.candidate.name.encode()), example.verdict.format)
        for example in findings.accepted
        if "extension_mismatch" in example.verdict.notes
    )
    for (suffix, form), count in sorted(misnamed.items()):
        source.decisions.add(
            "files", suffix, f"{count} read as {form}", "the content decides, not the ending"
        )
    noted = Counter(note for example in findings.accepted for note in example.notes)
    for note, (choice, reason, warning) in _NOTED.items():
        if count := noted[note]:
            source.decisions.add(
                "boxes", note, f"{choice} {counted(count, 'image')}", reason, warning=warning
            )
    if links := findings.skipped["symlink"]:
        choice = f"{links} symbolic {'links' if links > 1 else 'link'} not followed"
        reason = "--set data.follow_symlinks=true follows them, but in an archive never"
        source.decisions.add("links", "", choice, reason, warning=True)
    elif followed := sum(example.candidate.link is not None for example in findings.accepted):
        source.decisions.add("links", "", f"{followed} files read through symbolic links", "as asked for")


def _require_blocks(source: Source, rules: ExampleRules) -> None:
    if rules.block_column is not None and not source.layout.endswith(("table", "tables")):
        raise ConfigError(
            "data.block_column needs a table",
            got=source.description,
            expected="a table",
            todo="pass the table as --data, or leave data.block_column out",
        )


def _split(findings: Findings, source: Source, target: Target, rules: ExampleRules) -> None:
    """Check the targets and give every example its split."""
    examples = findings.accepted
    texts = [example.label for example in examples]
    lost = set(source.classes) - set(findings.labels)
    declared = {**findings.labels, **target.read(lost, rules, Decisions())} if lost else findings.labels
    gathered = Gathered(
        texts,
        sorted({text for label in source.classes if isinstance(text := declared[label], str)}),
        _instead(findings),
        rules.labelling,
        FOLLOW if findings.skipped["symlink"] else None,
    )
    target.check(gathered)
    identities = [example.verdict.identity for example in examples]
    assigned = splits.assign(
        target.strata(texts) if rules.labelling == "required" else None,
        splits.joined(identities, [example.candidate.block for example in examples]),
        [example.split for example in examples],
        validation_fraction=rules.validation_fraction,
        test_fraction=rules.test_fraction,
        seed=rules.seed,
    )
    if rules.labelling == "table":
        splits.require_both(assigned)
    target.check(replace(gathered, splits=assigned))
    for example, split in zip(examples, assigned, strict=True):
        example.split = split


#: Labels that were merged which a message names; longer ones are no names.
_MERGED, _NAME = 6, 60


def _instead(findings: Findings) -> str:
    """Return what was found in place of usable examples."""
    parts = [f"{reason} {count}" for reason, count in findings.reasons().items()]
    for reason, count in sorted(findings.skipped.items()):
        endings = ", ".join(f"{ending} {number}" for ending, number in sorted(findings.suffixes.items()))
        parts.append(f"{reason} {count}" + (f" ({endings})" if reason == "unsupported_extension" else ""))
    merged = [
        f"{label!r} read as {named!r}"
        for label, named in findings.labels.items()
        if isinstance(named, str) and named != label and len(label) <= _NAME
    ]
    said = "not used: " + "; ".join(parts) if parts else "nothing else found"
    return "; ".join((said, *sorted(merged)[:_MERGED]))


def _card(
    findings: Findings, source: Source, raw: RawKind, target: Target, rules: ExampleRules
) -> dict[str, Any]:
    examples = findings.accepted
    texts, parts = zip(*((example.label, example.split or "train") for example in examples), strict=True)
    names = target.names(texts, source.targets)
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
        "target": target.name,
        "labels": names,
        **target.summarise(texts, parts, names),
        "splits": {split: parts.count(split) for split in SPLITS},
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
    """Return least, median and most of the bytes and of each measure."""
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
