"""The page of a search for better settings: how each trial learnt, and what it reached."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.reports.pages.page import Baseline, Fact, Headline, Report, Section, Table
from flows.reports.sections import parts


def compose(
    name: str,
    task: str,
    metric: str,
    trials: Sequence[Mapping[str, Any]],
    curves: Mapping[int, Sequence[float]],
    best: int,
) -> Report:
    """Put the page of a search together.

    Args:
        name: of the model.
        task: its kind.
        metric: that decided, such as ``validation_accuracy``.
        trials: number, state, value and params of each, as `flows.tuning.search.Outcome` has them.
        curves: of each trial by its number, the metric after each epoch.
        best: number of the trial that won.
    """
    values = {trial["number"]: trial["value"] for trial in trials}
    (winner,) = (trial["params"] for trial in trials if trial["number"] == best)
    words = metric.replace("_", " ")
    # The first trial has the settings of the recipe.
    own = values.get(0)
    baselines = [] if own is None else [Baseline("the recipe as it stands", own)]
    headline = Headline(f"best {words}", values[best], unit="", baselines=baselines, ends=None)
    return Report(
        title=name,
        kind=f"search for settings of {task}",
        verdict=f"trial {best} is the best of {len(trials)}",
        tone="good",
        headline=headline,
        lead=_curves(metric, curves, best),
        facts=[Fact(setting, _digits(value)) for setting, value in winner.items()],
        sections=[_table(words, trials)],
    )


def _curves(metric: str, curves: Mapping[int, Sequence[float]], best: int) -> Section:
    split, _, short = metric.partition("_")
    epochs = {
        f"trial {number}": [{f"{split}/{short}": value} for value in values]
        for number, values in sorted(curves.items())
        if values
    }
    caption = "One line for each trial. A short line is a trial that was ended early."
    drawn = parts.trainings("Learning curves of the trials", epochs, short, caption, f"trial {best}")
    return Section("Progress of the search", figures=[drawn])


def _table(words: str, trials: Sequence[Mapping[str, Any]]) -> Section:
    settings = list(dict.fromkeys(key for trial in trials for key in trial["params"]))
    rows = [
        [
            trial["number"],
            trial["value"],
            trial["state"],
            *(_digits(trial["params"].get(key)) for key in settings),
        ]
        for trial in trials
    ]
    rows.sort(key=lambda row: (row[1] is None, row[0]))
    columns = ("trial", words, "state", *settings)
    return Section("Trials", tables=[Table(columns, rows)])


def _digits(value: Any) -> Any:
    """Write a number with three digits that count: a learning rate may be small."""
    return f"{value:.3g}" if isinstance(value, float) else value
