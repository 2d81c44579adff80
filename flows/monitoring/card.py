"""A monitoring in a few lines of Markdown, as Prefect shows it: the measures, and what differs most."""

from collections.abc import Iterator

from flows.monitoring.monitor import Monitoring
from flows.monitoring.page import COLUMNS, gallery, rows
from flows.reports.card import LARGEST_PICTURE, cell, embedded, table_of
from flows.reports.pages.media import Media

#: Drifted measures of which examples are shown, and how many of each.
MOST_EXPLAINED, SHOWN = 3, 3


def card(outcome: Monitoring, retraining: str = "") -> str:
    """Write the verdict, what came of it, the table of measures and a few examples.

    Args:
        outcome: of a monitoring.
        retraining: whether a training was started, or why not.
    """
    given = (
        f"Version {outcome.version}; {len(outcome.live.requests):,} live examples, "
        f"{len(outcome.live.refused):,} refused, of {outcome.watch.data}"
    )
    parts = [
        f"**{cell(outcome.verdict)}**",
        cell(retraining),
        cell(given),
        table_of(COLUMNS, rows(outcome.shifts)),
        *_examples(outcome),
    ]
    return "\n\n".join(filter(None, parts))


def _examples(outcome: Monitoring) -> Iterator[str]:
    for shift in outcome.drifted[:MOST_EXPLAINED]:
        if items := gallery(outcome, shift)[:SHOWN]:
            yield f"**Drift in {cell(shift.measure)}**: the live examples that differ most"
            yield "\n\n".join(map(_example, items))


def _example(item: Media) -> str:
    caption = cell(f"{item.title}: {'; '.join(item.lines)}")
    if item.data is not None and len(item.data) <= LARGEST_PICTURE:
        return f"{caption}\n\n{embedded(item.title, item.data, item.mime)}"
    return f"{caption}\n\n> {cell(item.text)}" if item.text else caption
