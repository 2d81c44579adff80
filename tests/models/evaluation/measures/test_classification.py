"""Metrics against hand-worked cases, closed forms and scikit-learn."""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from features.errors import DataError
from models.evaluation import scores as evaluation_scores
from models.evaluation import uncertainty
from models.evaluation.measures import classification

# Four examples of three classes, small enough to work by hand:
#   target a predicted a (.7), a predicted b (.6), b predicted b (.8), c predicted a (.5)
LABELS = ("a", "b", "c")
TARGETS = np.array([0, 0, 1, 2])
SCORES = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])


def random_case(n=500, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[targets]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return targets, scores, tuple(f"class {i}" for i in range(classes))


def test_hand_worked_figures():
    found = classification.evaluate(TARGETS, SCORES, LABELS).metrics
    assert found["test/accuracy"] == 0.5
    assert found["test/loss"] == pytest.approx(
        -(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.2)) / 4
    )
    assert found["test/top_k_accuracy"] == 0.75  # k = 2: only c, third in its row, is missed
    # F1: a 2*1/(2*1+1+1) = 1/2, b 2*1/(2+1) = 2/3, c 0
    assert found["test/macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert found["test/balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["test/examples"] == 4


def test_hand_worked_tables():
    table = classification.per_class(TARGETS, SCORES, LABELS).set_index("label")
    assert table["precision"].tolist() == [0.5, 0.5, 0.0]
    assert table["recall"].tolist() == [0.5, 1.0, 0.0]
    assert table["f1"].tolist() == pytest.approx([0.5, 2 / 3, 0.0])
    assert table["support"].tolist() == [2, 1, 1]
    assert table["predicted"].tolist() == [2, 2, 0]
    assert evaluation_scores.confusion(TARGETS, SCORES).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_mistakes_come_most_confident_first():
    table = classification.mistakes(TARGETS, SCORES, LABELS)
    assert table[["row", "target", "prediction"]].values.tolist() == [[1, "a", "b"], [3, "c", "a"]]
    assert table["score"].tolist() == [0.6, 0.5]
    assert table["target_score"].tolist() == [0.3, 0.2]
    assert classification.mistakes(TARGETS, SCORES, LABELS, limit=1)["row"].tolist() == [1]


def test_calibration_follows_guo():
    # Two bins: (0, .5] holds the confidence .5 (wrong), (.5, 1] holds .7, .8 (right), .6 (wrong).
    bands = classification.calibration(TARGETS, SCORES, bins=2)
    assert bands["count"].tolist() == [1, 3]
    assert bands["confidence"].tolist() == pytest.approx([0.5, 0.7])
    assert bands["accuracy"].tolist() == pytest.approx([0.0, 2 / 3])
    expected = 1 / 4 * 0.5 + 3 / 4 * abs(2 / 3 - 0.7)
    assert classification.expected_calibration_error(bands) == pytest.approx(expected)


def test_empty_bins_are_nan_and_cost_nothing():
    bands = classification.calibration(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), bins=10)
    assert bands["count"].tolist() == [0] * 9 + [2]
    assert bands["accuracy"].isna().sum() == 9
    assert classification.expected_calibration_error(bands) == 0.0


