"""Nearest vectors, exact and by inverted lists, against NumPy; measures against hand-worked values."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn import metrics

from features.errors import ConfigError, DataError
from models.evaluation.measures import retrieval
from models.search import clustering, ranking
from models.search.clusters import Clusters
from models.search.vector_index import VectorIndex, cell_count, unit_rows

RANDOM = np.random.default_rng(4)


def oracle(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines in double precision, all of them sorted; the earlier item where two tie."""
    table, asked = (np.asarray(one, np.float64) for one in (vectors, queries))
    norms = np.linalg.norm(table, axis=1) * np.linalg.norm(asked, axis=1)[:, None]
    cosines = np.divide(asked @ table.T, norms, out=np.zeros(norms.shape), where=norms > 0)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, best, 1), best


def test_exact_search_is_numpys() -> None:
    vectors = RANDOM.normal(size=(500, 16)).astype(np.float32) * RANDOM.uniform(0.1, 9, (500, 1))
    queries = RANDOM.normal(size=(70, 16)).astype(np.float32)
    index = VectorIndex(500, 16)
    index.fill(vectors)
    cosines, rows = index.nearest(tf.constant(queries), 25)
    wanted, order = oracle(vectors, queries, 25)
    np.testing.assert_array_equal(rows.numpy(), order)
    np.testing.assert_allclose(cosines.numpy(), wanted, atol=1e-6)
    again = retrieval.nearest(vectors, queries, 25)
    np.testing.assert_array_equal(again[1], order)


def test_of_vectors_that_tie_the_earlier_stands_first_and_zeros_match_nothing() -> None:
    index = VectorIndex(4, 2)
    index.fill(np.array([[0, 1], [2, 0], [0, 0], [5, 0]], np.float32))
    cosines, rows = index.nearest(tf.constant([[1.0, 0.0]]), 4)
    assert rows.numpy().tolist() == [[1, 3, 0, 2]]
    assert cosines.numpy().tolist() == [[1, 1, 0, 0]]


@pytest.fixture(scope="module")
def parted() -> tuple[VectorIndex, np.ndarray]:
    """Vectors in 40 clumps, which is what photos are like, and their index of inverted lists."""
    middles = RANDOM.normal(size=(40, 24))
    vectors = (np.repeat(middles, 50, 0) + 0.4 * RANDOM.normal(size=(2000, 24))).astype(np.float32)
    index = VectorIndex(2000, 24, cell_count(2000), probes=8)
    index.fill(vectors)
    return index, vectors


def test_inverted_lists_find_nearly_all_and_what_they_find_is_right(parted: tuple) -> None:
    index, vectors = parted
    assert index.cells == 45
    queries = vectors[::29] + 0.1
    cosines, rows = (one.numpy() for one in tf.function(index.nearest)(tf.constant(queries), 10))
    wanted, _ = oracle(vectors, queries, 10)
    assert retrieval.recall(cosines, wanted) > 0.95
    given = np.einsum("qkd,qd->qk", unit_rows(vectors)[rows], unit_rows(queries))
    np.testing.assert_allclose(cosines, given, atol=1e-6)
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in rows.tolist())


def test_inverted_lists_all_looked_into_are_exact(parted: tuple) -> None:
    index, vectors = parted
    every = VectorIndex(2000, 24, index.cells, probes=index.cells)
    every.set_weights(index.get_weights())
    cosines, _ = tf.function(every.nearest)(tf.constant(vectors[:40]), 10)
    np.testing.assert_allclose(cosines.numpy(), oracle(vectors, vectors[:40], 10)[0], atol=1e-6)


def test_more_lists_are_looked_into_where_few_hold_too_little(parted: tuple) -> None:
    index, vectors = parted
    few = VectorIndex(2000, 24, index.cells, probes=1)
    few.set_weights(index.get_weights())
    cosines, rows = few.nearest(tf.constant(vectors[:3]), 1000)
    assert cosines.shape == (3, 1000)
    assert all(len(set(row)) == 1000 for row in rows.numpy().tolist())


def test_recall_and_precision_are_what_they_say() -> None:
    assert retrieval.recall(np.array([[0.9, 0.7], [0.5, 0.1]]), np.array([[0.9, 0.8], [0.5, 0.5]])) == 0.5
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    labels = np.array(["a", "b", "c", "c"], object)
    found = retrieval.precision(labels, vectors, np.array(["a", "c", "c"], object), vectors[[0, 2, 1]], 2)
    assert found.to_dict() == {"a": 0.5, "c": 0.5}
    assert found.attrs["all"] == pytest.approx(0.5)


