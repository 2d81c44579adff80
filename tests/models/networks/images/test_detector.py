"""The detector: overlaps against pycocotools, which places answer for which object, and its loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask

from models.networks.images import detector
from models.networks.images.detector import (
    BOX,
    CLASSES,
    PLACE,
    Placed,
    assigned,
    detection_loss,
    mean_overlap,
)
from tests.models.objects import places, random_boxes, random_objects

COUNT = 3


def sized(boxes: np.ndarray) -> np.ndarray:
    """Turn corners into a corner with width and height, as pycocotools has them."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)


def test_overlaps_are_pycocotools() -> None:
    first, second = (random_boxes(np.random.default_rng(seed), 40) for seed in (0, 1))
    found = detector.overlaps(first[:, None].astype(np.float32), second[None].astype(np.float32)).numpy()
    expected = mask.iou(sized(first), sized(second), [0] * len(second))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (expected > 0).sum() > 50


def test_generalised_overlaps_by_their_definition() -> None:
    first, second = (random_boxes(np.random.default_rng(seed), 200) for seed in (2, 3))
    found = detector.overlaps(first.astype(np.float32), second.astype(np.float32), generalised=True).numpy()
    overlap = np.diag(mask.iou(sized(first), sized(second), [0] * len(second)))
    hull = np.concatenate([np.minimum(first, second)[:, :2], np.maximum(first, second)[:, 2:]], axis=1)
    areas = [sized(boxes)[:, 2:].prod(axis=1) for boxes in (first, second, hull)]
    union = (areas[0] + areas[1]) / (1 + overlap)
    np.testing.assert_allclose(found, overlap - (areas[2] - union) / areas[2], atol=1e-5)
    assert found.min() < 0 < found.max()


# -- which place answers --------------------------------------------------------------------------


