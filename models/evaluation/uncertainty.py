"""Bootstrap intervals of a metric."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.stats

from features.errors import DataError
from models.evaluation.scores import (
    MAIN_METRICS,
    METRICS,
    confusion,
    default_k,
    hits,
    losses,
)


@dataclass(frozen=True)
class Interval:
    """An interval of one metric.

    Attributes:
        metric: name of the metric, without the split.
        value: the metric on the whole split.
        low: lower end.
        high: upper end.
        confidence: how often such an interval holds the true value, such as 0.95.
        resamples: how many resamples were drawn; 0 for a Wilson interval.
    """

    metric: str
    value: float
    low: float
    high: float
    confidence: float
    resamples: int

    @property
    def method(self) -> str:
        """What the interval is called."""
        return f"bootstrap, {self.resamples:,d} resamples" if self.resamples else "Wilson"


def wilson(metric: str, right: int, count: int, confidence: float = 0.95) -> Interval:
    """Estimate the uncertainty of a share of right answers by the score interval of Wilson (1927).

    Unlike the bootstrap it is honest about small splits: 20 of 20 right is 84 to 100 %.

    Args:
        metric: its name.
        right: how many answers are right.
        count: how many there are, at least 1.
        confidence: of the interval.
    """
    z2 = scipy.stats.norm.ppf((1 + confidence) / 2) ** 2
    share = right / count
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Interval(metric, share, float(low), float(high), confidence, 0)


def interval(
    targets: np.ndarray, scores: np.ndarray, metric: str = "accuracy", *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Estimate the uncertainty of a metric: by Wilson's interval for shares, else by the bootstrap.

    Arguments as of `bootstrap`.

    Raises:
        DataError: ``metric`` is not one of MAIN_METRICS.
    """
    if metric not in ("accuracy", "top_k_accuracy"):
        return bootstrap(targets, scores, metric, resamples=resamples, seed=seed)
    right = int(_per_example(targets, scores, metric).sum())
    return wilson(metric, right, len(targets))


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


def of_mean(metric: str, values: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Estimate the uncertainty of a mean of values [examples] by the percentile bootstrap."""
    values = np.asarray(values, np.float64)
    drawn = _resampled_means(values, resamples, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(metric, float(values.mean()), float(low), float(high), 0.95, resamples)


def of_agreement(metric: str, table: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Estimate the uncertainty of the adjusted Rand index by resampling the examples.

    Args:
        metric: its name.
        table: int [labels, clusters], the examples of each label in each cluster.
        resamples: how many resamples to draw.
        seed: of the bootstrap.
    """
    rng, cells = np.random.default_rng(seed), table.ravel()
    drawn = [
        _adjusted_rand(counts.reshape(-1, *table.shape))
        for counts in _resampled_counts(cells, resamples, rng)
    ]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    value = float(_adjusted_rand(table[np.newaxis].astype(np.float64))[0])
    return Interval(metric, value, float(low), float(high), 0.95, resamples)


def _adjusted_rand(tables: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index (Hubert and Arabie 1985) of tables [n, labels, clusters]."""

    def pairs(counts: np.ndarray) -> np.ndarray:
        return np.asarray(counts * (counts - 1) / 2)

    together = pairs(tables).sum(axis=(1, 2))
    rows, columns = (pairs(tables.sum(axis=axis)).sum(axis=1) for axis in (2, 1))
    chance = rows * columns / pairs(tables.sum(axis=(1, 2)))
    most = (rows + columns) / 2
    ratio = np.divide(together - chance, most - chance, out=np.ones(len(tables)), where=most != chance)
    return np.asarray(ratio)


def of_rank_correlation(metric: str, value: float, count: int) -> Interval:
    """Estimate the uncertainty of Spearman's correlation of so many pairs (Bonett and Wright 2000)."""
    reach = 1.96 * np.sqrt((1 + value**2 / 2) / max(count - 3, 1))
    low, high = np.tanh(np.arctanh(np.clip(value, -0.9999, 0.9999)) + np.array([-reach, reach]))
    return Interval(metric, value, float(low), float(high), 0.95, 0)


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
