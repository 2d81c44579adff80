"""The sections of a report on rows: what the columns hold, and what the layers make of them."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn import metrics as sk

from features.targets.classes import CLASS
from flows.reports.pages.context import Context
from flows.reports.pages.media import picture
from flows.reports.pages.page import Section, Table
from flows.runs import networks
from models.explain import representation
from models.explain.importance import REPEATS, fitting, permutation
from models.figures import importance as importance_figures
from models.figures import representation_figures as figures

#: Training examples that are drawn.
DRAWN = 600
#: Most frequent values of a column that are named.
NAMED = 5


def lead(context: Context) -> Section | None:
    """Draw how much each column matters."""
    table = _importance(context)
    if table is None:
        return None
    what = _SCORES[_kind(context)][0]
    caption = f"{_shuffled(context)} Lines are the deviation over {REPEATS} shuffles."
    draw = partial(importance_figures.importance, table, what)
    return Section("What the answers depend on", figures=[picture("Feature importance", draw, caption)])


def importance(context: Context) -> Iterator[Section]:
    """Tabulate how much each column matters."""
    table = _importance(context)
    if table is None:
        prose = "Not measured: the table has too many columns to shuffle each of them."
        yield Section("Feature importance", prose=[prose])
        return
    what = _SCORES[_kind(context)][0]
    prose = (
        f"{_shuffled(context)} Columns with the same information can replace "
        "each other, so each looks less important."
    )
    columns = ("column", f"fall of {what}", "deviation")
    rows = table.to_numpy(object).tolist()
    report_table = Table(columns, rows, f"Mean and deviation over {REPEATS} shuffles", folded=len(rows) > 24)
    yield Section("Feature importance", prose=[prose], tables=[report_table])


def _shuffled(context: Context) -> str:
    """Say what permutation importance is, for readers who did not choose it."""
    rows = "the rows it was trained on (the folds leave no others)" if context.folds else "test rows"
    return f"How far the score on {rows} falls if the values of one column are shuffled among the rows."


def _kind(context: Context) -> str:
    return "classes" if context.plan.task.target is CLASS else "numbers"


#: Kind of target to the score that falls: its name, predictions from outputs, and the score itself.
_SCORES: Mapping[str, tuple[str, Any, Any]] = {
    "classes": ("accuracy", partial(tf.argmax, axis=-1), sk.accuracy_score),
    "numbers": ("R²", tf.identity, sk.r2_score),
}


def _importance(context: Context) -> pd.DataFrame | None:
    """Measure how much each column matters, once in a training; None for a table that is too wide."""
    cache = context.record.kept
    if "importance" not in cache:
        cache["importance"] = _measured(context)
        if cache["importance"] is not None:
            context.record.tracked.table(cache["importance"], "tables/feature_importance.json")
    table: pd.DataFrame | None = cache["importance"]
    return table


def _measured(context: Context) -> pd.DataFrame | None:
    frame, seed = context.dataset.measured, context.plan.request.seed
    count = fitting(len(frame), len(context.network.featurizer.columns))
    if count < 2:
        return None
    rows = frame.iloc[np.sort(np.random.default_rng(seed).permutation(len(frame))[:count])]
    raws = [context.dataset.read(row) for row in rows.itertuples()]
    _, decide, score = _SCORES[_kind(context)]
    return permutation(context.network, raws, np.array(rows["target"].to_list()), decide, score, seed=seed)


def columns(context: Context) -> Iterator[Section]:
    """Tabulate the columns of a row, and what is known of each."""
    fitted = networks.knowledge(context.plan, context.dataset)["columns"]
    rows = [[column["name"], column["kind"], float(column["missing"]), _content(column)] for column in fitted]
    table = Table(
        ("column", "kind", "missing", "content"), rows, "Columns of a row, in order", frozenset({"missing"})
    )
    prose = "Measured on the training split. The cells of a row stand in this order."
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
    pictures = []
    if (plane := representation.inputs(trained, rows)) is not None:
        caption = "Answers to every pair of inputs: the stronger the colour, the higher the score."
        drawn = picture(
            "Decision boundary", lambda theme: figures.decision(plane, targets, labels, theme), caption
        )
        pictures.append(drawn)
    after = representation.hidden(trained, rows)
    before = representation.hidden(networks.untrained(context.plan, dataset), rows)
    if before is not None and after is not None:
        views = (before, after)
        how = (
            "" if after.field is not None else ", by its first two principal components, each picture its own"
        )
        caption = f"Training examples in the last hidden layer{how}."
        drawn = picture(
            "Hidden representation",
            lambda theme: figures.before_and_after(views, targets, labels, theme),
            caption,
        )
        pictures.append(drawn)
    if pictures:
        yield Section("Layers", figures=pictures)
