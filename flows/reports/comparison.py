"""Two trained models on the same test split: which is better, by how much, and where they disagree."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError, NoInputError
from features.names import counted
from features.spec import Progress, silent
from flows.gate.comparison import answers_of_saved_model
from flows.reports.pages.media import MEDIA
from flows.reports.pages.page import Report, Section, Table, Tone
from flows.runs import finished
from flows.runs.finished import Finished
from flows.workspace import Workspace
from models.evaluation import differences
from models.evaluation.differences import Difference
from serving.repository.repository import Repository

#: Examples that the page and the terminal show.
SHOWN = 24

#: A model's name with the version, or None for the stable one; ``MODEL/RUN`` or the path of a run likewise.
Reference = tuple[str, int | None]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples.

    Attributes:
        names: of the two.
        task: of both.
        metrics: those that decide first.
        better: 0 or 1, the model that is clearly better by the deciding metric; None where neither is.
        examples: how many were answered.
        seen: how many of them the second model was trained on.
        disagreements: see `models.evaluation.differences.disagreements`; with ``name``, the example's.
        dataset: that the examples are of.
    """

    names: tuple[str, str]
    task: str
    metrics: list[Difference]
    better: int | None
    examples: int
    seen: int
    disagreements: pd.DataFrame
    dataset: Dataset

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        main = self.metrics[0]
        if self.disagreements.empty and not main.difference:
            return f"no difference: the same answers to {counted(self.examples, 'example')}"
        interval = f"{main.metric} {main.difference:+.4f} ({main.low:+.4f} to {main.high:+.4f})"
        if self.better is None:
            return f"no clear difference: {interval}"
        return f"{self.names[self.better]} is better: {interval}"

    def as_json(self) -> dict[str, Any]:
        """Return everything but the pictures as plain data."""
        return {
            "first": self.names[0],
            "second": self.names[1],
            "task": self.task,
            "verdict": self.verdict,
            "examples": self.examples,
            "seen_by_second": self.seen,
            "metrics": [asdict(each) for each in self.metrics],
            "disagreements": self.disagreements.to_dict("records"),
        }


def compare(
    workspace: Workspace, first: Reference, second: Reference, progress: Progress = silent
) -> Comparison:
    """Compare two models on the test split of the first one's data.

    Outputs that were kept are used; a model that was measured on other data answers these examples anew.

    Args:
        workspace: where both lie.
        first: whose test split counts.
        second: the other model.
        progress: told how many examples and groups are done.

    Raises:
        NoInputError: there is no such model, or nothing that could answer.
        DataError: the two are of different tasks or labels, or there are too few examples.
    """
    sides = [finished.find(workspace, *reference) for reference in (first, second)]
    tasks = [side.plan.task for side in sides]
    evaluator = tasks[0].evaluator
    if tasks[0] is not tasks[1] or evaluator is None:
        raise DataError(
            "these models cannot be compared",
            got=" and ".join(task.name for task in tasks),
            expected="one task, of models that answer single examples",
        )
    dataset = sides[0].dataset
    outputs = [_outputs(workspace, side, dataset, progress) for side in sides]
    metrics = differences.differences(dataset, evaluator, *outputs, progress=progress)
    main = tasks[0].objective.report
    # What is the same for both whatever the examples, such as a baseline, compares nothing.
    metrics = [each for each in metrics if each.metric == main or each.low != 0 or each.high != 0]
    metrics.sort(key=lambda each: each.metric != main)
    table = differences.disagreements(*(evaluator.evaluate(dataset, values) for values in outputs))
    table["name"] = dataset.measured["name"].to_numpy()[table["row"].to_numpy(int)]
    return Comparison(
        (_name(first), _name(second)),
        tasks[0].name,
        metrics,
        _better(metrics[0], tasks[0].objective.higher_is_better),
        len(dataset.measured),
        _seen(dataset, sides[1].dataset),
        table,
        dataset,
    )


