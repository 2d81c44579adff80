"""Fit a linear head to convergence: logistic regression over a path of strengths, chosen on validation.

By scikit-learn's L-BFGS, in seconds where gradient steps take a minute. The head stays what it is, a dense
layer from vectors to logits. To numbers it is fitted by `models.training.ridge`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from models.network import Phase
from models.training import ridge
from models.training.examples import Examples
from models.training.settings import LoopSettings

#: Inverse strengths of the L2 penalty, scikit-learn's C, that are tried, the strongest first.
PATH = tuple(float(f"{10.0**power:.3g}") for power in np.arange(-5, 2.1, 0.5))
#: What is taken without a validation split.
USUAL = 0.1
#: A path ends after so many strengths without a lower loss.
_PATIENCE = 3
#: Logit of a class that the training split lacks.
_ABSENT = -20.0


def applies(settings: LoopSettings, phase: Phase, training: Examples) -> bool:
    """Return whether a phase needs no steps: a linear head over cached vectors, to classes or numbers.

    Numbers are fitted to the squared error alone.
    """
    if settings.optimizer != "lbfgs" or phase.augmentation is not None:
        return False
    if phase.scale is not None:
        squared = getattr(settings, "loss", None) == "squared"
        return squared and ridge.linear_head(phase.model) is not None
    if not is_linear(phase.model):
        return False
    targets = np.asarray(training.targets)
    return bool(np.issubdtype(targets.dtype, np.integer)) and len(np.unique(targets)) > 1


def is_linear(model: keras.Model) -> bool:
    """Return whether a model is one dense layer from vectors to logits, with dropout at most."""
    layers = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    dense = [each for each in layers if isinstance(each, keras.layers.Dense)]
    others = [each for each in layers if not isinstance(each, keras.layers.Dense | keras.layers.Dropout)]
    return len(dense) == 1 and not others and dense[0].kernel_constraint is None


def solve(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    weights: np.ndarray | None,
    measure: Callable[[Examples], dict[str, float]],
    *,
    last: bool = True,
) -> Iterator[dict[str, Any]]:
    """Fit a linear model along the path; at the end it has the weights of the lowest validation loss.

    Args:
        model: one that `is_linear`, or a `ridge.linear_head`.
        training: vectors, and classes or numbers.
        validation: on which the strength is chosen; empty: the usual one is taken.
        weights: of each training example; None weighs all alike.
        measure: gives loss and metrics of the model on examples, by name.
        last: whether nothing is trained after it; see `ridge.solve`.

    Yields:
        The metrics of each strength, those of the validation split with ``validation_`` before their names;
        those of the chosen one are the last.
    """
    if (head := ridge.linear_head(model)) is not None:
        fitted, held = _sample(training), _sample(validation) if len(validation) else None
        each = ridge.solve(
            head, fitted, weights, held, lambda: _metrics(measure, training, validation), last=last
        )
        yield from each
        return
    from sklearn.linear_model import LogisticRegression

    vectors, classes = np.asarray(training.rows[:], np.float64), np.asarray(training.targets)
    fitted = LogisticRegression(max_iter=500, tol=1e-4, warm_start=True)
    best: tuple[float, int, dict[str, Any], list[np.ndarray]] | None = None
    for number, strength in enumerate(PATH if len(validation) else (USUAL,)):
        fitted.set_params(C=strength).fit(vectors, classes, sample_weight=weights)
        _assign(model, fitted)
        metrics = _metrics(measure, training, validation) | {"inverse_strength": strength}
        loss = metrics.get("validation_loss", 0.0)
        if best is None or loss < best[0]:
            best = loss, number, metrics, model.get_weights()
        yield metrics
        if number - best[1] >= _PATIENCE:
            break
    assert best is not None, "a path has strengths"
    model.set_weights(best[3])
    if best[2] is not metrics:
        yield best[2]


def _sample(examples: Examples) -> ridge.Sample:
    return np.asarray(examples.rows[:], np.float64), np.asarray(examples.targets[:], np.float64)


def _metrics(
    measure: Callable[[Examples], dict[str, float]], training: Examples, validation: Examples
) -> dict[str, float]:
    return measure(training) | {f"validation_{name}": value for name, value in measure(validation).items()}


def _assign(model: keras.Model, fitted: Any) -> None:
    """Write scikit-learn's coefficients into the dense layer; of two classes it keeps the second's alone."""
    (dense,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = np.zeros(dense.kernel.shape), np.full(dense.bias.shape, _ABSENT)
    present = fitted.classes_
    if len(present) == 2:
        bias[present[0]] = 0.0
        present = present[1:]
    kernel[:, present], bias[present] = fitted.coef_.T, fitted.intercept_
    dense.set_weights([kernel, bias])
