"""What predicted numbers are worth: errors, explained variance and their uncertainty.

Pure functions of ``targets`` and ``values`` (float [examples, numbers]), both in the targets' own units.
Nothing here knows files, models or tracking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.uncertainty import Interval
from models.task import Evaluator, columns

#: Predictions that are logged, those farthest off first.
LOGGED = 200
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        names: of the numbers, in the order of the columns.
        metrics: flat figures by tracked name, such as ``test/mse``.
        interval: R2 with its interval.
        targets: float [examples, numbers].
        values: what was predicted for them.
        numbers: a row for each number with its errors, their intervals and those of the baselines.
        worst: position ``row``, ``target``, ``prediction`` (texts) and ``error`` of each example, that of the
            largest error first: the root of its mean squared error over the numbers, each in units of the
            deviation of its targets.
    """

    split: str
    names: tuple[str, ...]
    metrics: dict[str, float]
    interval: Interval
    targets: np.ndarray
    values: np.ndarray
    numbers: pd.DataFrame
    worst: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        return {"numbers": self.numbers, "worst": self.worst.head(LOGGED)}


def of_dataset(dataset: Dataset, values: np.ndarray) -> Evaluation:
    """Measure values [examples, numbers] of a dataset's measured examples, in their order.

    The baseline is the mean of the training split; where the manifest names blocks, whole blocks are
    resampled.
    """
    measured, frame = dataset.measured, dataset.frame
    training = np.stack(frame.loc[frame["split"] == "train", "target"].to_list())
    blocks = measured["block"].to_numpy() if "block" in measured else None
    targets = np.stack(measured["target"].to_list())
    return evaluate(targets, values, dataset.labels, training.mean(axis=0), blocks=blocks)


def evaluate(
    targets: np.ndarray,
    values: np.ndarray,
    names: Sequence[str],
    mean: np.ndarray,
    *,
    blocks: np.ndarray | None = None,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Figures of several numbers are means over them, as scikit-learn's are by default.

    Args:
        targets: float [examples, numbers].
        values: predictions, float [examples, numbers].
        names: of the numbers.
        mean: of the training split [numbers], the baseline "always the mean".
        blocks: name of each example's block; resampled as a whole, since its examples are alike. None
            resamples the examples.
        split: prefix of the metric names.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes disagree, or a value is not finite.
    """
    targets, values = _checked(targets, values, names)
    units = np.arange(len(targets)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    drawn = _resampled(targets, values, units, resamples, seed)
    table = _numbers(targets, values, names, mean, drawn)
    tail = (1 - CONFIDENCE) / 2
    figures = {name: float(table[name].mean()) for name in ("mse", "mae", "rmse", "r2")}
    for name, each in drawn.items():
        low, high = np.quantile(each.mean(axis=1), [tail, 1 - tail])
        figures |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    figures |= {f"{name}": float(table[name].mean()) for name in ("mse_of_mean", "mse_of_zero")}
    figures["examples"] = float(len(targets))
    interval = Interval("r2", figures["r2"], figures["r2_low"], figures["r2_high"], CONFIDENCE, resamples)
    metrics = {f"{split}/{name}": value for name, value in figures.items()}
    return Evaluation(split, tuple(names), metrics, interval, targets, values, table, _worst(targets, values))


def _checked(targets: np.ndarray, values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    targets, values = np.asarray(targets, np.float64), np.asarray(values, np.float64)
    if targets.shape != values.shape or targets.ndim != 2 or targets.shape[1] != len(names):
        raise DataError(
            "predictions do not match the targets",
            got=f"predictions {list(values.shape)}, targets {list(targets.shape)}",
            expected=f"[examples, {len(names)}] of both",
        )
    for what, each in (("targets", targets), ("predictions", values)):
        if not np.isfinite(each).all():
            row = int(np.argwhere(~np.isfinite(each))[0, 0])
            raise DataError(f"{what} are not all finite", got=f"{each[row].tolist()} of example {row}")
    return targets, values


def _figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the metrics from sums over examples.

    Args:
        sums: [..., numbers, 5]: count, absolute errors, squared errors, targets, squared targets.
    """
    count, absolute, squared, total, squares = np.moveaxis(sums, -1, 0)
    mse = squared / count
    spread = squares / count - (total / count) ** 2
    r2 = 1 - np.divide(mse, spread, out=np.full(mse.shape, np.nan), where=spread > 0)
    return {"mse": mse, "mae": absolute / count, "rmse": np.sqrt(mse), "r2": r2}


def _terms(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return what is summed of each example: [examples, numbers, 5], targets about their mean."""
    error, centred = values - targets, targets - targets.mean(axis=0)
    return np.stack([np.ones_like(error), np.abs(error), error**2, centred, centred**2], axis=-1)


def _resampled(
    targets: np.ndarray, values: np.ndarray, units: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return each metric on each resample of the units, [resamples, numbers].

    The percentile bootstrap over blocks (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapter 8.6): a resample enters only by how often it holds each block.
    """
    terms = _terms(targets, values)
    sums = np.zeros((units.max() + 1, *terms.shape[1:]))
    np.add.at(sums, units, terms)
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    return _figures(np.tensordot(counts.astype(np.float64), sums, axes=1))


def _numbers(
    targets: np.ndarray, values: np.ndarray, names: Sequence[str], mean: np.ndarray, drawn: dict[str, Any]
) -> pd.DataFrame:
    tail = (1 - CONFIDENCE) / 2
    columns: dict[str, Any] = {"name": list(names)}
    for name, each in _figures(_terms(targets, values).sum(axis=0)).items():
        low, high = np.quantile(drawn[name], [tail, 1 - tail], axis=0)
        columns |= {name: each, f"{name}_low": low, f"{name}_high": high}
    columns["mse_of_mean"] = ((targets - mean) ** 2).mean(axis=0)
    columns["mse_of_zero"] = (targets**2).mean(axis=0)
    return pd.DataFrame(columns)


def _worst(targets: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    deviation = np.maximum(targets.std(axis=0), 1e-12)
    error = np.sqrt((((values - targets) / deviation) ** 2).mean(axis=1))
    rows = np.argsort(-error, kind="stable")
    target, prediction = (
        [", ".join(f"{number:.4g}" for number in row) for row in each[rows]] for each in (targets, values)
    )
    return pd.DataFrame({"row": rows, "target": target, "prediction": prediction, "error": error[rows]})


NUMBERS = Evaluator(columns("values", "names"), of_dataset)
