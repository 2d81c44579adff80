"""The sections of a report on recognised speech."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from flows.reports.pages.context import Context
from flows.reports.pages.page import Baseline, Fact, Headline, Legend, Section, Table, percent
from flows.reports.sections import parts
from models.evaluation.measures.transcripts import chunks

#: Recordings at the top of the page.
LEADING = 3
#: Examples with most errors that are shown, and pairs of words.
SHOWN, PAIRS = 24, 24

MEANINGS = {
    "wer": "word error rate: substituted, missing and added words over the words said",
    "cer": "character error rate, likewise, spaces included",
    "sentence_error_rate": "share of recordings with any error",
    "substitutions": "words recognised as others",
    "deletions": "words missing in the answers",
    "insertions": "words recognised that were not said",
    "words": "words said",
    "examples": "recordings measured",
}


def facts(context: Context) -> list[Fact]:
    """Count recordings and labels."""
    measured, frame = context.measured.metrics, context.dataset.frame
    return [
        Fact("test recordings", int(measured["test/examples"])),
        parts.training_examples(context.dataset, "training recordings"),
        Fact("training speech", f"{frame.loc[frame['split'] == 'train', 'seconds'].sum() / 60:.3g} min"),
        Fact("character error rate", percent(measured["test/cer"])),
    ]


def headline(context: Context) -> Headline:
    """Show the word error rate beside that of saying nothing."""
    ends = (0.0, max(1.0, context.measured.interval.high))
    return parts.headline(context.measured, baselines=[Baseline("recognising nothing", 1.0)], ends=ends)


def lead(context: Context) -> Section:
    """Show some recordings with what was recognised, from the best to the worst."""
    worst = context.measured.worst
    places = np.unique(np.linspace(0, len(worst) - 1, min(LEADING, len(worst))).round().astype(int))
    items = [
        context.measured_example(
            int(one.row),
            [f"said: {one.reference}", f"recognised: {one.answer or '(nothing)'}"],
        )[0]
        for one in worst.iloc[places[::-1]].itertuples()
    ]
    return Section("Test recordings, from the fewest errors to the most", media=items)


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate error rates, and the words that are confused most."""
    measured = context.measured
    yield Section("Metrics", tables=[parts.metric_table(measured, MEANINGS)])
    rows = measured.confused.head(PAIRS).to_numpy(object).tolist()
    if rows:
        prose = "A dash stands for a word that was not recognised, or that was not said."
        cells = [[said or "—", recognised or "—", times] for said, recognised, times in rows]
        table = Table(("said", "recognised", "times"), cells)
        yield Section("Most confused words", prose=[prose], tables=[table])


def worst(context: Context) -> Iterator[Section]:
    """Show the recordings with most errors: what was said, with errors coloured, and a player."""
    measured, items = context.measured, []
    for example in measured.worst[measured.worst["errors"] > 0].head(SHOWN).itertuples():
        lines = [f"errors: {example.errors}, words: {example.words}"]
        item, _ = context.measured_example(int(example.row), lines)
        items.append(replace(item, data=None, aligned=chunks(example.reference, example.answer)))
    wrong = int((measured.worst["errors"] > 0).sum())
    prose = f"{len(items)} of {wrong:,d} recordings with errors, the most errors first."
    legend: Legend = (("missed", "said, not recognised"), ("added", "recognised, not said"))
    if items:
        yield Section("Most errors", prose=[prose], media=items, legend=legend)
