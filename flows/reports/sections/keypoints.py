"""The sections of a report on predicted points."""

from collections.abc import Iterator
from functools import partial

from features.images.preview import preview
from features.targets import upright
from flows.reports import media
from flows.reports.context import Context
from flows.reports.page import Fact, Section, Table
from flows.reports.sections import parts
from models.figures import keypoints, marks

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
        Fact("training examples", int((context.dataset.frame["split"] == "train").sum())),
        Fact("mean error", f"{context.measured.metrics['test/mean_error_px']:.2f} px"),
    ]


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
        tables=[Table(tuple(measured.per_point.columns), rows, "By point", folded=len(rows) > 24)],
    )


def worst(context: Context) -> Iterator[Section]:
    """Draw the examples whose points are farthest off."""
    measured, items = context.measured, []
    sizes = upright.sizes(context.dataset.measured)
    for example in measured.worst.head(SHOWN).itertuples():
        row = int(example.row)
        item, raw = context.measured_example(row, [f"mean error {example.error:.2f} px"])
        shown = preview(raw, SIDE) if raw else None
        if shown is not None:
            drawn = marks.points(
                marks.enlarged(shown, SIDE),
                measured.points[row] / sizes[row],
                measured.targets[row] / sizes[row],
            )
            item = media.photo(drawn, item.title, item.lines)
        items.append(item)
    prose = (
        f"The {len(items)} of {len(measured.worst):,d} test examples with the largest mean error. Predicted "
        "points are red; true ones are green, with a line to their prediction."
    )
    yield Section("Largest errors", prose=[prose], media=items)
