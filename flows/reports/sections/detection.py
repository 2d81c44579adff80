"""The sections of a report on predicted boxes."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from features.images.preview import preview
from features.targets import upright
from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.media import Media
from flows.reports.pages.page import Fact, Headline, Section, Table
from flows.reports.sections import parts
from models.evaluation.measures.boxes import ERRORS
from models.figures import detection
from models.figures.drawing import marks

#: Images at the top of the page.
LEADING = 6
#: Images shown of each kind of error, and pixels of their longer side.
SHOWN, SIDE = 8, 480
#: Boxes of an image that get a caption, at most: more would cover it.
CAPTIONED = 6

MEANINGS = {
    "map": "mean AP of the classes, averaged over overlaps (IoU) from 0.50 to 0.95, as COCO defines it",
    "map50": "mean AP of the classes at an overlap of 0.50",
    "map75": "mean AP of the classes at an overlap of 0.75",
    "threshold": "score from which on the boxes below are counted: the one of the highest F1",
    "examples": "images measured",
    "boxes": "objects in them",
}
#: The order in which errors are shown.
_SHOWN_KINDS = ("miss", "false alarm", "wrong class", "poor place", "duplicate", "right")


def facts(context: Context) -> list[Fact]:
    """Count images and objects."""
    metrics = context.measured.metrics
    return [
        Fact("test images", int(metrics["test/examples"])),
        Fact("test objects", int(metrics["test/boxes"])),
        Fact("classes", len(context.dataset.labels)),
        parts.training_examples(context.dataset, "training images"),
    ]


def headline(context: Context) -> Headline:
    """Show the mean average precision, whose baseline is no more than 0."""
    return parts.headline(context.measured)


def lead(context: Context) -> Section | None:
    """Draw images that are right, and others with errors."""
    errors = context.measured.errors
    right = _images(errors[errors["kind"] == "right"])
    wrong = [row for row in _images(errors[errors["kind"] != "right"]) if row not in right[:LEADING]]
    rows = [*right[: LEADING - min(2, len(wrong))], *wrong[:2]]
    if not rows:
        return None
    items = [_answered(context, row) for row in rows]
    return Section("Test images: true objects green, predicted ones red", media=items)


def _answered(context: Context, row: int) -> Media:
    """Draw an image with its objects and all predictions that are counted."""
    measured = context.measured
    truth, predictions = measured.targets[row], measured.boxes[row]
    predictions = predictions[predictions[:, 5] >= measured.threshold]
    item, raw = context.measured_example(row, [f"{len(truth)} true, {len(predictions)} predicted"])
    colors = [marks.TRUE] * len(truth) + [marks.PREDICTED] * len(predictions)
    few = len(predictions) <= CAPTIONED
    captions = [""] * len(truth) + [_caption(measured, box) if few else "" for box in predictions]
    return _with_boxes(
        context, row, (item, raw), np.concatenate([truth[:, :4], predictions[:, :4]]), captions, colors
    )


def _with_boxes(
    context: Context,
    row: int,
    example: tuple[Media, bytes],
    corners: Any,
    captions: list[str],
    colors: list[Any],
) -> Media:
    item, raw = example
    photo = preview(raw, SIDE) if raw else None
    if photo is None:
        return item
    size = np.tile(upright.sizes(context.dataset.measured.iloc[[row]])[0], 2)
    drawn = marks.boxes(marks.enlarged(photo, SIDE), corners / size, captions, colors)
    return media.photo(drawn, item.title, item.lines)


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the average precision, and draw precision against recall."""
    measured = context.measured
    rows = measured.per_class.to_numpy(object).tolist()
    yield Section(
        "Metrics",
        tables=[
            parts.metric_table(measured, MEANINGS),
            Table(_headings(measured.per_class), rows, "By class", folded=len(rows) > 24),
        ],
        figures=[
            media.picture(
                "Precision and recall",
                partial(detection.precision_recall, measured.curves),
                "At an overlap of 0.50.",
            )
        ],
    )


#: Column of the table of classes to its heading.
_HEADINGS = {"name": "class", "ap": "AP", "ap50": "AP at 0.50", "ap75": "AP at 0.75"}


def _headings(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(_HEADINGS.get(str(name), str(name)) for name in table.columns)


def errors(context: Context) -> Iterator[Section]:
    """Count the errors by kind, and draw some of each."""
    measured = context.measured
    counts = measured.errors["kind"].value_counts()
    rows: list[list[object]] = [
        [kind, int(counts.get(kind, 0)), ERRORS[kind]] for kind in ("right", *_SHOWN_KINDS[:-1])
    ]
    prose = (
        f"Boxes with a score from {measured.threshold:.2f} on, against {int(measured.metrics['test/boxes'])} "
        "objects. In the pictures true objects are green, the predictions in question red and others grey."
    )
    yield Section("Errors", prose=[prose], tables=[Table(("kind", "number", "meaning"), rows)])
    for kind in _SHOWN_KINDS:
        of_kind = measured.errors[measured.errors["kind"] == kind]
        if len(of_kind):
            items = [_drawn(context, int(row), of_kind) for row in _images(of_kind)]
            title = f"{kind.capitalize()}: {len(of_kind):,d}"
            yield Section(title, media=items)


def _images(errors: pd.DataFrame) -> list[int]:
    """Choose images: those with most errors first, then those with the surest."""
    grouped = errors.groupby("row").agg(count=("row", "size"), score=("score", "max"))
    order = grouped.sort_values(["count", "score"], ascending=[False, False], kind="stable")
    return [int(row) for row in order.index[:SHOWN]]


def _drawn(context: Context, row: int, of_kind: pd.DataFrame) -> Media:
    """Draw an image with its objects, and the predictions that a table of errors names."""
    measured = context.measured
    meant = of_kind[of_kind["row"] == row]
    lines = [f"{len(meant)} of {len(measured.targets[row])} objects missed"] if _misses(meant) else []
    lines = lines or [_said(error) for error in meant.head(3).itertuples()]
    example = context.measured_example(row, lines)
    truth, predictions = measured.targets[row], measured.boxes[row]
    predictions = predictions[predictions[:, 5] >= measured.threshold]
    parts = [(truth, marks.TRUE, _misses(meant)), (predictions, marks.OTHER, not _misses(meant))]
    colors, captions = [], []
    for boxes, usual, named in parts:
        places = set(meant["box"]) if named else set()
        colors += [marks.PREDICTED if place in places else usual for place in range(len(boxes))]
        few = places if len(places) <= CAPTIONED else ()
        captions += [_caption(measured, box) if place in few else "" for place, box in enumerate(boxes)]
    return _with_boxes(
        context, row, example, np.concatenate([truth[:, :4], predictions[:, :4]]), captions, colors
    )


def _caption(measured: Any, box: np.ndarray) -> str:
    score = f" {box[5]:.2f}" if len(box) > 5 else ""
    return f"{measured.names[int(box[4])]}{score}"


def _misses(errors: pd.DataFrame) -> bool:
    return bool((errors["kind"] == "miss").all())


def _said(error: Any) -> str:
    return f"{error.kind}: score {error.score:.2f}, overlap {error.overlap:.2f}"
