"""Nearest vectors by cosine, in the graph: all compared, or those of the nearest cells alone."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.search import ranking

#: Vectors that the cells are learnt from, for each cell; more of them change little (faiss takes 256).
_SAMPLE = 256


def cell_count(items: int) -> int:
    """Return the number of cells of an approximate index: about the square root of the items."""
    return max(1, round(math.sqrt(items)))


@keras.saving.register_keras_serializable("servable")
class VectorIndex(keras.Layer):
    """A table of vectors of length 1, and the vectors of it that lie nearest to given ones.

    With cells it is an inverted file (Sivic and Zisserman 2003; IVF-Flat of Johnson, Douze and Jégou 2017):
    k-means parts the vectors into cells, and a query is compared with those of its nearest cells alone.

    Args:
        items: how many vectors it holds.
        dimensions: of a vector.
        cells: into which the vectors are parted; 0 compares a query with all of them.
        probes: nearest cells that are looked into, or more where these hold too few vectors.
    """

    def __init__(self, items: int, dimensions: int, cells: int = 0, probes: int = 16, **options: Any) -> None:
        super().__init__(**({"trainable": False, "dtype": "float32", "name": "index"} | options))
        self.items, self.dimensions, self.cells, self.probes = items, dimensions, cells, probes
        # With cells the rows lie cell by cell: each cell is one piece of the table.
        self.vectors = self.add_weight(shape=(items, dimensions), initializer="zeros", name="vectors")
        if cells:
            self.centres = self.add_weight(shape=(cells, dimensions), initializer="zeros", name="centres")
            self.starts = self._integers(cells + 1, "starts")
            self.order = self._integers(items, "order")
        self.built = True

    def _integers(self, size: int, name: str) -> Any:
        return self.add_weight(shape=(size,), initializer="zeros", dtype="int32", name=name)

    def fill(self, vectors: np.ndarray, seed: int = 0) -> None:
        """Take vectors over, float32 [items, dimensions], of any length; cells are learnt from them."""
        unit = unit_rows(vectors)
        if not self.cells:
            self.vectors.assign(unit)
            return
        centres, cell = _parted(unit, self.cells, seed)
        order = np.argsort(cell, kind="stable")
        self.centres.assign(centres)
        self.starts.assign(np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=self.cells))]))
        self.order.assign(order)
        self.vectors.assign(unit[order])

    def call(self, queries: Any) -> Any:
        """Compare vectors [batch, dimensions] with all rows as they lie: cosines [batch, items]."""
        table = tf.convert_to_tensor(self.vectors)
        return tf.matmul(tf.math.l2_normalize(queries, 1), table, transpose_b=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, items]."""
        return (input_shape[0], self.items)

    def nearest(self, queries: Any, wide: Any) -> tuple[Any, Any]:
        """Find the nearest items of each query, the nearest first, the earlier item where two tie.

        Args:
            queries: float32 [batch, dimensions], of any length.
            wide: how many, int32 [], at most ``items``.

        Returns:
            Cosines float32 and items int32, both [batch, wide].
        """
        work = self._probed if self.cells else self._exact
        return ranking.by_chunks(lambda chunk: work(chunk, wide), queries)

    def _exact(self, queries: Any, wide: Any) -> tuple[Any, Any]:
        best = tf.math.top_k(self(queries), wide)
        return best.values, best.indices

    def _probed(self, queries: Any, wide: Any) -> tuple[Any, Any]:
        kinds = (tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32))
        return tf.map_fn(
            lambda query: self._one(query, wide),
            tf.math.l2_normalize(queries, 1),
            fn_output_signature=kinds,
            parallel_iterations=1,
        )

    def _one(self, query: Any, wide: Any) -> tuple[Any, Any]:
        centres, starts = tf.convert_to_tensor(self.centres), tf.convert_to_tensor(self.starts)
        cells = tf.argsort(tf.linalg.matvec(centres, query), direction="DESCENDING", stable=True)
        begins, ends = tf.gather(starts, cells), tf.gather(starts, cells + 1)
        enough = 1 + tf.reduce_sum(tf.cast(tf.cumsum(ends - begins) < wide, tf.int32))
        looked = tf.minimum(tf.maximum(self.probes, enough), self.cells)
        rows = tf.ragged.range(begins[:looked], ends[:looked]).flat_values
        table, order = tf.convert_to_tensor(self.vectors), tf.convert_to_tensor(self.order)
        best = tf.math.top_k(tf.linalg.matvec(tf.gather(table, rows), query), wide)
        return best.values, tf.gather(order, tf.gather(rows, best.indices))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        own = ("items", "dimensions", "cells", "probes")
        return super().get_config() | {name: getattr(self, name) for name in own}


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Bring vectors [n, d] to length 1, float32; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _parted(unit: np.ndarray, cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Learn cells from a sample; give their centres [cells, d], and the cell of each vector [n]."""
    from sklearn.cluster import MiniBatchKMeans

    rows = np.random.default_rng(seed).permutation(len(unit))[: _SAMPLE * cells]
    batch = min(len(rows), 4096)
    method = MiniBatchKMeans(cells, batch_size=batch, n_init=1, max_iter=20, random_state=seed)
    centres = unit_rows(method.fit(unit[np.sort(rows)]).cluster_centers_)
    parts = [np.argmax(unit[start : start + 4096] @ centres.T, 1) for start in range(0, len(unit), 4096)]
    return centres, np.concatenate(parts)
