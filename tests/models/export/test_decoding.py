"""Decoded points and boxes, against NumPy: the score of a point, and non-maximum suppression."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask

from models.export import decoding
from models.export.decoding import Thresholds
from models.networks.images.detector import BOX, CLASSES
from tests.models.objects import places

NAMES = ("cat", "dog", "größe")
BATCH = 6
USUAL = Thresholds()


@pytest.fixture(scope="module")
def outputs() -> np.ndarray:
    return places(np.random.default_rng(0), BATCH, len(NAMES))


def suppressed(answers: np.ndarray, score: float, overlap: float, most: int) -> np.ndarray:
    """Suppress greedily, class by class; give corners, class and score, the best first."""
    scores = 1 / (1 + np.exp(-answers[:, CLASSES:].astype(np.float64)))
    corners = answers[:, BOX].astype(np.float64)
    sized = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    overlaps = mask.iou(sized, sized, [0] * len(sized))
    kept = []
    for place in range(scores.shape[1]):
        mine: list[int] = []
        for box in np.argsort(-scores[:, place], kind="stable"):
            if scores[box, place] > score and all(overlaps[box, other] <= overlap for other in mine):
                mine.append(int(box))
        kept += [(*corners[box], place, scores[box, place]) for box in mine]
    return np.array(sorted(kept, key=lambda row: -row[5])[:most]).reshape(-1, 6)


def compare(found: dict[str, np.ndarray], expected: list[np.ndarray], most: int) -> None:
    assert found["boxes"].shape == (len(expected), most, 4)
    assert found["count"].tolist() == [len(rows) for rows in expected]
    for image, rows in enumerate(expected):
        count = len(rows)
        np.testing.assert_allclose(found["boxes"][image, :count], rows[:, :4], atol=1e-6)
        assert found["classes"][image, :count].tolist() == rows[:, 4].astype(int).tolist()
        np.testing.assert_allclose(found["scores"][image, :count], rows[:, 5], atol=1e-6)
        labels = [NAMES[int(place)].encode() for place in rows[:, 4]]
        assert found["labels"][image].tolist() == labels + [b""] * (most - count)
        assert (found["boxes"][image, count:] == 0).all()
        assert (found["scores"][image, count:] == 0).all()


def decoded(outputs: np.ndarray, thresholds: Thresholds = USUAL, **given) -> dict[str, np.ndarray]:
    given = {name: tf.constant(value, tf.float32) for name, value in given.items()}
    found = decoding.boxes(tf.constant(outputs), NAMES, thresholds, **given)
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize(
    ("score", "overlap", "most"), [(0.05, 0.6, 100), (0.3, 0.2, 300), (0.0, 1.0, 7), (0.97, 0.5, 20)]
)
def test_boxes_are_those_of_greedy_suppression(
    outputs: np.ndarray, score: float, overlap: float, most: int
) -> None:
    found = decoded(outputs, Thresholds(score, overlap, most))
    expected = [suppressed(answers, score, overlap, most) for answers in outputs]
    compare(found, expected, most)
    assert max(map(len, expected)) > 0
    assert (found["classes"].dtype, found["count"].dtype) == (np.int32, np.int32)


def test_each_example_has_thresholds_of_its_own(outputs: np.ndarray) -> None:
    nan = float("nan")
    scores, overlaps = [nan, 0.5, 0.5, nan, 1.0, 0.0], [nan, nan, 0.1, 0.9, nan, 0.0]
    found = decoded(outputs, Thresholds(0.2, 0.4, 50), scores=scores, overlaps=overlaps)
    usual = [(0.2 if s != s else s, 0.4 if o != o else o) for s, o in zip(scores, overlaps, strict=True)]
    compare(found, [suppressed(one, *pair, 50) for one, pair in zip(outputs, usual, strict=True)], 50)
    assert found["count"][4] == 0
    alone = decoded(outputs, Thresholds(0.2, 0.4, 50), scores=[nan] * BATCH)
    for name, value in decoded(outputs, Thresholds(0.2, 0.4, 50)).items():
        np.testing.assert_array_equal(alone[name], value)


def test_a_batch_answers_as_its_images_alone(outputs: np.ndarray) -> None:
    together = decoded(outputs)
    for image in range(BATCH):
        for name, value in decoded(outputs[image : image + 1]).items():
            np.testing.assert_array_equal(value[0], together[name][image])


def test_an_empty_batch_has_no_answer(outputs: np.ndarray) -> None:
    found = decoded(outputs[:0])
    assert found["boxes"].shape == (0, 100, 4)
    assert found["count"].shape == (0,)


def test_boxes_are_cut_off_at_the_edges_of_their_image() -> None:
    boxes = np.array([[[-3, 2, 12, 90], [1, 2, 3, 4], [5, 6, 7, 8]], [[-1, -1, 80, 80]] * 3], np.float32)
    found = decoding.within(
        {"boxes": tf.constant(boxes), "count": tf.constant([2, 0]), "scores": tf.constant([1.0])},
        tf.constant([[10, 50], [20, 30]]),
    )
    expected = [[[0, 2, 10, 50], [1, 2, 3, 4], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 3]
    np.testing.assert_array_equal(found["boxes"], expected)
    assert found["scores"].numpy().tolist() == [1]


def test_the_score_of_a_point_is_the_chance_that_it_is_near() -> None:
    """Of errors drawn from an exponential distribution with the doubt's mean, so many are below 5 %."""
    random = np.random.default_rng(1)
    outputs = random.normal(0, 1, (2, 3, 5)).astype(np.float32)
    outputs[..., 4] = np.log([[0.01, 0.05, 0.2], [0.02, 0.1, 1.0]])
    found = decoding.points(tf.constant(outputs), NAMES)
    np.testing.assert_array_equal(found["points"], outputs[..., :2])
    errors = random.exponential(np.exp(outputs[..., 4]), (20_000, 2, 3))
    np.testing.assert_allclose(found["scores"], (errors < 0.05).mean(axis=0), atol=0.02)
    assert found["names"].numpy().tolist() == [[name.encode() for name in NAMES]] * 2
