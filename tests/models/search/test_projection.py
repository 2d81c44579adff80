"""A projection learnt from labels, against scikit-learn and by what it is for."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from models.evaluation.measures import retrieval
from models.search.projection import Projection
from models.search.vector_index import unit_rows

RANDOM = np.random.default_rng(7)
CLASSES, WIDTH = 4, 24
CENTRES = RANDOM.normal(size=(CLASSES, WIDTH))
# What says nothing of the class varies most.
NOISE = np.concatenate([np.full(WIDTH // 2, 4.0), np.full(WIDTH // 2, 0.7)])


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = RANDOM.integers(0, CLASSES, count)
    return (CENTRES[labels] + RANDOM.normal(size=(count, WIDTH)) * NOISE).astype(np.float32), labels


@pytest.fixture(scope="module")
def fitted() -> tuple[Projection, np.ndarray, np.ndarray]:
    vectors, labels = drawn(400)
    layer = Projection(WIDTH, CLASSES)
    layer.fit(vectors, labels)
    return layer, vectors, labels


def test_the_first_part_is_scikit_learns_analysis(fitted) -> None:
    layer, vectors, labels = fitted
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(vectors, labels)
    wanted = unit_rows((vectors - vectors.mean(0)) @ analysis.scalings_[:, : CLASSES - 1])
    np.testing.assert_allclose(unit_rows(layer.project(vectors)[:, : CLASSES - 1]), wanted, atol=1e-4)


def test_the_second_part_has_the_first_principal_components(fitted) -> None:
    layer, vectors, _ = fitted
    rest = layer.project(vectors)[:, CLASSES - 1 :]
    assert rest.shape[1] == WIDTH  # all of them: there are fewer than 64
    # All components together are a rotation: they keep every cosine.
    wanted = unit_rows(vectors - vectors.mean(0))
    np.testing.assert_allclose(unit_rows(rest) @ unit_rows(rest).T, wanted @ wanted.T, atol=1e-4)


def test_every_projected_vector_has_length_one(fitted) -> None:
    layer, vectors, _ = fitted
    np.testing.assert_allclose(np.linalg.norm(layer.project(vectors), axis=1), 1, atol=1e-5)


def test_more_neighbours_of_unseen_vectors_have_the_right_class(fitted) -> None:
    layer, vectors, labels = fitted
    unseen, asked = drawn(200)
    before = retrieval.precision(labels, vectors, asked, unseen).attrs["all"]
    after = retrieval.precision(labels, layer.project(vectors), asked, layer.project(unseen)).attrs["all"]
    assert after > before + 0.1


def test_it_is_made_again_from_its_configuration_and_weights(fitted) -> None:
    layer, vectors, _ = fitted
    again = Projection.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again.project(vectors), layer.project(vectors))


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_examples_leave_what_they_do_not_determine_out(count: int) -> None:
    vectors, _ = drawn(count)
    layer = Projection(WIDTH, CLASSES)
    layer.fit(vectors, np.arange(count) % 2)
    assert np.isfinite(layer.project(vectors)).all()
    other, _ = drawn(5)
    assert layer.project(other).shape == (5, layer.width)
