"""Differences of two models: intervals beside theory and simulation, disagreements by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation import differences
from models.evaluation.measures.classification import CLASSES
from models.evaluation.measures.regression import NUMBERS


def dataset(targets: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    frame = pd.DataFrame(
        {"target": list(targets), "split": "test", "sha256": [str(i) for i in range(len(targets))]}
    )
    training = frame.assign(split="train")
    frame = pd.concat([frame, training], ignore_index=True)
    return Dataset(Path(), "", labels, labels, {"rules": {}}, frame, Path())


def scores(targets: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Give the highest score to the target where right, to the other class elsewhere."""
    best = np.where(right, targets, 1 - targets)
    return np.eye(2)[best] * 0.8 + 0.1


def test_a_difference_of_means_has_the_interval_of_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 20)
    hits = random.random((2, 20)) < [[0.5], [0.8]]
    found = differences.differences(
        dataset(targets, ("a", "b")), CLASSES, *(scores(targets, hit) for hit in hits)
    )
    (accuracy,) = [each for each in found if each.metric == "test/accuracy"]
    # With one example in a group the jackknife of a mean is the classical standard error.
    paired = scipy.stats.ttest_rel(*hits[::-1].astype(float))
    interval = paired.confidence_interval(0.95)
    assert accuracy.difference == pytest.approx(hits[1].mean() - hits[0].mean())
    assert (accuracy.low, accuracy.high) == pytest.approx((interval.low, interval.high))
    assert accuracy.is_clear == (paired.pvalue < 0.05)


@pytest.mark.proof
def test_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    held, rounds = 0, 60
    for seed in range(rounds):
        random = np.random.default_rng(seed)
        targets = random.normal(size=(80, 1))
        common = random.normal(size=(80, 1))
        first, second = (targets + common + scale * random.normal(size=(80, 1)) for scale in (0.5, 1.0))
        found = differences.differences(dataset(targets, ("x",)), NUMBERS, first, second)
        (mse,) = [each for each in found if each.metric == "test/mse"]
        held += mse.low <= (1 + 1.0) - (1 + 0.25) <= mse.high
    # 95 % of 60 are 57; fewer than 50 happens once in 1,000 times.
    assert held >= 50


def test_equal_models_do_not_differ() -> None:
    targets = np.arange(40) % 2
    same = scores(targets, np.arange(40) % 3 > 0)
    for each in differences.differences(dataset(targets, ("a", "b")), CLASSES, same, same):
        assert (each.difference, each.low, each.high, each.is_clear) == (0, 0, 0, False)


def test_disagreements_are_those_that_one_answers_better() -> None:
    targets = np.zeros(12, int)
    data = dataset(targets, ("a", "b"))
    hits = np.ones((2, 12), bool)
    hits[0, 3], hits[1, 5], hits[:, 7] = False, False, False
    table = differences.disagreements(*(CLASSES.evaluate(data, scores(targets, hit)) for hit in hits))
    rows = table.sort_values("row")[["row", "gain", "target", "first_answer", "second_answer"]]
    assert rows.values.tolist() == [[3, 1.0, "a", "b", "a"], [5, -1.0, "a", "a", "b"]]


def test_disagreements_of_numbers_begin_with_the_largest() -> None:
    targets = np.arange(12.0)[:, None]
    values = np.stack([targets, targets])
    values[0, 2] += 1.0
    values[1, 4] += 3.0
    data = dataset(targets, ("x",))
    table = differences.disagreements(*(NUMBERS.evaluate(data, each) for each in values))
    assert table["row"].tolist() == [4, 2]
    assert table["gain"].tolist() == pytest.approx([-3 / targets.std(), 1 / targets.std()])
    assert table["first_answer"].tolist() == ["4", "3"]


def test_too_few_examples() -> None:
    targets = np.arange(9) % 2
    data = replace(dataset(targets, ("a", "b")))
    with pytest.raises(DataError, match="10 or more"):
        differences.differences(data, CLASSES, *(scores(targets, targets == 0),) * 2)
