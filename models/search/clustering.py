"""Group vectors by k-means, and measure how well groups agree with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import ConfigError, DataError

#: More vectors than this are clustered by mini-batches.
_WHOLE = 20_000
#: Vectors that a silhouette is taken over, at most: its time grows with their square.
_SILHOUETTE = 2_000


@dataclass(frozen=True)
class Clustering:
    """Clusters of n vectors.

    Attributes:
        centres: float32 [k, d].
        members: the cluster of each vector, int [n]; cluster 0 is the largest.
    """

    centres: np.ndarray
    members: np.ndarray


def cluster(vectors: np.ndarray, k: int, seed: int = 0) -> Clustering:
    """Part vectors [n, d] into k clusters by k-means, the best of ten starts by k-means++ (scikit-learn).

    Raises:
        ConfigError: there are fewer different vectors than clusters.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    distinct = different(vectors)
    if k > distinct:
        raise ConfigError(
            "more clusters than distinct examples",
            got=f"model.k {k}",
            expected=f"at most {distinct}",
            todo="lower model.k, or add examples",
        )
    kind: Any = KMeans if len(vectors) <= _WHOLE else MiniBatchKMeans
    fitted = kind(k, n_init=10, random_state=seed).fit(np.ascontiguousarray(vectors, np.float32))
    order = np.argsort(-np.bincount(fitted.labels_, minlength=k), kind="stable")
    return Clustering(fitted.cluster_centers_[order].astype(np.float32), np.argsort(order)[fitted.labels_])


def different(vectors: np.ndarray) -> int:
    """Count the different ones of vectors [n, d]; of very many all are taken for different."""
    return len(np.unique(vectors, axis=0)) if len(vectors) <= _WHOLE else len(vectors)


def silhouette(vectors: np.ndarray, members: np.ndarray, seed: int = 0) -> float | None:
    """Return the mean silhouette (Rousseeuw 1987), -1 to 1, over at most 2,000 vectors; None if undefined."""
    from sklearn.metrics import silhouette_score

    chosen = np.random.default_rng(seed).permutation(len(vectors))[:_SILHOUETTE]
    count = len(np.unique(members[chosen]))
    if not 1 < count < len(chosen):
        return None
    return float(silhouette_score(vectors[chosen], members[chosen]))


def choose(vectors: np.ndarray, most: int, seed: int = 0) -> tuple[int, dict[int, float]]:
    """Choose the number of clusters with the highest silhouette, from 2 to most.

    Returns:
        The number, and the silhouette of each.

    Raises:
        DataError: fewer than three different vectors: there is nothing to choose.
    """
    count = different(vectors)
    if count < 3:
        raise DataError(
            "too few different examples to choose a number of clusters",
            got=count,
            expected="at least 3",
            todo="add examples, or give the number with --set model.k=1",
        )
    silhouettes = {}
    for k in range(2, min(most, count - 1) + 1):
        value = silhouette(vectors, cluster(vectors, k, seed).members, seed)
        if value is not None:
            silhouettes[k] = value
    return max(silhouettes, key=lambda k: (silhouettes[k], -k)), silhouettes


def agreement(labels: Sequence[Any] | np.ndarray, members: np.ndarray) -> dict[str, float]:
    """Measure how well clusters agree with labels [n].

    Returns:
        ``ari``, the adjusted Rand index (Hubert and Arabie 1985), 0 for chance and 1 for the same grouping;
        ``nmi``, normalised mutual information, and ``purity``, the share of examples whose label is the most
        frequent one of their cluster, both 0 to 1.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, members)
    return {
        "ari": float(adjusted_rand_score(labels, members)),
        "nmi": float(normalized_mutual_info_score(labels, members)),
        "purity": float(table.max(0).sum() / table.sum()),
    }
