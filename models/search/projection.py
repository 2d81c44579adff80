"""Vectors learnt from labels: a linear projection in which photos of one class lie together."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: Share of the learnt directions in a cosine; the others tell photos of one class apart.
_SHARE = 2 / 3
#: Principal directions kept beside them, at most.
_PRINCIPAL = 64


@keras.saving.register_keras_serializable("servable")
class Projection(keras.Layer):
    """From vectors [batch, dimensions] to vectors [batch, width] whose cosines respect labels.

    The first part is Fisher's linear discriminant analysis with the covariance of Ledoit and Wolf (2004), the
    second the first principal components; each has a fixed share of the length, so that photos of one class
    are still ranked by what they look like.

    Args:
        dimensions: of a vector.
        classes: number of labels, at least two.
    """

    def __init__(self, dimensions: int, classes: int, **options: Any) -> None:
        super().__init__(**({"trainable": False, "dtype": "float32", "name": "projection"} | options))
        self.dimensions, self.classes = dimensions, classes
        self.discriminants = min(classes - 1, dimensions)
        self.principal = min(_PRINCIPAL, dimensions)
        self.centre = self.add_weight(shape=(dimensions,), initializer="zeros", name="centre")
        self.directions = self.add_weight(
            shape=(dimensions, self.width), initializer="zeros", name="directions"
        )
        self.built = True

    @property
    def width(self) -> int:
        """Length of a projected vector."""
        return self.discriminants + self.principal

    def fit(self, vectors: np.ndarray, labels: np.ndarray) -> None:
        """Learn the projection from labelled vectors [n, dimensions].

        Classes of one example have no say in the discriminants. Directions that the examples do not determine
        stay zero.
        """
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        data = np.asarray(vectors, np.float64)
        directions, centre = np.zeros(self.directions.shape), data.mean(0)
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if (counts > 1).sum() > 1:
            several = counts[classes] > 1
            analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
            analysis.fit(data[several], classes[several])
            learnt = analysis.scalings_[:, : min(self.discriminants, len(analysis.classes_) - 1)]
            directions[:, : learnt.shape[1]] = learnt
        components = np.linalg.svd(data - centre, full_matrices=False)[2][: self.principal]
        directions[:, self.discriminants : self.discriminants + len(components)] = components.T
        self.centre.assign(centre)
        self.directions.assign(directions)

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors [n, dimensions] as the layer projects them, float32 [n, width]."""
        parts = np.split(np.asarray(vectors, np.float32), range(1024, len(vectors), 1024))
        return np.concatenate([np.asarray(self(tf.constant(part))) for part in parts])

    def call(self, vectors: Any) -> Any:
        """Project; each part has the length that its share gives it."""
        projected = tf.linalg.matmul(vectors - self.centre, self.directions)
        first, second = projected[:, : self.discriminants], projected[:, self.discriminants :]
        return tf.concat(
            [
                _SHARE**0.5 * tf.math.l2_normalize(first, 1),
                (1 - _SHARE) ** 0.5 * tf.math.l2_normalize(second, 1),
            ],
            1,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, width]."""
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"dimensions": self.dimensions, "classes": self.classes}
