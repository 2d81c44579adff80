"""What a classifier's scores on a split are worth: figures, tables and their uncertainty.

Pure functions of ``targets`` (int [examples], indices into the labels) and ``scores`` (float
[examples, classes], probabilities: each row sums to one). Nothing here knows files, models or
tracking. A prediction is the label of highest score, the first one on a tie, everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from features.datasets.dataset import Dataset
from models.evaluation import uncertainty
from models.evaluation.scores import (
    METRICS,
    checked,
    confusion,
    default_k,
    predictions,
)
from models.evaluation.uncertainty import Interval
from models.task import Evaluator, columns

#: Mistakes that are logged, the most confident first.
LOGGED_MISTAKES = 200


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        labels: the class names, in the order of the score columns.
        metrics: flat figures by tracked name, such as ``test/accuracy``.
        interval: the main metric with its interval.
        top_k: the k of ``top_k_accuracy``.
        per_class: see :func:`per_class`.
        confusion: see :func:`confusion`.
        calibration: see :func:`calibration`.
        mistakes: see :func:`mistakes`.
    """

    split: str
    labels: tuple[str, ...]
    metrics: dict[str, float]
    interval: Interval
    top_k: int
    per_class: pd.DataFrame
    confusion: np.ndarray
    calibration: pd.DataFrame
    mistakes: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        return {
            "per_class": self.per_class,
            "calibration": self.calibration,
            "mistakes": self.mistakes.head(LOGGED_MISTAKES),
        }


def of_dataset(dataset: Dataset, scores: np.ndarray) -> Evaluation:
    """Measure scores [examples, classes] of a dataset's measured examples, in their order."""
    targets = dataset.measured["target"].to_numpy(np.int64)
    frame = dataset.frame
    training = frame.loc[frame["split"] == "train", "target"].to_numpy(np.int64)
    majority = int(np.bincount(training).argmax()) if len(training) else None
    return evaluate(targets, scores, dataset.labels, majority=majority)


def evaluate(
    targets: np.ndarray,
    scores: np.ndarray,
    labels: Sequence[str],
    *,
    split: str = "test",
    main: str = "accuracy",
    majority: int | None = None,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Args:
        targets: int [examples], indices into ``labels``.
        scores: float [examples, classes], probabilities.
        labels: class names, one per column of ``scores``.
        split: prefix of the metric names.
        main: which of MAIN_METRICS gets an interval.
        majority: class that is the most frequent one in training, the baseline "always the same"; None
            leaves it out.
        bins: confidence bins of the calibration.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes disagree, a target is no label, a score is not finite, a row is no
            distribution, or ``main`` is unknown.
    """
    targets, scores = checked(targets, scores, labels)
    interval = uncertainty.interval(targets, scores, main, resamples=resamples, seed=seed)
    bands = calibration(targets, scores, bins)
    figures = {name: METRICS[name](targets, scores) for name in sorted(METRICS)}
    figures |= {"ece": expected_calibration_error(bands), "examples": float(len(targets))}
    figures |= {f"{main}_low": interval.low, f"{main}_high": interval.high}
    if majority is not None:
        figures["majority_accuracy"] = float((targets == majority).mean())
    return Evaluation(
        split=split,
        labels=tuple(labels),
        metrics={f"{split}/{name}": value for name, value in figures.items()},
        interval=interval,
        top_k=default_k(scores.shape[1]),
        per_class=per_class(targets, scores, labels),
        confusion=confusion(targets, scores),
        calibration=bands,
        mistakes=mistakes(targets, scores, labels),
    )


def per_class(targets: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Tabulate precision, recall, F1 and support of every class.

    Returns:
        One row per label, in their order, with columns label, precision, recall, f1, support,
        predicted (how often the class was predicted). Undefined ratios are 0.
    """
    predicted = predictions(scores)
    columns = sk.precision_recall_fscore_support(
        targets, predicted, labels=np.arange(len(labels)), zero_division=0.0
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "label", _texts(labels))
    table["predicted"] = np.bincount(predicted, minlength=len(labels))
    return table


def calibration(targets: np.ndarray, scores: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Compare confidence with accuracy in bins of equal width.

    The confidence of an example is its highest score; bin m of M holds the confidences in
    ((m-1)/M, m/M] (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Returns:
        One row per bin with columns lower, upper, count, confidence and accuracy (means over
        the bin's examples, NaN where it holds none).
    """
    confidence = scores.max(axis=1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    filled = np.where(count, count, np.nan)
    correct = (predictions(scores) == targets).astype(np.float64)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "count": count,
            "confidence": np.bincount(which, confidence, minlength=bins) / filled,
            "accuracy": np.bincount(which, correct, minlength=bins) / filled,
        }
    )


def expected_calibration_error(bands: pd.DataFrame) -> float:
    """Return the ECE of a :func:`calibration` table: the count-weighted mean |accuracy - confidence|."""
    gap = (bands["accuracy"] - bands["confidence"]).abs().fillna(0.0)
    return float((gap * bands["count"]).sum() / bands["count"].sum())


def mistakes(
    targets: np.ndarray, scores: np.ndarray, labels: Sequence[str], limit: int | None = None
) -> pd.DataFrame:
    """List the wrong predictions, the most confident first.

    Returns:
        Columns row (position in ``targets``), target, prediction (label names), score (of the
        prediction), target_score; at most ``limit`` rows.
    """
    predicted = predictions(scores)
    rows = np.flatnonzero(predicted != targets)
    rows = rows[np.argsort(-scores[rows, predicted[rows]], kind="stable")][:limit]
    names = _texts(labels).to_numpy()
    return pd.DataFrame(
        {
            "row": rows,
            "target": _texts(names[targets[rows]]),
            "prediction": _texts(names[predicted[rows]]),
            "score": scores[rows, predicted[rows]],
            "target_score": scores[rows, targets[rows]],
        }
    )


def _texts(labels: Sequence[str] | np.ndarray) -> pd.Series:
    """Hold labels as objects: pandas's own strings refuse names that are not valid Unicode."""
    return pd.Series(list(labels), dtype=object)


CLASSES = Evaluator(columns("scores", "labels"), of_dataset)