def usable(outputs: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return which places may answer for an object: those inside it, and the one nearest to its middle."""
    place = outputs[:, PLACE]
    inside = ((place > box[:2]) & (place < box[2:4])).all(axis=1)
    apart = np.square(place - (box[:2] + box[2:4]) / 2).sum(axis=1)
    return inside | (apart <= apart.min())


def test_places_answer_for_objects_around_them() -> None:
    """Padding has no place; an object has the one next to its middle, unless another's middle is as near."""
    random = np.random.default_rng(4)
    targets, outputs = random_objects(random, 24, COUNT), places(random, 24, COUNT)
    owner, score = (one.numpy() for one in assigned(tf.constant(targets), tf.constant(outputs)))
    assert ((score >= 0) & (score <= 1 + 1e-6)).all()
    for image, rows in enumerate(targets):
        there, answering = rows[:, 4] >= 0, score[image] > 0
        counts = np.bincount(owner[image][answering], minlength=len(rows))
        assert (counts[~there] == 0).all()
        assert (counts <= 11).all()
        middles = (rows[there, :2] + rows[there, 2:4]) / 2
        apart = np.linalg.norm(outputs[image, :, np.newaxis, PLACE] - middles, axis=2)
        nearest = apart.argmin(axis=0)
        for number, place in enumerate(np.flatnonzero(there)):
            may = usable(outputs[image], rows[place])
            assert not (answering & (owner[image] == place) & ~may).any()
            if np.count_nonzero(nearest == nearest[number]) == 1:
                assert owner[image, nearest[number]] == place


def test_objects_apart_have_places_however_small_they_are() -> None:
    random = np.random.default_rng(5)
    targets, outputs = np.full((16, 4, 5), -1, np.float32), places(random, 16, COUNT)
    for image in range(16):
        for place, corner in enumerate(((0.0, 0.0), (0.5, 0.0), (0.0, 0.5))):
            box = random_boxes(random, 1, low=0.01, high=0.9)[0] * 0.45 + 0.02 + np.tile(corner, 2)
            targets[image, place] = [*box, random.integers(COUNT)]
    owner, score = (one.numpy() for one in assigned(tf.constant(targets), tf.constant(outputs)))
    for image in range(16):
        assert set(owner[image][score[image] > 0]) == {0, 1, 2}


def test_the_best_place_should_give_its_overlap() -> None:
    random = np.random.default_rng(5)
    targets = random_objects(random, 8, COUNT, most=1)
    outputs = places(random, 8, COUNT)
    owner, score = (one.numpy() for one in assigned(tf.constant(targets), tf.constant(outputs)))
    for image in np.flatnonzero((targets[..., 4] >= 0).any(axis=1)):
        (place,) = np.flatnonzero(targets[image, :, 4] >= 0)
        mine = (score[image] > 0) & (owner[image] == place)
        overlap = mask.iou(
            sized(outputs[image, mine, BOX]), sized(targets[image, place : place + 1, :4]), [0]
        )
        assert score[image].max() == pytest.approx(overlap.max(), abs=1e-4)


# -- loss -----------------------------------------------------------------------------------------


def perfect(targets: np.ndarray) -> np.ndarray:
    """Answer each object at the places nearest to its middle, surely, and nothing elsewhere."""
    outputs = places(np.random.default_rng(0), len(targets), COUNT)
    outputs[..., CLASSES:] = -20
    for image, rows in enumerate(targets):
        for row in rows[rows[:, 4] >= 0]:
            mine = usable(outputs[image], row)
            outputs[image, mine, BOX] = row[:4]
            outputs[image, mine, CLASSES + int(row[4])] = 20
    return outputs


def test_the_loss_of_perfect_answers_is_near_zero() -> None:
    targets = random_objects(np.random.default_rng(6), 12, COUNT, most=1)
    loss = detection_loss(2.0)
    good = loss(tf.constant(targets), tf.constant(perfect(targets))).numpy()
    assert (good < 1e-3).all()
    random = loss(tf.constant(targets), tf.constant(places(np.random.default_rng(7), 12, COUNT))).numpy()
    assert (random > 1).all()
    np.testing.assert_allclose(
        mean_overlap(tf.constant(targets), tf.constant(perfect(targets))), 1, atol=1e-4
    )


def test_images_without_objects_have_a_loss_and_a_gradient() -> None:
    targets = np.full((4, 3, 5), -1, np.float32)
    variable = tf.Variable(places(np.random.default_rng(8), 4, COUNT))
    with tf.GradientTape() as tape:
        loss = detection_loss(2.0)(tf.constant(targets), variable)
    gradient = tape.gradient(loss, variable).numpy()
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
    assert (gradient[..., BOX] == 0).all()
    # Every class becomes less likely.
    assert (gradient[..., CLASSES:] > 0).all()
    np.testing.assert_array_equal(mean_overlap(tf.constant(targets), variable), np.ones(4))


def test_padding_changes_nothing() -> None:
    targets = random_objects(np.random.default_rng(9), 6, COUNT)
    more = np.concatenate([targets, np.full((6, 5, 5), -1, np.float32)], axis=1)
    outputs = tf.constant(places(np.random.default_rng(10), 6, COUNT))
    for measure in (detection_loss(2.0), mean_overlap):
        np.testing.assert_allclose(
            measure(tf.constant(more), outputs), measure(tf.constant(targets), outputs), rtol=1e-5
        )


# -- layers ---------------------------------------------------------------------------------------


def test_sides_are_counted_from_the_places_in_strides() -> None:
    layer = Placed(8)
    sides = np.random.default_rng(11).normal(0, 1, (2, 3, 4, 4)).astype(np.float32)
    logits = np.random.default_rng(12).normal(0, 1, (2, 3, 4, COUNT)).astype(np.float32)
    found = layer(sides, logits).numpy()
    assert found.shape == (2, 12, CLASSES + COUNT)
    for y in range(3):
        for x in range(4):
            place = np.array([x + 0.5, y + 0.5])
            lengths = np.log1p(np.exp(sides[:, y, x])) + 1e-3
            corners = np.concatenate([place - lengths[:, :2], place + lengths[:, 2:]], axis=1)
            row = found[:, 4 * y + x]
            np.testing.assert_allclose(row[:, BOX] * [4, 3, 4, 3], corners, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(row[:, PLACE] * [4, 3], np.tile(place, (2, 1)), rtol=1e-6)
            np.testing.assert_array_equal(row[:, CLASSES:], logits[:, y, x])


def test_scales_share_their_convolutions_and_join_the_finest_first() -> None:
    inputs = {stride: keras.Input((64 // stride, 48 // stride, 8)) for stride in (16, 8)}
    model = keras.Model(list(inputs.values()), detector.heads(inputs, COUNT, 8, 1))
    assert model.output_shape == (None, 8 * 6 + 4 * 3, CLASSES + COUNT)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 4
    maps = [np.zeros((1, *x.shape[1:]), np.float32) for x in inputs.values()]
    answers = model(maps).numpy()[0]
    np.testing.assert_allclose(answers[0, PLACE], [0.5 / 6, 0.5 / 8], rtol=1e-6)
    np.testing.assert_allclose(answers[48, PLACE], [0.5 / 3, 0.5 / 4], rtol=1e-6)
    # Objects are rare at first.
    np.testing.assert_allclose(1 / (1 + np.exp(-answers[:, CLASSES:])), 0.01, rtol=1e-4)
