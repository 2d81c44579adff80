"""Metrics of targets and scores."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn import metrics as sk

from features.errors import DataError

#: How far a row of scores may be from summing to one (float16 sums of 1,000 classes stay within).
TOLERANCE = 1e-2


MAIN_METRICS = ("accuracy", "balanced_accuracy", "loss", "macro_f1", "top_k_accuracy")


def checked(targets: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return targets as int64 and scores as float64 rows that sum to exactly one, or refuse them.

    Raises:
        DataError: as for :func:`evaluate`.
    """
    targets, scores = np.asarray(targets), np.asarray(scores, np.float64)
    expected = (len(targets), len(labels))
    if targets.ndim != 1 or not len(targets) or scores.shape != expected or len(labels) < 2:
        raise DataError(
            "evaluation: targets and scores do not match",
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
    """Return for each example whether its target is among the k highest scores: bool [examples]."""
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


def matthews(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the Matthews correlation of targets and predictions, from -1 to 1 (Gorodkin 2004)."""
    return float(sk.matthews_corrcoef(targets, predictions(scores)))


#: Metrics of targets and scores alone, by the name under which they are tracked.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "loss": loss,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "top_k_accuracy": top_k_accuracy,
}


def confusion(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Count examples by target (rows) and prediction (columns): int64 [classes, classes]."""
    every = np.arange(scores.shape[1])
    return sk.confusion_matrix(targets, predictions(scores), labels=every).astype(np.int64)
