"""The sections of a report on recognised speech."""

from collections.abc import Iterator
from dataclasses import replace

from flows.reports.context import Context
from flows.reports.page import Fact, Section, Table
from flows.reports.sections import parts
from models.evaluation.transcripts import chunks

#: Examples with most errors that are shown, and pairs of words.
SHOWN, PAIRS = 24, 24

MEANINGS = {
    "wer": "word error rate: substituted, missing and added words over the words said",
    "cer": "character error rate, likewise, spaces included",
    "sentence_error_rate": "share of recordings with any error",
    "substitutions": "words taken for others",
    "deletions": "words missing in the answers",
    "insertions": "words that were not said",
    "words": "words said",
    "examples": "recordings measured",
}


def facts(context: Context) -> list[Fact]:
    """Count recordings and labels."""
    measured, frame = context.measured.metrics, context.dataset.frame
    return [
        Fact("test recordings", int(measured["test/examples"])),
        Fact("training recordings", int((frame["split"] == "train").sum())),
        Fact("training minutes", f"{frame.loc[frame['split'] == 'train', 'seconds'].sum() / 60:.1f}"),
        Fact("character error rate", f"{measured['test/cer']:.1%}".replace("%", " %")),
    ]


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate error rates, and the words that are confused most."""
    measured = context.measured
    yield Section("Metrics", tables=[parts.metric_table(measured, MEANINGS)])
    rows = measured.confused.head(PAIRS).to_numpy(object).tolist()
    if rows:
        prose = "A dash stands where a word is missing, or where none was said."
        shown = [[said or "—", recognised or "—", times] for said, recognised, times in rows]
        table = Table(("said", "recognised", "times"), shown)
        yield Section("Most confused words", prose=[prose], tables=[table])


def worst(context: Context) -> Iterator[Section]:
    """Show the recordings with most errors: what was said, with errors coloured, and a player."""
    measured, items = context.measured, []
    for example in measured.worst[measured.worst["errors"] > 0].head(SHOWN).itertuples():
        lines = [f"{example.errors} errors in {example.words} words"]
        item, _ = context.measured_example(int(example.row), lines)
        items.append(replace(item, data=None, aligned=chunks(example.reference, example.answer)))
    wrong = int((measured.worst["errors"] > 0).sum())
    prose = (
        f"{len(items)} of {wrong:,d} recordings with errors. Struck out: said, and not recognised; "
        "underlined: recognised in its place."
    )
    if items:
        yield Section("Most errors", prose=[prose], media=items)
