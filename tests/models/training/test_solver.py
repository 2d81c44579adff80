"""Heads fitted to convergence, against scikit-learn; phases that must not spoil what went before."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.networks.images.cnn import head
from models.training import solver
from models.training.examples import Examples

RANDOM = np.random.default_rng(0)


def examples(count: int, classes: int, shift: float = 1.0) -> Examples:
    targets = RANDOM.integers(0, classes, count)
    rows = RANDOM.normal(size=(count, 6)).astype(np.float32)
    rows[:, :classes] += shift * np.eye(classes, dtype=np.float32)[targets]
    return Examples(rows, targets.astype(np.int32), [str(n) for n in range(count)], targets)


def measure(model: keras.Model):
    def of(part: Examples) -> dict[str, float]:
        if not len(part):
            return {}
        scores = keras.ops.convert_to_numpy(keras.ops.softmax(model(part.rows)))
        right = scores[np.arange(len(part)), part.targets]
        return {
            "loss": float(-np.log(right).mean()),
            "accuracy": float((scores.argmax(1) == part.targets).mean()),
        }

    return of


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_head_is_scikit_learns_of_the_lowest_validation_loss(classes: int, weighted: bool) -> None:
    training, validation, other = (examples(count, classes) for count in (150, 60, 40))
    weights = RANDOM.uniform(0.5, 2, len(training)) if weighted else None
    model = head(6, classes, dropout=0.2)
    rows = list(solver.solve(model, training, validation, weights, measure(model)))
    losses = []
    for strength in solver.PATH:
        fitted = LogisticRegression(C=strength, max_iter=500, tol=1e-6)
        fitted.fit(training.rows, training.targets, sample_weight=weights)
        right = fitted.predict_proba(validation.rows)[np.arange(60), validation.targets]
        losses.append(-np.log(right).mean())
    chosen = solver.PATH[int(np.argmin(losses))]
    assert rows[-1]["inverse_strength"] == chosen
    assert rows[-1]["validation_loss"] == pytest.approx(min(losses), abs=1e-3)
    best = LogisticRegression(C=chosen, max_iter=500, tol=1e-6)
    best.fit(training.rows, training.targets, sample_weight=weights)
    scores = keras.ops.convert_to_numpy(keras.ops.softmax(model(other.rows)))
    np.testing.assert_allclose(scores, best.predict_proba(other.rows), atol=5e-3)
    # What was worse three times in a row is not tried further.
    assert len(rows) < len(solver.PATH) + 1


def test_without_validation_the_usual_strength_is_taken() -> None:
    training = examples(50, 3)
    model = head(6, 3)
    nothing = Examples(training.rows[:0], training.targets[:0], [], training.groups[:0])
    (row,) = solver.solve(model, training, nothing, None, measure(model))
    assert row["inverse_strength"] == solver.USUAL
    assert "validation_loss" not in row


def test_a_class_that_training_lacks_is_never_the_answer() -> None:
    training, validation = examples(60, 3), examples(30, 3)
    model = head(6, 5)
    list(solver.solve(model, training, validation, None, measure(model)))
    answers = keras.ops.convert_to_numpy(model(validation.rows)).argmax(1)
    assert set(answers) <= {0, 1, 2}


def test_only_a_single_dense_layer_is_solved() -> None:
    assert solver.is_linear(head(6, 3, dropout=0.1))
    assert not solver.is_linear(head(6, 3, hidden=(4,)))
    assert not solver.is_linear(head(6, 3, max_norm=2.0))
    assert not solver.is_linear(head(6, 1, standard=(np.zeros(1), np.ones(1))))