def _name(reference: Reference) -> str:
    return reference[0] if reference[1] is None else f"{reference[0]}@{reference[1]}"


def _better(main: Difference, higher_is_better: bool) -> int | None:
    return int((main.difference > 0) == higher_is_better) if main.is_clear else None


def _seen(dataset: Dataset, other: Dataset) -> int:
    """Count the measured examples of a dataset that another has in its training split."""
    trained = set(other.frame.loc[other.frame["split"] == "train", "sha256"])
    return int(dataset.measured["sha256"].isin(trained).sum())


def _outputs(workspace: Workspace, side: Finished, dataset: Dataset, progress: Progress) -> np.ndarray:
    """Return a model's outputs on the measured examples of a dataset, kept or computed."""
    state = side.run.read()
    same = state.dataset is not None and state.dataset.fingerprint == dataset.fingerprint
    if same and side.run.outputs.is_file():
        outputs: np.ndarray = np.load(side.run.outputs, allow_pickle=False)
        return outputs
    release = Repository(workspace.repository).path(side.plan.name, state.version or 0)
    if not release.is_dir():
        raise NoInputError(
            f"the run {side.run.path.name} of {side.plan.name} cannot answer these examples",
            got="it was measured on other data, and is not published",
            expected="a published version",
        )
    values = answers_of_saved_model(release, dataset, side.plan.task, progress)
    if values is None:
        raise DataError(
            "the models have different labels",
            got=", ".join(map(repr, side.dataset.labels[:10])),
            expected=", ".join(map(repr, dataset.labels[:10])),
        )
    return values


COLUMNS = ("metric", "first", "second", "difference", "low", "high")


def page(comparison: Comparison) -> Report:
    """Lay a comparison out as a page."""
    first, second = comparison.names
    tone: Tone = "plain" if comparison.better is None else "good"
    return Report(
        title=f"{first} and {second}",
        kind=comparison.task,
        verdict=comparison.verdict,
        tone=tone,
        sections=list(_sections(comparison)),
        subtitle=f"{comparison.examples:,} test examples of {first}",
    )


def _sections(comparison: Comparison) -> Iterator[Section]:
    first, second = comparison.names
    prose = ["Intervals are 95 % intervals of the difference, over the same examples for both."]
    if comparison.seen:
        prose.append(
            f"{second} was trained on {comparison.seen:,} of these examples: it looks better than it is."
        )
    rows = [[getattr(each, column) for column in COLUMNS] for each in comparison.metrics]
    columns = ("metric", first, second, "difference", "lower end", "upper end")
    yield Section("Metrics", prose=prose, tables=[Table(columns, rows, "Differences are second minus first")])
    table = comparison.disagreements
    for title, part in (
        (f"Better in {second}", table[table["gain"] > 0]),
        (f"Better in {first}", table[table["gain"] < 0]),
    ):
        if len(part):
            items = [_item(comparison, row) for row in part.head(SHOWN).itertuples()]
            yield Section(
                title, prose=[f"{counted(len(part), 'example')}, the largest change first."], media=items
            )


def _item(comparison: Comparison, row: Any) -> Any:
    example = comparison.dataset.measured.iloc[int(row.row)]
    lines = [f"true: {row.target}"] if row.target is not None else []
    lines += [f"{name}: {words}" for name, words in zip(comparison.names, answers(row), strict=True)]
    try:
        raw = comparison.dataset.read(example)
    except DataError:
        raw = b""
    return MEDIA[comparison.dataset.card["raw"]](raw, str(example["name"]), lines)


def answers(row: Any) -> tuple[str, str]:
    """Write what both models answer to one example: the words, or the error where there are none."""
    pairs = ((row.first_answer, row.first), (row.second_answer, row.second))
    return tuple(str(answer) if answer is not None else f"error {error:.4g}" for answer, error in pairs)  # type: ignore[return-value]