def test_near_duplicates_are_all_pairs_above_the_cosine() -> None:
    vectors = RANDOM.normal(size=(600, 5)).astype(np.float32)
    vectors[599] = vectors[3] * 2
    total, pairs = retrieval.near_duplicates(vectors, 0.98, most=50)
    unit = unit_rows(vectors)
    first, second = np.nonzero(np.triu(unit @ unit.T >= 0.98, 1))
    assert total == len(first) > 50
    assert len(pairs) == 50
    assert pairs["cosine"].is_monotonic_decreasing
    assert (3, 599) in set(zip(pairs["first"].astype(int), pairs["second"].astype(int), strict=True))
    assert {(a, b) for a, b in pairs[["first", "second"]].astype(int).to_numpy().tolist()} <= set(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    total, pairs = retrieval.near_duplicates(np.eye(4, dtype=np.float32), 0.5)
    assert (total, len(pairs)) == (0, 0)


def test_answers_that_nearly_tie_are_left_open() -> None:
    answers = {
        "scores": np.array([[0.9, 0.8, 0.8000001, 0.5]]),
        "paths": np.array([[b"a", b"b", b"c", b"d"]], object),
        "cluster": np.array([1]),
    }
    found = ranking.settled(answers, 1e-5)
    assert found["paths"].tolist() == [[b"a", None, None, None]]
    assert answers["paths"].tolist() == [[b"a", b"b", b"c", b"d"]]
    assert found["cluster"] is answers["cluster"]


def test_planted_clusters_are_found_and_their_number_too() -> None:
    middles = np.eye(3, 6, dtype=np.float32) * 5
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    vectors = middles[truth] + 0.3 * RANDOM.normal(size=(60, 6)).astype(np.float32)
    k, tried = clustering.choose(vectors, 6)
    assert (k, set(tried)) == (3, {2, 3, 4, 5, 6})
    found = clustering.cluster(vectors, k)
    assert found.members.tolist() == truth.tolist()  # the largest is cluster 0
    np.testing.assert_allclose(found.centres[1], vectors[truth == 1].mean(0), atol=1e-4)
    whole = metrics.silhouette_score(vectors, truth)
    assert clustering.silhouette(vectors, truth) == pytest.approx(whole, abs=1e-6)


def test_agreement_is_what_the_papers_define() -> None:
    """Hand-worked: contingency [[4, 1], [1, 2]] of 8; expected index 13 * 13 / 28, maximum 13."""
    labels = [0] * 5 + [1] * 3
    members = np.array([0, 0, 0, 0, 1, 0, 1, 1])
    found = clustering.agreement(labels, members)
    assert found["purity"] == 6 / 8
    assert found["ari"] == pytest.approx((7 - 169 / 28) / (13 - 169 / 28))
    table = pd.crosstab(np.array(labels), members).to_numpy() / 8
    ends = table.sum(0), table.sum(1)
    mutual = (table * np.log(table / np.outer(ends[1], ends[0]))).sum()
    entropies = [-(end * np.log(end)).sum() for end in ends]
    assert found["nmi"] == pytest.approx(2 * mutual / sum(entropies))
    assert clustering.agreement(labels, 1 - np.array(labels)) == {
        "ari": 1.0,
        "nmi": pytest.approx(1),
        "purity": 1.0,
    }


def test_what_cannot_be_clustered_is_told() -> None:
    same = np.ones((5, 3), np.float32)
    with pytest.raises(ConfigError, match="more clusters"):
        clustering.cluster(same, 2)
    with pytest.raises(DataError, match="too few different"):
        clustering.choose(same, 4)
    assert clustering.silhouette(same, np.zeros(5, int)) is None


def test_the_layer_gives_the_nearest_centre_in_use() -> None:
    layer = Clusters(4, 2)
    layer.fill(np.array([[1, 0], [0, 0.5]], np.float32))
    distance, cluster = layer.nearest(tf.constant([[3.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]))
    assert cluster.numpy().tolist()[:2] == [0, 1]
    np.testing.assert_allclose(distance.numpy()[:2], [0, 0.5], atol=1e-7)
    assert cluster.numpy()[2] in (0, 1)
