"""What a network over rows makes of its input: where its classes lie, and its last hidden layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from models.network import Network

#: Places along each side of a grid, and how far it reaches beyond the points, in parts of their range.
GRID, MARGIN = 160, 0.12


@dataclass(frozen=True)
class Field:
    """Class probabilities over a plane.

    Attributes:
        x: float [m], places along the first axis.
        y: float [m], places along the second.
        scores: float [m, m, classes]; rows follow y.
    """

    x: np.ndarray
    y: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class View:
    """Examples in a plane.

    Attributes:
        points: float [n, 2].
        axes: names of the two axes.
        field: what the network answers over the plane; None where a place in it stands for many inputs.
    """

    points: np.ndarray
    axes: tuple[str, str]
    field: Field | None = None


def inputs(network: "Network", rows: Sequence[bytes]) -> View | None:
    """View examples by their two numbers, with the network's answers over all of the plane.

    Returns:
        None for a network that takes anything else than two numeric columns. A missing number is NaN.
    """
    featurizer = network.featurizer
    if len(featurizer.columns) != 2 or len(featurizer.numeric) != 2:
        return None
    points = np.stack([column.numpy() for column in featurizer.cut(tf.constant(list(rows)))], 1)
    x, y, grid = _grid(points)
    features = featurizer.features([tf.constant(grid[:, 0]), tf.constant(grid[:, 1])])
    first, second = (str(column["name"]) for column in featurizer.columns)
    return View(points, (first, second), Field(x, y, _scores(network.model, features)))


def hidden(network: "Network", rows: Sequence[bytes]) -> View | None:
    """View examples by the last hidden layer: its two units, or the first two principal components of more.

    Returns:
        None for a network without hidden layers.
    """
    from sklearn.decomposition import PCA

    if not network.embed.trainable_variables:
        return None
    vectors = network.embed(network.featurizer(tf.constant(list(rows))), training=False).numpy()
    units = vectors.shape[1]
    if units > 2 and len(vectors) > 2:
        points = PCA(2, svd_solver="full").fit_transform(vectors)
        return View(points, ("first component", "second component"))
    points = np.pad(vectors[:, :2], ((0, 0), (0, max(0, 2 - units))))
    if units != 2:
        return View(points, ("hidden unit 1", ""))
    x, y, grid = _grid(points)
    field = Field(x, y, _scores(network.model.layers[-1], tf.constant(grid)))
    return View(points, ("hidden unit 1", "hidden unit 2"), field)


def _grid(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    room = np.maximum(high - low, 1e-3) * MARGIN
    x, y = (np.linspace(low[i] - room[i], high[i] + room[i], GRID) for i in (0, 1))
    across, up = np.meshgrid(x, y)
    return x, y, np.stack([across.ravel(), up.ravel()], 1).astype(np.float32)


def _scores(model: keras.Model, features: Any) -> np.ndarray:
    scores = tf.nn.softmax(model(features, training=False)).numpy()
    return scores.reshape(GRID, GRID, -1)
