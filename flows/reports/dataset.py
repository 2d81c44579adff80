"""What a report and a dry run tell of a dataset: where every example went, and what the targets are."""

from collections.abc import Callable, Mapping
from typing import Any

from features import decisions, quarantine
from features.spec import SPLITS
from flows.reports.pages.page import Fact, Section, Table


def describe(card: Mapping[str, Any]) -> Section:
    """Describe a dataset or corpus: where every example went, and what the targets are.

    Args:
        card: ``source``, ``found``, ``accepted``, ``quarantined``, ``skipped`` counts, ``reasons``
            (quarantine reason to count), ``skip_reasons``, ``formats`` and ``notes`` (likewise),
            ``decisions``, and ``classes`` or ``numbers``, of which any may be missing.
    """
    counts = [
        Fact(name, card[name]) for name in ("found", "accepted", "quarantined", "skipped") if name in card
    ]
    tables = of_targets(card)
    tables += [
        Table((name, "examples"), list(counts.items()), f"Examples by {name}", folded=True)
        for name, counts in card.get("values", {}).items()
        if len(counts) > 1 or name == "rate"
    ]
    prose = [card["source"]] if "source" in card else []
    return Section("Dataset", prose=prose, facts=counts, tables=[*tables, *ingested(card)])


def of_targets(card: Mapping[str, Any]) -> list[Table]:
    """Tabulate the targets of a dataset by split."""
    return [make(card[key]) for key, make in TARGET_TABLES.items() if key in card]


def _class_table(classes: Mapping[str, Mapping[str, int]]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in classes.values())]
    # Without labels all examples stand under one.
    names = classes if len(classes) > 1 else ["examples"]
    rows_of = zip(names, classes.values(), strict=True)
    counts = {name: [row.get(split, 0) for split in splits] for name, row in rows_of}
    rows: list[list[object]] = [[label, *row, sum(row)] for label, row in counts.items()]
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    rows.append(["all", *totals, sum(totals)])
    return Table(("class", *splits, "all"), rows, "Examples by class and split", folded=len(classes) > 24)


#: What the card has of each number, and the heading of its column.
_NUMBER_COLUMNS = {
    "examples": "examples",
    "least": "least",
    "lower_quartile": "lower quartile",
    "median": "median",
    "upper_quartile": "upper quartile",
    "most": "most",
    "mean": "mean",
    "deviation": "deviation",
    "most_frequent": "most frequent",
    "most_frequent_share": "its share",
}


def _number_table(numbers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    rows: list[list[object]] = [
        [name, split, *map(part.get, _NUMBER_COLUMNS)]
        for name, parts in numbers.items()
        for split, part in parts.items()
    ]
    heads = ("number", "split", *_NUMBER_COLUMNS.values())
    return Table(heads, rows, "Targets by split", frozenset({"its share"}))


def _point_table(points: Mapping[str, Mapping[str, int]]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in points.values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits)] for name, counts in points.items()
    ]
    return Table(("point", *splits), rows, "Examples in which a point is annotated", folded=len(rows) > 24)


def _box_table(boxes: Mapping[str, Any]) -> Table:
    classes, sizes = boxes["classes"], boxes["sizes"]
    splits = [split for split in SPLITS if any(row.get(split) for row in classes.values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits), sizes.get(name, {}).get("median")]
        for name, counts in classes.items()
    ]
    empty = boxes["images_without_boxes"]
    rows.append(["images without objects", *(empty.get(split, 0) for split in splits), None])
    columns = ("class", *splits, "median size, px")
    return Table(columns, rows, "Boxes by class and split", folded=len(rows) > 24)


def _transcript_table(transcripts: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tabulate the transcripts of each split, with what the training split does not know of the others."""
    columns = ("examples", "words", "characters", "different_words", "unknown_words", "unknown_characters")
    rows: list[list[object]] = [
        [split, *(_labels(transcripts[split][column]) for column in columns)]
        for split in SPLITS
        if split in transcripts
    ]
    heads = ("split", *(column.replace("_", " ") for column in columns))
    return Table(heads, rows, "Transcripts by split")


def _labels(value: Any) -> object:
    """Write counts by label in words: how many, and which."""
    if not isinstance(value, Mapping):
        return value
    if not value:
        return "none"
    return f"{sum(value.values())}: {', '.join(map(str, list(value)[:20]))}"


def _sentence_table(sentences: Mapping[str, Mapping[str, float]]) -> Table:
    columns = ("examples", "different", "least", "median", "most")
    rows: list[list[object]] = [[split, *map(part.get, columns)] for split, part in sentences.items()]
    heads = ("split", "pairs", "different targets", "least characters", "median", "most")
    return Table(heads, rows, "Targets by split")


def _note_table(music: Mapping[str, Any]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in music["keys"].values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits)] for name, counts in music["keys"].items()
    ]
    totals = [sum(row[place] for row in rows) for place in range(1, len(splits) + 1)]  # type: ignore[misc]
    return Table(("key", *splits), [*rows, ["all", *totals]], "Notes by key and split", folded=True)


#: Key of a card that describes targets, to the table of it.
TARGET_TABLES: dict[str, Callable[[Mapping[str, Any]], Table]] = {
    "classes": _class_table,
    "numbers": _number_table,
    "points": _point_table,
    "boxes": _box_table,
    "transcripts": _transcript_table,
    "sentences": _sentence_table,
    "music": _note_table,
}


#: The counts of a card that a report shows: key of the card, heading, caption, what each entry means.
_COUNTED: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("reasons", "reason", "Quarantined", quarantine.REASONS),
    ("skip_reasons", "rule", "Skipped by rule", quarantine.SKIPS),
    ("skipped_endings", "ending", "Endings of files skipped for them", {}),
    ("formats", "format", "Formats", {}),
    ("notes", "note", "Accepted, with a note", quarantine.NOTES),
)


def ingested(card: Mapping[str, Any]) -> list[Table]:
    """Tabulate what ingest decided about the data, and what it refused, skipped and noted."""
    tables = []
    if decided := decisions.from_card(card):
        decided.sort(key=lambda decision: not decision.warning)
        rows = [
            [f"{decision.topic} {decision.name}".strip(), decision.choice, decision.reason]
            for decision in decided
        ]
        columns: tuple[str, ...] = ("about", "choice", "reason")
        if not any(reason for *_, reason in rows):
            rows, columns = [row[:2] for row in rows], columns[:2]
        tables.append(Table(columns, rows, "Decided at ingest", folded=len(rows) > 24))
    for key, heading, caption, meanings in _COUNTED:
        counts = sorted(card.get(key, {}).items(), key=lambda item: (-item[1], item[0]))
        if meanings and counts:
            rows = [[name, count, meanings.get(name, "")] for name, count in counts]
            tables.append(Table((heading, "count", "meaning"), rows, caption))
        elif len(counts) > 1:
            tables.append(Table((heading, "count"), counts, caption, folded=True))
    return tables
