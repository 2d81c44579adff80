"""Heads fitted to numbers in closed form, against scikit-learn's ridge regression."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from features.spec import silent
from features.targets.numbers import NUMBERS
from models.network import Phase
from models.networks.images import cnn, mirrored
from models.objective import REGRESSION, scaled
from models.training import ridge, solver
from models.training.examples import Examples
from models.training.leg import Leg
from models.training.recovery.interruption import Bell
from models.training.settings import RegressionSettings
from models.training.step import measure_step
from models.training.workers import ALONE

RANDOM = np.random.default_rng(0)
MEAN, DEVIATION = np.array([3.0, -2.0], np.float32), np.array([0.5, 4.0], np.float32)
STANDARD = (MEAN, DEVIATION)


def examples(count: int, width: int, both_ways: bool = False) -> Examples:
    rows = RANDOM.normal(size=(count, width * (1 + both_ways))).astype(np.float32) + 0.3
    seen = rows[:, :width] - rows[:, width:] if both_ways else rows
    slopes = np.linspace(-1, 1, 2 * width).reshape(width, 2) / width**0.5
    noise = RANDOM.normal(size=(count, 2)) * 0.5
    targets = ((seen @ slopes + noise) * DEVIATION + (0 if both_ways else MEAN)).astype(np.float32)
    return Examples(rows, targets, [str(n) for n in range(count)], np.zeros(count, np.int32))


def measure(model: keras.Model) -> Any:
    def of(part: Examples) -> dict[str, float]:
        if not len(part):
            return {}
        error = (np.asarray(model(part.rows)) - part.targets) / DEVIATION
        return {"loss": float(np.square(error).mean())}

    return of


def _size(vectors: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean squared length of vectors about their mean."""
    middle = np.average(vectors, axis=0, weights=weights)
    return float(np.average(np.square(vectors - middle).sum(1), weights=weights))


@pytest.mark.parametrize("count", [30, 200])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_head_is_scikit_learns_ridge_of_the_lowest_validation_loss(count: int, weighted: bool) -> None:
    """With fewer examples than columns, and with more."""
    width = 60
    training, validation, other = examples(count, width), examples(80, width), examples(50, width)
    weights = RANDOM.uniform(0.5, 2, count) if weighted else None
    model = cnn.head(width, 2, dropout=0.2, standard=STANDARD)
    rows = list(solver.solve(model, training, validation, weights, measure(model), last=False))

    share = np.ones(count) if weights is None else weights / weights.mean()
    size, losses, fits = _size(training.rows, share), [], []
    for penalty in ridge.PATH:
        fits.append(Ridge(alpha=penalty * size).fit(training.rows, training.targets, sample_weight=share))
        error = (fits[-1].predict(validation.rows) - validation.targets) / DEVIATION
        losses.append(np.square(error).mean())
    np.testing.assert_allclose([row["validation_loss"] for row in rows[: len(losses)]], losses, rtol=1e-3)
    assert rows[-1]["penalty"] == ridge.PATH[int(np.argmin(losses))]
    expected = fits[int(np.argmin(losses))].predict(other.rows)
    np.testing.assert_allclose(model(other.rows), expected, rtol=1e-3, atol=1e-3)


def test_a_head_that_sees_both_ways_is_fitted_to_what_a_mirror_image_turns() -> None:
    """One output changes its sign in a mirror image: no constant; the other one does not."""
    width = 20
    training, validation = examples(100, width, both_ways=True), examples(60, width, both_ways=True)
    one_way = cnn.head(width, 2, standard=STANDARD)
    model = mirrored.agreed(one_way, width, np.array([-1.0, 1.0]))
    (row, *_) = solver.solve(model, training, validation, None, measure(model), last=False)
    head = ridge.linear_head(model)
    assert head is not None

    forward, backward = np.split(training.rows.astype(np.float64), 2, axis=1)
    for place, vectors in enumerate(((forward - backward) / 2, (forward + backward) / 2)):
        level = place == 1
        share = np.ones(len(vectors))
        size = _size(vectors, share) if level else np.square(vectors).sum(1).mean()
        fits = [
            Ridge(alpha=penalty * size, fit_intercept=level).fit(vectors, training.targets[:, place])
            for penalty in ridge.PATH
        ]
        expected = [fit.predict(vectors) for fit in fits]
        answers = np.asarray(model(training.rows))[:, place]
        # Penalties are chosen for all outputs together.
        assert min(np.abs(answers - each).max() for each in expected) < 1e-3
    assert row["penalty"] == ridge.PATH[0]


def test_the_last_fit_sees_the_validation_examples_as_well() -> None:
    training, validation, other = examples(40, 8), examples(20, 8), examples(30, 8)
    model = cnn.head(8, 2, standard=STANDARD)
    rows = list(solver.solve(model, training, validation, None, measure(model)))
    vectors, targets = (
        np.concatenate([getattr(part, name) for part in (training, validation)])
        for name in ("rows", "targets")
    )
    size = _size(vectors, np.ones(len(vectors)))
    expected = Ridge(alpha=rows[-1]["penalty"] * size).fit(vectors, targets).predict(other.rows)
    np.testing.assert_allclose(model(other.rows), expected, rtol=1e-3, atol=1e-3)
    assert rows[-1]["validation_loss"] == min(row["validation_loss"] for row in rows)


def test_without_validation_the_usual_penalty_is_taken() -> None:
    training = examples(30, 6)
    model = cnn.head(6, 2, standard=STANDARD)
    nothing = Examples(training.rows[:0], training.targets[:0], [], training.groups[:0])
    (row,) = solver.solve(model, training, nothing, None, measure(model))
    assert row["penalty"] == ridge.USUAL
    assert "validation_loss" not in row


def test_equal_vectors_answer_with_the_mean() -> None:
    training = examples(30, 6)
    same = Examples(np.ones_like(training.rows), training.targets, training.names, training.groups)
    model = cnn.head(6, 2, standard=STANDARD)
    list(solver.solve(model, same, same, None, measure(model)))
    np.testing.assert_allclose(model(same.rows)[0], training.targets.mean(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "hidden", "applies"),
    [({}, (), True), ({"loss": "huber"}, (), False), ({"optimizer": "adam"}, (), False), ({}, (4,), False)],
)
def test_only_squared_errors_of_a_linear_head_are_solved(changes: dict, hidden: tuple, applies: bool) -> None:
    settings = RegressionSettings(**{"optimizer": "lbfgs"} | changes)
    model = cnn.head(6, 2, hidden=hidden, standard=STANDARD)
    phase = Phase("head", None, model, None, 1, scale=DEVIATION)
    assert solver.applies(settings, phase, examples(10, 6)) == applies


def test_validation_is_measured_before_the_head_is_fitted_to_it_as_well(tmp_path: Path) -> None:
    model = cnn.head(60, 2, standard=STANDARD)
    settings = RegressionSettings(optimizer="lbfgs")
    phase = Phase("head", None, model, None, 1, scale=DEVIATION)
    leg = Leg(phase, NUMBERS, REGRESSION, settings, tmp_path, 0, ALONE)
    leg.weights = None
    leg.measure = measure_step(model, scaled(REGRESSION.measured_loss, DEVIATION), REGRESSION, phase.given)
    training, validation = examples(30, 60), examples(80, 60)
    rows = leg._solve(training, validation, 0, Bell(), silent, lambda *_: None)
    assert leg.final["loss"] == min(row["metrics"]["validation_loss"] for row in rows)
    # The head as it is has seen these examples.
    assert measure(model)(validation)["loss"] < 0.9 * leg.final["loss"]
