"""Fit a linear head to numbers in closed form: ridge regression, its penalty chosen on validation.

One eigenvalue decomposition, of the examples' or of the columns' products, whichever are fewer, serves every
penalty (Hoerl and Kennard 1970). The head stays what it is, a dense layer from vectors to numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

#: Penalties that are tried, the strongest first. They count in examples of mean squared length: 10 pulls as
#: much towards the mean as ten examples would whose vectors are at right angles to all others.
PATH = tuple(float(f"{10.0**power:.3g}") for power in np.arange(2.5, -3.1, -0.5))
#: What is taken without a validation split.
USUAL = 3.16
#: Vectors [examples, width] and their numbers [examples, outputs].
Sample = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LinearHead:
    """A head whose answers are numbers in their own units.

    Attributes:
        dense: the layer with the weights.
        mean: what is added to each output of the layer, [outputs].
        deviation: what it is multiplied by before, [outputs].
        signs: of the outputs of a mirror image, where the head sees vectors of both ways
            (see `models.networks.images.mirrored.agreed`); None where it sees one.
    """

    dense: keras.layers.Dense
    mean: np.ndarray
    deviation: np.ndarray
    signs: np.ndarray | None

    def vectors(self, rows: np.ndarray, sign: float | None) -> np.ndarray:
        """Return what outputs of a sign depend on linearly: [examples, width]."""
        if sign is None:
            return rows
        forward, backward = np.split(rows, 2, axis=1)
        return (forward + sign * backward) / 2

    def standardised(self, targets: np.ndarray, sign: float | None) -> np.ndarray:
        """Bring targets [examples, outputs] to the layer's units; with opposite signs the mean cancels."""
        return (targets - (0.0 if sign == -1 else self.mean)) / self.deviation


def linear_head(model: keras.Model) -> LinearHead | None:
    """Return the head that a model is; None where it has hidden layers, or outputs of another kind."""
    signs = getattr(model, "signs", None)
    head = model if signs is None else model.get_layer("head")
    kinds = keras.layers.InputLayer, keras.layers.Dropout
    others = [layer for layer in head.layers if not isinstance(layer, kinds)]
    expected = [keras.layers.Dense, keras.layers.Normalization]
    if list(map(type, others)) != expected or others[0].kernel_constraint is not None:
        return None
    dense, units = others
    mean, variance = (np.ravel(np.asarray(value, np.float64)) for value in (units.mean, units.variance))
    return LinearHead(dense, mean, np.sqrt(variance), None if signs is None else np.array(signs))


def solve(
    head: LinearHead,
    training: Sample,
    weights: np.ndarray | None,
    validation: Sample | None,
    measure: Callable[[], dict[str, Any]],
    *,
    last: bool = True,
) -> Iterator[dict[str, Any]]:
    """Fit a head along the path; at the end it has the penalty of the lowest validation loss.

    With this penalty it is fitted once more, to training and validation examples together.

    Args:
        head: as `linear_head` returns it.
        training: its vectors have twice the width where the head sees both ways.
        weights: of each training example; None weighs all alike. With weights nothing is fitted once more.
        validation: None where there is none: the usual penalty is taken.
        measure: returns metrics of the head as it is, ``validation_loss`` among them.
        last: whether nothing is trained after the head. Else the validation examples stay unseen, for what
            follows is held against the head on them.

    Yields:
        The metrics of each penalty; those of the chosen one are the last, from before the last fit.
    """
    fit = _Fit(head, training, weights)
    best: tuple[float, dict[str, Any]] | None = None
    metrics: dict[str, Any] = {}
    for penalty in (USUAL,) if validation is None else PATH:
        fit.assign(penalty)
        metrics = measure() | {"penalty": penalty}
        loss = metrics.get("validation_loss", 0.0)
        if best is None or loss < best[0]:
            best = loss, metrics
        yield metrics
    assert best is not None, "a path has penalties"
    if validation is not None and weights is None and last:
        both = [np.concatenate(pair) for pair in zip(training, validation, strict=True)]
        fit = _Fit(head, (both[0], both[1]), None)
    fit.assign(best[1]["penalty"])
    if best[1] is not metrics:
        yield best[1]


class _Fit:
    """The least squares problems of a head, one for the outputs of each sign."""

    def __init__(self, head: LinearHead, sample: Sample, weights: np.ndarray | None) -> None:
        rows, targets = sample
        share = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
        share = share / share.mean()
        self.head = head
        self.signs: list[float | None] = [None] * len(head.mean) if head.signs is None else [*head.signs]
        self.parts = {
            sign: _Decomposed(
                head.vectors(rows, sign), head.standardised(targets, sign), share, centred=sign != -1
            )
            for sign in dict.fromkeys(self.signs)
        }

    def assign(self, penalty: float) -> None:
        """Give the head the weights of a penalty."""
        solved = {sign: part.coefficients(penalty) for sign, part in self.parts.items()}
        kernel = np.stack([solved[sign][0][:, place] for place, sign in enumerate(self.signs)], axis=1)
        bias = np.array([solved[sign][1][place] for place, sign in enumerate(self.signs)])
        self.head.dense.set_weights([kernel, bias])


class _Decomposed:
    """A least squares problem, ready for any penalty.

    Args:
        vectors: [examples, width].
        targets: [examples, outputs].
        share: weight of each example, 1 on average.
        centred: whether there is a constant beside the vectors, without a penalty.
    """

    def __init__(self, vectors: np.ndarray, targets: np.ndarray, share: np.ndarray, *, centred: bool) -> None:
        factor = 1.0 if centred else 0.0
        self.middle = factor * np.average(vectors, axis=0, weights=share)
        self.level = factor * np.average(targets, axis=0, weights=share)
        root = np.sqrt(share)[:, np.newaxis]
        x, y = (vectors - self.middle) * root, (targets - self.level) * root
        self.size = float(np.square(x).sum() / len(x)) or 1.0
        self.dual = len(x) <= x.shape[1]
        products = (x @ x.T if self.dual else x.T @ x) / self.size
        self.values, self.axes = np.linalg.eigh(products)
        self.x = x
        self.seen = self.axes.T @ (y if self.dual else x.T @ y / self.size)

    def coefficients(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients [width, outputs] and the constants [outputs]."""
        solved = self.axes @ (self.seen / (self.values + penalty)[:, np.newaxis])
        kernel = self.x.T @ solved / self.size if self.dual else solved
        return kernel, self.level - self.middle @ kernel
