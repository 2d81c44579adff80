"""The sections of a report on rows: what the columns hold, and what the layers make of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.datasets.dataset import Dataset
from flows.reports.media import picture
from flows.reports.page import Section, Table
from flows.runs import networks
from flows.runs.plan import Plan
from flows.runs.run import Record
from models.explain import representation
from models.figures import representation_figures as figures

#: Training examples that are drawn.
DRAWN = 600
#: Most frequent values of a column that are named.
NAMED = 5


def sections(plan: Plan, record: Record, dataset: Dataset) -> list[Section]:
    """Give the sections of a task over rows; none of any other task."""
    if "columns" not in plan.task.report:
        return []
    known = networks.knowledge(plan, dataset)["columns"]
    return [_columns(known), *_layers(plan, record, dataset)]


def _columns(known: list[Mapping[str, Any]]) -> Section:
    rows = [[column["name"], column["kind"], float(column["missing"]), _content(column)] for column in known]
    table = Table(
        ("column", "kind", "missing", "content"), rows, "Columns of a row, in order", frozenset({"missing"})
    )
    prose = "Measured over the training split; a row of CSV has its cells in this order."
    return Section("Columns", prose=[prose], tables=[table])


def _content(column: Mapping[str, Any]) -> str:
    if column["kind"] == "numeric":
        return f"mean {column['mean']:.4g}, deviation {column['deviation']:.4g}"
    values = column["vocabulary"]
    named = ", ".join(values[:NAMED]) + (" ..." if len(values) > NAMED else "")
    return f"{len(values):,d} known value{'' if len(values) == 1 else 's'}" + (f": {named}" if named else "")


def _layers(plan: Plan, record: Record, dataset: Dataset) -> list[Section]:
    """Show the classes over two inputs, and the last hidden layer before and after training."""
    frame = dataset.frame[dataset.frame["split"] == "train"].head(DRAWN)
    rows = [dataset.read(row) for row in frame.itertuples()]
    targets, labels = frame["target"].to_numpy(np.int64), dataset.labels
    trained = networks.trained(plan, record, dataset)
    shown = []
    if (plane := representation.inputs(trained, rows)) is not None:
        caption = "What is answered for every pair of inputs, the fuller the surer, and training examples."
        drawn = picture(
            "Decision boundary", lambda theme: figures.decision(plane, targets, labels, theme), caption
        )
        shown.append(drawn)
    after = representation.hidden(trained, rows)
    before = representation.hidden(networks.untrained(plan, dataset), rows)
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
    return [Section("Layers", figures=shown)] if shown else []
