"""How good a search is: precision by labels, recall against exact search, and near duplicates."""

import numpy as np
import pandas as pd

from models.search.vector_index import unit_rows

#: Queries compared with everything at a time.
_CHUNK = 256
#: Cosines that differ by rounding alone.
_SAME = 1e-5


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Search exactly: the k nearest of vectors [n, d] by cosine, the earlier one where two tie.

    Returns:
        Cosines float32 and rows int64, both [queries, k], or as many columns as there are vectors.
    """
    table, unit_queries = unit_rows(vectors), unit_rows(queries)
    cosines, rows = [], []
    for start in range(0, len(unit_queries), _CHUNK):
        similarity = unit_queries[start : start + _CHUNK] @ table.T
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        rows.append(best)
        cosines.append(np.take_along_axis(similarity, best, 1))
    return np.concatenate(cosines), np.concatenate(rows)


def precision(
    labels: np.ndarray, vectors: np.ndarray, asked: np.ndarray, queries: np.ndarray, k: int = 10
) -> pd.Series:
    """Return the mean share of a query's k nearest that have its label, by label.

    Args:
        labels: of the vectors [n].
        vectors: that are searched, [n, d].
        asked: labels of the queries [m].
        queries: [m, d].
        k: neighbours counted.

    Returns:
        Shares by label. ``attrs["all"]`` is the mean over all queries, ``attrs["each"]`` their shares [m].
    """
    _, rows = nearest(vectors, queries, k)
    shares = pd.Series((labels[rows] == asked[:, np.newaxis]).mean(axis=1))
    by_label = shares.groupby(asked).mean()
    by_label.attrs |= {"all": float(shares.mean()), "each": shares.to_numpy()}
    return by_label


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of found neighbours that are as near as the farthest of the exactly nearest.

    Args:
        found: cosines of what was found [queries, k].
        exact: of what exact search finds [queries, k]. Copies are as good as each other, as in ann-benchmarks
            (Aumüller, Bernhardsson and Faithfull 2020).
    """
    return float((found >= exact[:, -1:] - _SAME).mean())


def near_duplicates(vectors: np.ndarray, least: float, most: int = 1000) -> tuple[int, pd.DataFrame]:
    """Find the pairs of vectors [n, d] whose cosine is at least so high.

    Returns:
        How many there are; and the most alike of them, at most so many: columns ``first`` and ``second``,
        rows of the vectors, first before second, and ``cosine``.
    """
    unit, total = unit_rows(vectors), 0
    pairs = pd.DataFrame({"first": [], "second": [], "cosine": []})
    for start in range(0, len(unit), _CHUNK):
        cosines = unit[start : start + _CHUNK] @ unit[start:].T
        first, second = np.nonzero(np.triu(cosines >= least, 1))
        total += len(first)
        candidates = {"first": first + start, "second": second + start, "cosine": cosines[first, second]}
        parts = [part for part in (pairs, pd.DataFrame(candidates)) if len(part)]
        if parts:
            order = ["cosine", "first", "second"]
            pairs = pd.concat(parts).sort_values(order, ascending=[False, True, True]).head(most)
    return total, pairs.reset_index(drop=True)
