"""What a classifier's scores on a split are worth: figures, tables and their uncertainty.

Pure functions of ``targets`` (int [examples], indices into the labels) and ``scores`` (float
[examples, classes], probabilities: each row sums to one). Nothing here knows files, models or
tracking. A prediction is the label of highest score, the first one on a tie, everywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from features.errors import DataError

#: How far a row of scores may be from summing to one (float16 sums of 1,000 classes stay within).
TOLERANCE = 1e-2

MAIN_METRICS = ("accuracy", "balanced_accuracy", "loss", "macro_f1", "top_k_accuracy")


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of one metric.

    Attributes:
        metric: name of the metric, without the split.
        value: the metric on the whole split.
        low: lower end.
        high: upper end.
        confidence: share of resamples between the two ends, such as 0.95.
        resamples: how many resamples were drawn.
    """

    metric: str
    value: float
    low: float
    high: float
    confidence: float
    resamples: int


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


def evaluate(
    targets: np.ndarray,
    scores: np.ndarray,
    labels: Sequence[str],
    *,
    split: str = "test",
    main: str = "accuracy",
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
        main: which of MAIN_METRICS gets the bootstrap interval.
        bins: confidence bins of the calibration.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes disagree, a target is no label, a score is not finite, a row is no
            distribution, or ``main`` is unknown.
    """
    targets, scores = checked(targets, scores, labels)
    interval = bootstrap(targets, scores, main, resamples=resamples, seed=seed)
    bands = calibration(targets, scores, bins)
    figures = {name: METRICS[name](targets, scores) for name in sorted(METRICS)}
    figures |= {"ece": expected_calibration_error(bands), "examples": float(len(targets))}
    figures |= {f"{main}_low": interval.low, f"{main}_high": interval.high}
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


def checked(targets: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return targets as int64 and scores as float64 rows that sum to exactly one, or refuse them.

    Raises:
        DataError: as for :func:`evaluate`.
    """
    targets, scores = np.asarray(targets), np.asarray(scores, np.float64)
    expected = (len(targets), len(labels))
    if targets.ndim != 1 or not len(targets) or scores.shape != expected or len(labels) < 2:
        raise DataError(
            "evaluation: targets and scores do not fit together",
            got=f"targets {targets.shape}, scores {scores.shape}, {len(labels)} labels",
            expected="targets [n], scores [n, labels], n at least 1 and at least 2 labels",
        )
    if not np.issubdtype(targets.dtype, np.integer) or targets.min() < 0 or targets.max() >= len(labels):
        raise DataError(
            "evaluation: a target is not the index of a label",
            got=f"{targets.dtype} from {targets.min()} to {targets.max()}",
            expected=f"integers from 0 to {len(labels) - 1}",
        )
    sums = scores.sum(axis=1)
    bad = np.flatnonzero(~((np.abs(sums - 1) <= TOLERANCE) & (scores >= 0).all(axis=1)))
    if len(bad):
        raise DataError(
            f"evaluation: {len(bad)} of {len(scores)} rows of scores are not probabilities",
            got=f"row {bad[0]} = {np.array2string(scores[bad[0]], threshold=6, precision=4)}",
            expected="finite values from 0 to 1 that sum to 1",
        )
    return targets.astype(np.int64), scores / sums[:, None]


def default_k(classes: int) -> int:
    """Choose the k of top-k accuracy: 5, or less where there are fewer than 6 classes."""
    return min(5, classes - 1)


def predictions(scores: np.ndarray) -> np.ndarray:
    """Return the index of the highest score of each row, the first one on a tie."""
    return np.argmax(scores, axis=1)


def losses(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood in nats of each example's target [examples].

    Scores are clipped at 2.2e-16 (the precision of float64), so that a score of exactly 0 costs
    36 nats instead of infinity, as in scikit-learn's ``log_loss``.
    """
    chosen = scores[np.arange(len(targets)), targets]
    return -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0))


def hits(targets: np.ndarray, scores: np.ndarray, k: int = 1) -> np.ndarray:
    """Say for each example whether its target is among the k highest scores: bool [examples]."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (order == np.asarray(targets)[:, None]).any(axis=1)


def loss(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats (the cross-entropy)."""
    return float(losses(targets, scores).mean())


def accuracy(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of examples whose prediction is the target."""
    return float(sk.accuracy_score(targets, predictions(scores)))


def balanced_accuracy(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in ``targets``."""
    present = np.unique(targets)
    return float(sk.recall_score(targets, predictions(scores), labels=present, average="macro"))


def top_k_accuracy(targets: np.ndarray, scores: np.ndarray, k: int | None = None) -> float:
    """Return the share of examples whose target is among the k highest scores.

    Args:
        targets: int [examples].
        scores: float [examples, classes].
        k: :func:`default_k` of the number of classes where None.
    """
    return float(hits(targets, scores, default_k(scores.shape[1]) if k is None else k).mean())


def macro_f1(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the unweighted mean F1 over the classes that occur as a target or a prediction."""
    return float(sk.f1_score(targets, predictions(scores), average="macro", zero_division=0.0))


#: Metrics of targets and scores alone, by the name under which they are tracked.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "loss": loss,
    "macro_f1": macro_f1,
    "top_k_accuracy": top_k_accuracy,
}


def per_class(targets: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Tabulate precision, recall, F1 and support of every class.

    Returns:
        One row per label, in their order, with columns label, precision, recall, f1, support,
        predicted (how often the class was predicted). Undefined ratios are 0.
    """
    found = predictions(scores)
    columns = sk.precision_recall_fscore_support(
        targets, found, labels=np.arange(len(labels)), zero_division=0.0
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "label", _texts(labels))
    table["predicted"] = np.bincount(found, minlength=len(labels))
    return table


def confusion(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Count examples by target (rows) and prediction (columns): int64 [classes, classes]."""
    every = np.arange(scores.shape[1])
    return sk.confusion_matrix(targets, predictions(scores), labels=every).astype(np.int64)


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
    found = predictions(scores)
    rows = np.flatnonzero(found != targets)
    rows = rows[np.argsort(-scores[rows, found[rows]], kind="stable")][:limit]
    names = _texts(labels).to_numpy()
    return pd.DataFrame(
        {
            "row": rows,
            "target": _texts(names[targets[rows]]),
            "prediction": _texts(names[found[rows]]),
            "score": scores[rows, found[rows]],
            "target_score": scores[rows, targets[rows]],
        }
    )


def _texts(labels: Sequence[str] | np.ndarray) -> pd.Series:
    """Hold labels as objects: pandas's own strings refuse names that are not valid Unicode."""
    return pd.Series(list(labels), dtype=object)


def bootstrap(
    targets: np.ndarray,
    scores: np.ndarray,
    metric: str = "accuracy",
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Estimate the uncertainty of a metric by resampling the examples with replacement.

    The percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapter 13). A resample enters only by how often it holds each example, so all resamples are
    one multinomial draw of counts and one matrix product.

    Args:
        targets: int [examples].
        scores: float [examples, classes].
        metric: one of MAIN_METRICS.
        resamples: how many resamples to draw.
        confidence: share of resamples between the ends.
        seed: equal seeds give equal intervals.

    Raises:
        DataError: ``metric`` is not one of MAIN_METRICS.
    """
    if metric not in MAIN_METRICS:
        raise DataError("bootstrap: unknown metric", got=metric, expected=", ".join(MAIN_METRICS))
    rng = np.random.default_rng(seed)
    if metric in ("macro_f1", "balanced_accuracy"):
        drawn = _resampled_classes(targets, scores, metric, resamples, rng)
    else:
        drawn = _resampled_means(_per_example(targets, scores, metric), resamples, rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    value = METRICS[metric](targets, scores)
    return Interval(metric, value, float(low), float(high), confidence, resamples)


def _per_example(targets: np.ndarray, scores: np.ndarray, metric: str) -> np.ndarray:
    """Return the values whose mean is the metric: float64 [examples]."""
    if metric == "loss":
        return losses(targets, scores)
    k = 1 if metric == "accuracy" else default_k(scores.shape[1])
    return hits(targets, scores, k).astype(np.float64)


def _resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of ``values`` over each resample: float64 [resamples].

    Equal values are drawn together, so that hits and misses cost two cells instead of n.
    """
    distinct, count = np.unique(values, return_counts=True)
    blocks = [counts @ distinct / len(values) for counts in _resampled_counts(count, resamples, rng)]
    return np.concatenate(blocks)


def _resampled_classes(
    targets: np.ndarray, scores: np.ndarray, metric: str, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return macro-F1 or balanced accuracy of each resample: float64 [resamples].

    Both depend on the confusion matrix alone, so its filled cells are resampled. A class that a
    resample holds neither as target nor as prediction is left out of that resample's mean.
    """
    matrix = confusion(targets, scores)
    rows, columns = np.nonzero(matrix)
    classes = np.arange(len(matrix))
    true_cells = (rows[:, None] == classes).astype(np.float64)
    found_cells = (columns[:, None] == classes).astype(np.float64)
    blocks = []
    for counts in _resampled_counts(matrix[rows, columns], resamples, rng):
        true, right = counts @ true_cells, counts @ (true_cells * found_cells)
        over = (true + counts @ found_cells) / 2 if metric == "macro_f1" else true
        ratio = np.divide(right, over, out=np.zeros(over.shape), where=over > 0)
        blocks.append(ratio.sum(axis=1) / (over > 0).sum(axis=1))
    return np.concatenate(blocks)


def _resampled_counts(count: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw how often each resample holds each cell: float64 [some resamples, cells], in blocks.

    Blocks of 64 MB, so that 100,000 examples need no more memory than 1,000.
    """
    block = max(1, 2**23 // len(count))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield rng.multinomial(count.sum(), count / count.sum(), size=size).astype(np.float64)