def test_calibrated_scores_have_an_error_near_zero():
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(4), size=20_000)
    targets = (rng.random((20_000, 1)) > scores.cumsum(axis=1)).sum(axis=1)
    assert classification.expected_calibration_error(classification.calibration(targets, scores)) < 0.02
    shifted = np.roll(scores, 1, axis=1)
    assert classification.expected_calibration_error(classification.calibration(targets, shifted)) > 0.2


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (10, 2), (100, 3)])
def test_agrees_with_scikit_learn(classes, seed):
    targets, scores, labels = random_case(600, classes, seed)
    found = classification.evaluate(targets, scores, labels).metrics
    guess = scores.argmax(axis=1)
    every = np.arange(classes)
    assert found["test/loss"] == pytest.approx(sk.log_loss(targets, scores, labels=every))
    assert found["test/accuracy"] == pytest.approx(sk.accuracy_score(targets, guess))
    assert found["test/balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, guess))
    assert found["test/macro_f1"] == pytest.approx(sk.f1_score(targets, guess, average="macro"))
    assert found["test/matthews"] == pytest.approx(_matthews(targets, guess, scores.shape[1]))
    if classes > 2:
        expected = sk.top_k_accuracy_score(targets, scores, k=min(5, classes - 1), labels=every)
        assert found["test/top_k_accuracy"] == pytest.approx(expected)


def _matthews(targets, guess, classes):
    """The covariance form of Gorodkin (2004), of one-hot matrices."""
    x, y = np.eye(classes)[targets], np.eye(classes)[guess]

    def covariance(a, b):
        return ((a - a.mean(0)) * (b - b.mean(0))).sum()

    return covariance(x, y) / math.sqrt(covariance(x, x) * covariance(y, y))


def test_ties_go_to_the_first_label_everywhere():
    targets, scores = np.array([0, 1, 2]), np.full((3, 3), 1 / 3)
    assert evaluation_scores.accuracy(targets, scores) == pytest.approx(1 / 3)
    assert evaluation_scores.top_k_accuracy(targets, scores, k=1) == pytest.approx(1 / 3)
    assert evaluation_scores.top_k_accuracy(targets, scores, k=2) == pytest.approx(2 / 3)


def test_score_of_exactly_zero_costs_as_in_scikit_learn():
    targets, scores = np.array([0, 1]), np.array([[0.0, 1.0], [0.5, 0.5]])
    expected = sk.log_loss(targets, scores, labels=[0, 1])
    assert evaluation_scores.loss(targets, scores) == pytest.approx(expected)
    assert evaluation_scores.losses(targets, scores)[0] == pytest.approx(-math.log(2.0**-52))


@pytest.mark.parametrize("metric", evaluation_scores.MAIN_METRICS)
def test_interval_matches_resampling_the_examples_one_by_one(metric):
    targets, scores, _ = random_case(120, 4, seed=5)
    interval = uncertainty.bootstrap(targets, scores, metric, resamples=4000, seed=1)
    measure = evaluation_scores.METRICS[metric]
    resamples = np.random.default_rng(99).integers(0, len(targets), (1500, len(targets)))
    few = [measure(targets[chosen], scores[chosen]) for chosen in resamples[:50]]
    if metric in ("macro_f1", "balanced_accuracy"):
        # scikit-learn takes milliseconds for each.
        drawn = _of_classes(targets, scores.argmax(axis=1), resamples)[metric]
        np.testing.assert_allclose(drawn[:50], few, rtol=1e-12)
    else:
        drawn = few + [measure(targets[chosen], scores[chosen]) for chosen in resamples[50:]]
    low, high = np.quantile(drawn, [0.025, 0.975])
    width = high - low
    assert interval.low == pytest.approx(low, abs=0.12 * width)
    assert interval.high == pytest.approx(high, abs=0.12 * width)
    assert interval.low < interval.value < interval.high


def _of_classes(targets, guess, resamples):
    """Count each resample's confusions, and work the metrics out by their definitions."""
    tables = np.array([np.bincount(4 * targets[rows] + guess[rows], minlength=16) for rows in resamples])
    tables = tables.reshape(-1, 4, 4)
    right, support, predicted = tables.diagonal(axis1=1, axis2=2), tables.sum(2), tables.sum(1)
    assert (support > 0).all()
    return {
        "balanced_accuracy": (right / support).mean(1),
        "macro_f1": (2 * right / (support + predicted)).mean(1),
    }


def test_interval_of_accuracy_is_the_binomial_one():
    n, right = 2000, 1500
    targets = np.zeros(n, np.int64)
    scores = np.where(np.arange(n)[:, None] < right, [[0.9, 0.1]], [[0.1, 0.9]])
    interval = uncertainty.bootstrap(targets, scores, "accuracy", resamples=20_000, seed=3)
    margin = 1.96 * math.sqrt(0.75 * 0.25 / n)
    assert interval.value == 0.75
    assert interval.low == pytest.approx(0.75 - margin, abs=0.001)
    assert interval.high == pytest.approx(0.75 + margin, abs=0.001)


@pytest.mark.parametrize(("right", "count"), [(20, 20), (0, 7), (3, 11), (1500, 2000)])
def test_shares_have_the_interval_of_wilson(right, count):
    """Beside SciPy's own, which it gives for a binomial test."""
    targets = np.zeros(count, np.int64)
    scores = np.where(np.arange(count)[:, None] < right, [[0.9, 0.1]], [[0.1, 0.9]])
    found = uncertainty.interval(targets, scores, "accuracy")
    expected = scipy.stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert (found.value, found.method) == (right / count, "Wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert uncertainty.interval(targets, scores, "loss").method == "bootstrap, 1,000 resamples"


def test_the_baseline_answers_with_the_most_frequent_training_class():
    targets = np.array([0, 1, 2, 1])
    assert (
        classification.evaluate(targets, np.eye(3)[targets], LABELS, majority=1).metrics[
            "test/majority_accuracy"
        ]
        == 0.5
    )
    assert (
        "test/majority_accuracy" not in classification.evaluate(targets, np.eye(3)[targets], LABELS).metrics
    )


def test_interval_depends_on_the_seed_alone():
    targets, scores, _ = random_case(300, 5)
    first = uncertainty.bootstrap(targets, scores, "loss", seed=7)
    assert uncertainty.bootstrap(targets, scores, "loss", seed=7) == first
    assert uncertainty.bootstrap(targets, scores, "loss", seed=8) != first


def test_perfect_scores():
    targets = np.arange(3)
    found = classification.evaluate(targets, np.eye(3), LABELS)
    # Three of three right may be chance: Wilson's interval says so, the bootstrap would not.
    assert (found.interval.low, found.interval.value, found.interval.high) == (
        pytest.approx(0.4385, abs=1e-4),
        1,
        1,
    )
    assert found.metrics["test/loss"] == 0.0
    assert found.metrics["test/ece"] == 0.0
    assert len(found.mistakes) == 0


def test_class_absent_from_the_split_does_not_lower_the_means():
    targets, scores = np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    found = classification.evaluate(targets, scores, LABELS)
    assert found.metrics["test/macro_f1"] == 1.0
    assert found.metrics["test/balanced_accuracy"] == 1.0
    assert found.per_class["support"].tolist() == [1, 1, 0]


def test_rounded_scores_are_normalised():
    _, scores = evaluation_scores.checked(TARGETS, (SCORES * 1.004).astype(np.float16), LABELS)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("targets", "scores", "text"),
    [
        ([0, 1], [[0.5, 0.5, 0.0]], "do not match"),
        ([], np.zeros((0, 3)), "do not match"),
        ([3], [[0.5, 0.5, 0.0]], "not the index of a label"),
        ([-1], [[0.5, 0.5, 0.0]], "not the index of a label"),
        ([0.0], [[0.5, 0.5, 0.0]], "not the index of a label"),
        ([0], [[float("nan"), 0.5, 0.5]], "row 0 = "),
        ([0, 0], [[0.5, 0.5, 0.0], [2.0, -3.0, 2.0]], "row 1 = "),
    ],
)
def test_refuses_what_cannot_be_measured(targets, scores, text):
    with pytest.raises(DataError, match=text):
        classification.evaluate(np.array(targets), np.array(scores), LABELS)


def test_unknown_main_metric_names_the_known_ones():
    with pytest.raises(DataError, match="accuracy, balanced_accuracy, loss"):
        uncertainty.bootstrap(TARGETS, SCORES, "auc")


def test_labels_that_are_not_valid_unicode_pass_through():
    labels = ("a\udcff", "b", "c")
    found = classification.evaluate(TARGETS, SCORES, labels, resamples=10)
    assert found.per_class["label"].tolist() == list(labels)
    assert found.mistakes["target"].tolist() == ["a\udcff", "c"]
