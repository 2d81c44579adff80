"""How much two models differ on the same examples, and how sure that is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from features.datasets.dataset import Dataset
from features.errors import DataError
from features.spec import Progress, silent
from models.task import Evaluation, Evaluator

#: Groups of examples that are left out in turn, at most, and the fewest examples that are compared.
GROUPS, FEWEST = 20, 10


@dataclass(frozen=True)
class Difference:
    """One metric of two models.

    Attributes:
        metric: by the name it is tracked by.
        first: of the first model.
        second: of the second model.
        difference: second minus first.
        low: lower end of its 95 % interval; NaN where it cannot be told.
        high: upper end.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def differences(
    dataset: Dataset,
    evaluator: Evaluator,
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Difference]:
    """Compare every metric of two models on a dataset's measured examples.

    The interval is that of the delete-group jackknife over up to 20 random groups of examples, with
    Student's t (Shao and Tu, "The Jackknife and Bootstrap", 1995, chapter 2). The examples are the same for
    both, so that what is hard for both cancels out; the metric must change smoothly with the examples.

    Args:
        dataset: whose examples were answered.
        evaluator: of the task.
        first: outputs of the first model, [examples, ...] as `Evaluator.read` gives them.
        second: of the second model.
        seed: of the groups.
        progress: told how many groups are done.

    Raises:
        DataError: there are too few examples to make the groups.
    """
    count = len(dataset.measured)
    if count < FEWEST:
        raise DataError("too few examples to compare two models", got=count, expected=f"{FEWEST} or more")
    whole = [evaluator.evaluate(dataset, values).metrics for values in (first, second)]
    names = [
        name for name in whole[0] if name in whole[1] and not name.endswith(("_low", "_high", "/examples"))
    ]
    without = np.array(list(_left_out(dataset, evaluator, (first, second), names, seed, progress)))
    groups = len(without)
    error = np.sqrt((groups - 1) / groups * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    reach = scipy.stats.t.ppf(0.975, groups - 1) * error
    return [
        Difference(name, a, b, b - a, b - a - each, b - a + each)
        for name, each in zip(names, map(float, reach), strict=True)
        for a, b in [(whole[0][name], whole[1][name])]
    ]


def _left_out(
    dataset: Dataset,
    evaluator: Evaluator,
    outputs: tuple[np.ndarray, ...],
    names: list[str],
    seed: int,
    progress: Progress,
) -> Iterator[list[float]]:
    """Yield the differences of the metrics without each group of examples."""
    count = len(dataset.measured)
    order = np.random.default_rng(seed).permutation(count)
    groups = np.array_split(order, min(GROUPS, count))
    for number, group in enumerate(groups):
        rest = np.setdiff1d(np.arange(count), group)
        part = replace(dataset, frame=dataset.frame.drop(index=dataset.measured.index[group]))
        first, second = (evaluator.evaluate(part, values[rest]).metrics for values in outputs)
        progress("compare", number + 1, len(groups))
        yield [second.get(name, np.nan) - first.get(name, np.nan) for name in names]


def disagreements(first: Evaluation, second: Evaluation) -> pd.DataFrame:
    """List the examples that one of two models answers better, the largest change first.

    Returns:
        Columns row (position among the measured examples), first and second (error of each: 0 or 1 for a
        label, else the error that the evaluation sorts its worst examples by), gain (first minus second),
        target, first_answer and second_answer, None where an evaluation has no words for them.
    """
    joined = _errors(first).add_suffix("_first").join(_errors(second).add_suffix("_second"), how="outer")
    joined[["error_first", "error_second"]] = joined[["error_first", "error_second"]].fillna(0.0)
    target = joined["target_first"].combine_first(joined["target_second"])
    table = pd.DataFrame(
        {
            "row": joined.index.to_numpy(),
            "first": joined["error_first"].to_numpy(),
            "second": joined["error_second"].to_numpy(),
            "gain": (joined["error_first"] - joined["error_second"]).to_numpy(),
            "target": target.to_numpy(object),
            # An example without a mistake is answered with its target.
            "first_answer": joined["prediction_first"].combine_first(target).to_numpy(object),
            "second_answer": joined["prediction_second"].combine_first(target).to_numpy(object),
        }
    )
    changed = table[table["gain"] != 0]
    return changed.iloc[np.argsort(-changed["gain"].abs().to_numpy(), kind="stable")].reset_index(drop=True)


def _errors(evaluation: Any) -> pd.DataFrame:
    """Return the error of each example that has one, by its position: error, target, prediction."""
    mistakes = getattr(evaluation, "mistakes", None)
    table = (evaluation.worst if mistakes is None else mistakes.assign(error=1.0)).set_index("row")
    absent = {name: None for name in ("target", "prediction") if name not in table}
    return table.assign(**absent)[["error", "target", "prediction"]]
