"""The sections of a report on predicted points."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from features.images.preview import preview
from features.targets import upright
from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.page import Baseline, Fact, Headline, Section, Table
from flows.reports.sections import parts
from models.figures import keypoints
from models.figures.drawing import marks

#: Examples at the top of the page.
LEADING = 6
#: Examples shown whose points are farthest off, and pixels of their longer side.
SHOWN, SIDE = 24, 320

MEANINGS = {
    "mean_error_px": "mean distance of predicted and true points, in pixels of the image",
    "median_error_px": "median of this distance",
    "nme": "mean distance, divided by {unit}",
    "pck_05": "share of points within 5 % of {unit} (PCK, Yang and Ramanan 2013)",
    "mean_shape_px": "mean distance if the mean shape of the training split is always the answer",
    "examples": "examples measured",
    "points": "points measured",
}


def facts(context: Context) -> list[Fact]:
    """Count examples and points."""
    return [
        Fact("test examples", int(context.measured.metrics["test/examples"])),
        Fact("points", len(context.dataset.labels)),
        parts.training_examples(context.dataset),
    ]


def headline(context: Context) -> Headline:
    """Show the mean error beside that of the mean shape."""
    measured = context.measured
    baseline = measured.metrics["test/mean_shape_px"]
    return parts.headline(
        measured,
        unit="px",
        baselines=[Baseline("always the mean shape of the training split", baseline)],
        ends=(0.0, 1.1 * max(baseline, measured.interval.high, 1e-6)),
    )


def lead(context: Context) -> Section:
    """Draw some test examples, from the smallest error to the largest."""
    worst = context.measured.worst
    places = np.unique(np.linspace(0, len(worst) - 1, min(LEADING, len(worst))).round().astype(int))
    items = [_drawn(context, example) for example in worst.iloc[places[::-1]].itertuples()]
    title = "Test examples, from the smallest error to the largest: predicted points red, true ones green"
    return Section(title, media=items)


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the errors, beside those of the mean shape, and draw the curve of right points."""
    measured = context.measured
    yield Section(
        "Metrics",
        prose=[f"Normalised errors are divided by {measured.normalised_by}."],
        tables=[parts.metric_table(measured, MEANINGS, unit=measured.normalised_by)],
        figures=[
            media.picture(
                "Points within a distance", partial(keypoints.pck, measured.curve, measured.normalised_by)
            )
        ],
    )
    rows = measured.per_point.to_numpy(object).tolist()
    yield Section(
        "Points",
        figures=[media.picture("Error of each point", partial(keypoints.per_point, measured.per_point))],
        tables=[Table(_headings(measured.per_point), rows, "By point", folded=len(rows) > 24)],
    )


#: Column of the table of points to its heading.
_HEADINGS = {
    "name": "point",
    "mean_error_px": "mean error, px",
    "median_error_px": "median error, px",
    "nme": "normalised error",
    "pck_05": "within 5 %",
    "mean_shape_px": "error of the mean shape, px",
}


def _headings(table: Any) -> tuple[str, ...]:
    return tuple(_HEADINGS.get(str(name), str(name)) for name in table.columns)


def worst(context: Context) -> Iterator[Section]:
    """Draw the examples whose points are farthest off."""
    worst = context.measured.worst
    items = [_drawn(context, example) for example in worst.head(SHOWN).itertuples()]
    prose = (
        f"The {len(items)} of {len(worst):,d} test examples with the largest mean error. Predicted "
        "points are red, true ones green, with a line from each to its prediction."
    )
    yield Section("Largest errors", prose=[prose], media=items)


def _drawn(context: Context, example: Any) -> media.Media:
    """Draw an example with its true and predicted points."""
    measured, row = context.measured, int(example.row)
    item, raw = context.measured_example(row, [f"mean error {example.error:.3g} px"])
    photo = preview(raw, SIDE) if raw else None
    if photo is None:
        return item
    size = upright.sizes(context.dataset.measured.iloc[[row]])[0]
    drawn = marks.points(
        marks.enlarged(photo, SIDE), measured.points[row] / size, measured.targets[row] / size
    )
    return media.photo(drawn, item.title, item.lines)
