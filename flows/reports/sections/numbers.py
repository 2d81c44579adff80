"""The sections of a report on predicted numbers."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.page import Baseline, Fact, Headline, Section, cell
from flows.reports.sections import parts
from models.figures import regression

#: Examples at the top of the page.
LEADING = 6
#: Examples shown whose predictions are farthest off.
SHOWN = 24


def facts(context: Context) -> list[Fact]:
    """Count examples and numbers."""
    return [
        Fact("test examples", int(context.measured.metrics["test/examples"])),
        Fact("numbers to predict", len(context.dataset.labels)),
        parts.training_examples(context.dataset),
    ]


def headline(context: Context) -> Headline:
    """Show R² beside that of the mean of the training split."""
    measured = context.measured
    spread = measured.targets.var(axis=0)
    of_mean = 1 - measured.numbers["mse_of_mean"].to_numpy()[spread > 0] / spread[spread > 0]
    name = "always the mean of the training split"
    mean = [Baseline(name, float(of_mean.mean()))] if len(of_mean) else []
    return parts.headline(
        measured,
        unit="",
        baselines=[*mean, *parts.linear(context)],
        ends=(min(0.0, measured.interval.low), 1.0),
    )


def lead(context: Context) -> Section:
    """Show some examples with their numbers; of rows, all predicted against true numbers."""
    measured = context.measured
    if context.plan.task.raw.rows:
        pair = measured.targets[:, 0], measured.values[:, 0]
        name = measured.names[0]
        return Section("Test examples", figures=[_against(name, *pair)])
    rows = measured.worst["row"].to_numpy()
    places = np.unique(np.linspace(0, len(rows) - 1, min(LEADING, len(rows))).round().astype(int))
    items = [_item(context, one) for one in measured.worst.iloc[places[::-1]].itertuples()]
    return Section("Test examples, from the smallest error to the largest", media=items)


def _item(context: Context, example: Any) -> media.Media:
    """Show an example with its numbers, each by name where there are several."""
    measured, row = context.measured, int(example.row)
    true, predicted = (_written(measured.names, each[row]) for each in (measured.targets, measured.values))
    line = parts.answered(true, predicted)
    return context.measured_example(row, [line])[0]


def _written(names: Sequence[str], numbers: np.ndarray) -> str:
    """Write numbers, each by its name where there are several."""
    if len(names) == 1:
        return cell(float(numbers[0]))
    return ", ".join(f"{name} {cell(float(number))}" for name, number in zip(names, numbers, strict=True))


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the errors, beside those of the baselines."""
    yield parts.number_metrics(context.measured)


def predictions(context: Context) -> Iterator[Section]:
    """Draw predicted against true numbers, and the errors."""
    measured = context.measured
    figures = []
    for place, name in enumerate(measured.names):
        pair = measured.targets[:, place], measured.values[:, place]
        figures.append(_against(name, *pair))
        figures.append(media.picture(f"Errors of {name}", partial(regression.residuals, *pair, name)))
    prose = "Points on the dashed line are right. An error is the predicted number less the true one."
    yield Section("Predictions", prose=[prose], figures=figures)


def _against(name: str, targets: np.ndarray, values: np.ndarray) -> media.Picture:
    draw = partial(regression.predictions, targets, values, name)
    return media.picture(f"Predicted against true {name}", draw)


def worst(context: Context) -> Iterator[Section]:
    """Show the examples that are predicted worst, the largest error first."""
    items = [_item(context, example) for example in context.measured.worst.head(SHOWN).itertuples()]
    total = len(context.measured.worst)
    which = f"The {len(items)} of {total:,d}" if len(items) < total else f"All {total:,d}"
    prose = f"{which} test examples, the largest error first."
    yield Section("Largest errors", prose=[prose], media=items)
