"""The sections of a report on rows: what the columns hold, and what the layers make of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flows.reports.context import Context
from flows.reports.media import picture
from flows.reports.page import Section, Table
from flows.runs import networks
from models.explain import representation
from models.figures import representation_figures as figures

#: Training examples that are drawn.
DRAWN = 600
#: Most frequent values of a column that are named.
NAMED = 5


def columns(context: Context) -> Iterator[Section]:
    """Tabulate the columns of a row, and what is known of each."""
    fitted = networks.knowledge(context.plan, context.dataset)["columns"]
    rows = [[column["name"], column["kind"], float(column["missing"]), _content(column)] for column in fitted]
    table = Table(
        ("column", "kind", "missing", "content"), rows, "Columns of a row, in order", frozenset({"missing"})
    )
    prose = "Measured over the training split; a row of CSV has its cells in this order."
    yield Section("Columns", prose=[prose], tables=[table])


def _content(column: Mapping[str, Any]) -> str:
    if column["kind"] == "numeric":
        return f"mean {column['mean']:.4g}, deviation {column['deviation']:.4g}"
    values = column["vocabulary"]
    named = ", ".join(values[:NAMED]) + (" ..." if len(values) > NAMED else "")
    return f"{len(values):,d} known value{'' if len(values) == 1 else 's'}" + (f": {named}" if named else "")


def layers(context: Context) -> Iterator[Section]:
    """Show the classes over two inputs, and the last hidden layer before and after training."""
    dataset, trained = context.dataset, context.network
    frame = dataset.frame[dataset.frame["split"] == "train"].head(DRAWN)
    rows = [dataset.read(row) for row in frame.itertuples()]
    targets, labels = frame["target"].to_numpy(np.int64), dataset.labels
    shown = []
    if (plane := representation.inputs(trained, rows)) is not None:
        caption = "What is answered for every pair of inputs, the fuller the surer, and training examples."
        drawn = picture(
            "Decision boundary", lambda theme: figures.decision(plane, targets, labels, theme), caption
        )
        shown.append(drawn)
    after = representation.hidden(trained, rows)
    before = representation.hidden(networks.untrained(context.plan, dataset), rows)
    if before is not None and after is not None:
        views = (before, after)
        how = "" if after.field is not None else ": its first two principal components, each picture its own"
        caption = f"Training examples as the last hidden layer has them{how}."
        drawn = picture(
            "Hidden representation",
            lambda theme: figures.before_and_after(views, targets, labels, theme),
            caption,
        )
        shown.append(drawn)
    if shown:
        yield Section("Layers", figures=shown)
