"""Errors of predicted numbers, against scikit-learn, and their intervals against plain resampling."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from features.errors import DataError
from models.evaluation.measures.regression import evaluate


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = random.normal([5, 100], [2, 30], (80, 2))
    return targets, targets + random.normal(0, [1, 20], (80, 2))


def test_metrics_are_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    targets, values = pair
    mean = np.array([4.0, 90.0])
    measured = evaluate(targets, values, ("a", "b"), mean)
    expected = {
        "mse": sk.mean_squared_error(targets, values),
        "mae": sk.mean_absolute_error(targets, values),
        "rmse": sk.root_mean_squared_error(targets, values),
        "r2": sk.r2_score(targets, values),
        "mse_of_mean": sk.mean_squared_error(targets, np.tile(mean, (80, 1))),
        "mse_of_zero": sk.mean_squared_error(targets, np.zeros_like(targets)),
        "examples": 80,
    }
    for name, value in expected.items():
        assert measured.metrics[f"test/{name}"] == pytest.approx(value), name
    for place, row in measured.numbers.iterrows():
        assert row["r2"] == pytest.approx(sk.r2_score(targets[:, place], values[:, place]))
        assert row["mae"] == pytest.approx(sk.mean_absolute_error(targets[:, place], values[:, place]))
    assert (measured.interval.metric, measured.interval.value) == ("r2", measured.metrics["test/r2"])


def test_intervals_are_those_of_plain_resampling(pair: tuple[np.ndarray, np.ndarray]) -> None:
    targets, values = pair[0][:, :1], pair[1][:, :1]
    measured = evaluate(targets, values, ("a",), np.zeros(1), resamples=4000)
    resamples = np.random.default_rng(1).integers(0, len(targets), (4000, len(targets)))
    truth, answers = targets[resamples, 0], values[resamples, 0]
    spread = np.square(truth - truth.mean(1, keepdims=True)).sum(1)
    r2 = 1 - np.square(answers - truth).sum(1) / spread
    for rows, own in zip(resamples[:50], r2, strict=False):
        assert own == pytest.approx(sk.r2_score(targets[rows], values[rows]), rel=1e-9)
    for name, drawn in (("r2", r2), ("mae", np.abs(answers - truth).mean(1))):
        low, high = np.quantile(drawn, [0.025, 0.975])
        width = high - low
        assert measured.metrics[f"test/{name}_low"] == pytest.approx(low, abs=0.08 * width)
        assert measured.metrics[f"test/{name}_high"] == pytest.approx(high, abs=0.08 * width)


def test_whole_blocks_are_resampled() -> None:
    """Ten copies of each example say no more than one: the interval is as wide as of one each."""
    random = np.random.default_rng(0)
    targets = random.normal(0, 1, (30, 1))
    values = targets + random.normal(0, 0.5, (30, 1))
    few = evaluate(targets, values, ("a",), np.zeros(1))
    many, guesses = np.repeat(targets, 10, axis=0), np.repeat(values, 10, axis=0)
    blocks = np.repeat([f"b{n}" for n in range(30)], 10)
    blocked = evaluate(many, guesses, ("a",), np.zeros(1), blocks=blocks)
    naive = evaluate(many, guesses, ("a",), np.zeros(1))

    def width(measured) -> float:
        return measured.metrics["test/mse_high"] - measured.metrics["test/mse_low"]

    assert width(blocked) == pytest.approx(width(few), rel=0.15)
    assert width(naive) < 0.5 * width(few)


def test_the_worst_come_first(pair: tuple[np.ndarray, np.ndarray]) -> None:
    targets, values = pair
    worst = evaluate(targets, values, ("a", "b"), np.zeros(2)).worst
    scaled = ((values - targets) / targets.std(0)) ** 2
    assert worst["row"].iloc[0] == scaled.mean(1).argmax()
    assert list(worst["error"]) == sorted(worst["error"], reverse=True)
    assert isinstance(worst, pd.DataFrame)
    assert worst["target"].iloc[0] == ", ".join(f"{n:.4g}" for n in targets[worst["row"].iloc[0]])


@pytest.mark.parametrize(
    ("values", "words"),
    [(np.zeros((4, 2)), "do not match"), (np.array([[0.0], [np.nan], [1], [2]]), "not all finite")],
)
def test_what_cannot_be_measured_is_refused(values: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        evaluate(np.arange(4.0)[:, None], values, ("a",), np.zeros(1))
