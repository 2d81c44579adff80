"""The sections of a report on predicted numbers."""

from collections.abc import Iterator
from functools import partial

from flows.reports import media
from flows.reports.context import Context
from flows.reports.page import Fact, Section
from flows.reports.sections import parts
from models.figures import regression

#: Examples shown whose predictions are farthest off.
SHOWN = 24


def facts(context: Context) -> list[Fact]:
    """Count examples and numbers."""
    return [
        Fact("test examples", int(context.measured.metrics["test/examples"])),
        Fact("numbers", len(context.dataset.labels)),
        Fact("training examples", int((context.dataset.frame["split"] == "train").sum())),
    ]


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the errors, beside those of the baselines."""
    yield parts.number_metrics(context.measured)


def predictions(context: Context) -> Iterator[Section]:
    """Draw predicted against true numbers, and the errors."""
    measured = context.measured
    figures = []
    for place, name in enumerate(measured.names):
        pair = measured.targets[:, place], measured.values[:, place]
        drawings = (("Predicted against true", regression.predictions), ("Errors", regression.residuals))
        for title, draw in drawings:
            heading = f"{title} {name}" if title.endswith("true") else f"{title} of {name}"
            figures.append(media.picture(heading, partial(draw, *pair, name)))
    prose = "Points on the dashed line are predicted right; an error is predicted less true."
    yield Section("Predictions", prose=[prose], figures=figures)


def worst(context: Context) -> Iterator[Section]:
    """Show the examples whose predictions are farthest off."""
    items = []
    for example in context.measured.worst.head(SHOWN).itertuples():
        lines = [f"is {example.target}", f"predicted {example.prediction}"]
        items.append(context.measured_example(int(example.row), lines)[0])
    total = len(context.measured.worst)
    prose = f"The {len(items)} of {total:,d} test examples whose predictions are farthest off."
    yield Section("Largest errors", prose=[prose], media=items)
