"""A linear model of plain features: logistic regression for classes, ridge regression for numbers.

By scikit-learn, in seconds: a network that is worse than it has learnt little from its examples.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from features.datasets.dataset import Dataset
from features.spec import AUDIO, IMAGE, ROW, TEXT, Progress, silent
from features.targets.classes import CLASS
from features.targets.numbers import NUMBERS
from models.baselines import contents
from models.task import Task

#: What the baseline of a raw kind reads, in words.
FEATURES = {
    TEXT.name: "TF-IDF of words and pairs of words",
    AUDIO.name: "mean and deviation of MFCC",
    IMAGE.name: f"{contents.SIDE} x {contents.SIDE} pixels",
    ROW.name: "the network's own columns",
}
#: The estimator of a target, in words.
ESTIMATORS = {CLASS.name: "logistic regression", NUMBERS.name: "ridge regression"}
#: Training examples that it is fitted to, by raw kind: more take longer than they are worth.
MOST = {TEXT.name: 50_000, AUDIO.name: 2_000, IMAGE.name: 4_000, ROW.name: 50_000}

#: Words of any length, and single marks.
_WORDS = r"(?u)\w+|[^\w\s]"


def applies(task: Task) -> bool:
    """Return whether a task has a linear baseline."""
    return task.evaluator is not None and task.raw.name in FEATURES and task.target.name in ESTIMATORS


def describe(task: Task) -> str:
    """Name a task's baseline in words."""
    return f"{ESTIMATORS[task.target.name]} on {FEATURES[task.raw.name]}"


def metrics(
    task: Task, dataset: Dataset, featurizer: Any, progress: Progress = silent
) -> Mapping[str, float]:
    """Fit the baseline to the training split and measure it as the network is.

    Where cross-validation left no test split, each fold is answered by a fit to the others.

    Args:
        task: one that `applies`.
        dataset: with its splits.
        featurizer: of the network, which reads rows.
        progress: told how many examples are read.

    Returns:
        The metrics of the task's evaluator, by their names, such as ``test/accuracy``; none where there is
        one class alone to learn.
    """
    assert task.evaluator is not None, "a task with a baseline has an evaluator"
    measured = dataset.measured
    values = np.zeros((len(measured), len(dataset.labels)))
    rounds = list(_rounds(task, dataset))
    # Cross-validation needs each example in every round: it is read once.
    examples = dataset.frame.loc[sorted({index for pair in rounds for part in pair for index in part.index})]
    described = _described(task, dataset, examples, featurizer, progress)
    for training, held_out in rounds:
        targets = training["target"].to_numpy()
        if task.target.name == CLASS.name and len(set(targets)) < 2:
            return {}
        features, new = (described[examples.index.get_indexer(part.index)] for part in (training, held_out))
        places = measured.index.get_indexer(held_out.index)
        values[places] = _ANSWERS[task.target.name](task, features, targets, new, len(dataset.labels))
    return task.evaluator.evaluate(dataset, values).metrics


def _rounds(task: Task, dataset: Dataset) -> Iterator[tuple[Any, Any]]:
    """Yield what is fitted to, and what is asked then."""
    frame, measured, most = dataset.frame, dataset.measured, MOST[task.raw.name]
    if (measured["split"] == "test").all():
        yield _some(frame[frame["split"] == "train"], most), measured
        return
    for fold in sorted(set(measured["fold"])):
        yield _some(measured[measured["fold"] != fold], most), measured[measured["fold"] == fold]


def _some(frame: Any, most: int) -> Any:
    return frame if len(frame) <= most else frame.sample(most, random_state=0).sort_index()


def _described(task: Task, dataset: Dataset, frame: Any, featurizer: Any, progress: Progress) -> Any:
    def read() -> Iterator[bytes]:
        for done, row in enumerate(frame.itertuples(), start=1):
            yield dataset.read(row)
            progress("baseline", done, len(frame))

    return contents.DESCRIBE[task.raw.name](read(), featurizer)


def _prepared(task: Task) -> tuple[Any, ...]:
    """Make what comes before the estimator, which is fitted to the training examples alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    if task.raw.name == TEXT.name:
        return (TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORDS),)
    return (StandardScaler(),)


def _class_scores(task: Task, features: Any, targets: Any, new_features: Any, labels: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # TF-IDF rows have a length of 1, and take less regularisation than standardised features.
    strength = 10.0 if task.raw.name == TEXT.name else 0.1
    fitted = make_pipeline(*_prepared(task), LogisticRegression(C=strength, max_iter=200, tol=1e-3))
    fitted.fit(features, targets.astype(np.int64))
    scores = np.zeros((len(new_features), labels))
    scores[:, fitted[-1].classes_] = fitted.predict_proba(new_features)
    return scores


def _numbers(task: Task, features: Any, targets: Any, new_features: Any, labels: int) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline

    fitted = make_pipeline(*_prepared(task), RidgeCV(np.logspace(-2, 5, 8)))
    fitted.fit(features, np.stack(list(targets)))
    return np.asarray(fitted.predict(new_features)).reshape(len(new_features), labels)


_ANSWERS: dict[str, Callable[[Task, Any, Any, Any, int], np.ndarray]] = {
    CLASS.name: _class_scores,
    NUMBERS.name: _numbers,
}
