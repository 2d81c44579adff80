"""Average precision equal to pycocotools' own summary, and kinds of errors on images made by hand."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.measures.boxes import BOXES, ERRORS, Evaluation, evaluate
from tests.models.objects import random_boxes

NAMES = ("cat", "dog", "cow")
SIDE = 200.0


def random_set(seed: int, images: int = 30) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Make objects, and predictions of which many are near one; some images have no objects."""
    random = np.random.default_rng(seed)
    targets, boxes = [], []
    for image in range(images):
        count = image % 5
        true = random_boxes(random, count) * SIDE
        kinds = random.integers(0, 3, count)
        near = np.repeat(true, 2, axis=0) + random.normal(0, 6, (2 * count, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
        others = random_boxes(random, 3) * SIDE
        said = np.concatenate([np.repeat(kinds, 2), random.integers(0, 3, 3)])
        said = np.where(random.random(len(said)) < 0.15, random.integers(0, 3, len(said)), said)
        scores = np.round(random.random(len(said)), 6)
        targets.append(np.column_stack([true, kinds]))
        boxes.append(np.column_stack([np.concatenate([near, others]), said, scores]))
    return targets, boxes


def summary(targets: list[np.ndarray], boxes: list[np.ndarray]) -> np.ndarray:
    """Return pycocotools' own figures: AP, AP50, AP75 come first."""

    def sized(row: np.ndarray) -> list[float]:
        return [float(row[0]), float(row[1]), float(row[2] - row[0]), float(row[3] - row[1])]

    rows = [
        {
            "image_id": image,
            "category_id": int(row[4]),
            "bbox": sized(row),
            "iscrowd": 0,
            "area": sized(row)[2] * sized(row)[3],
        }
        for image, own in enumerate(targets)
        for row in own
    ]
    found = [
        {"image_id": image, "category_id": int(row[4]), "bbox": sized(row), "score": float(row[5])}
        for image, own in enumerate(boxes)
        for row in own
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(targets))],
            "categories": [{"id": place} for place in range(len(NAMES))],
            "annotations": [row | {"id": number} for number, row in enumerate(rows, start=1)],
        }
        truth.createIndex()
        measured = COCOeval(truth, truth.loadRes(found), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return measured.stats


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_pycocotools_summary(seed: int) -> None:
    targets, boxes = random_set(seed)
    measured = evaluate(targets, boxes, NAMES, resamples=0)
    expected = summary(targets, boxes)
    for name, value in zip(("map", "map50", "map75"), expected[:3], strict=True):
        assert measured.metrics[f"test/{name}"] == pytest.approx(value, abs=1e-9), name
    assert 0 < expected[2] < expected[0] < expected[1] < 1
    assert measured.per_class["ap50"].mean() == pytest.approx(expected[1])
    assert list(measured.per_class["objects"]) == [
        sum(int((rows[:, 4] == place).sum()) for rows in targets) for place in range(3)
    ]
    for name, curve in measured.curves.groupby("class", sort=False):
        ap50 = measured.per_class.set_index("name")["ap50"][name]
        assert curve["precision"].mean() == pytest.approx(ap50)


def test_a_class_without_objects_does_not_count() -> None:
    targets, boxes = random_set(3)
    targets = [rows[rows[:, 4] != 2] for rows in targets]
    measured = evaluate(targets, boxes, NAMES, resamples=0)
    assert measured.metrics["test/map50"] == pytest.approx(summary(targets, boxes)[1])
    assert np.isnan(measured.per_class["ap50"].iloc[2])


def test_the_interval_contains_the_value_and_narrows() -> None:
    few, many = (evaluate(*random_set(4, images), NAMES) for images in (15, 120))
    for measured in (few, many):
        metrics = measured.metrics
        assert metrics["test/map50_low"] < metrics["test/map50"] < metrics["test/map50_high"]
        assert measured.interval.metric == "map50"
    assert many.interval.high - many.interval.low < 0.7 * (few.interval.high - few.interval.low)


def test_resamples_are_those_of_images_drawn_again() -> None:
    """Some images twice, some never: the quantiles are those of pycocotools' summaries of such sets."""
    targets, boxes = random_set(5, 20)
    measured = evaluate(targets, boxes, NAMES, resamples=300)
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(60):
        rows = random.integers(0, 20, 20)
        drawn.append(summary([targets[row] for row in rows], [boxes[row] for row in rows])[1])
    assert np.median(drawn) == pytest.approx(measured.interval.value, abs=0.05)
    width = np.quantile(drawn, 0.975) - np.quantile(drawn, 0.025)
    assert measured.interval.high - measured.interval.low == pytest.approx(width, rel=0.35)


def test_whole_blocks_are_resampled() -> None:
    targets, boxes = random_set(6, 20)
    blocks = np.repeat([f"b{n}" for n in range(20)], 4)
    four = ([one for one in part for _ in range(4)] for part in (targets, boxes))
    many, found = four
    few = evaluate(targets, boxes, NAMES, resamples=200).interval
    blocked = evaluate(many, found, NAMES, blocks=blocks, resamples=200).interval
    naive = evaluate(many, found, NAMES, resamples=200).interval
    assert blocked.high - blocked.low == pytest.approx(few.high - few.low, rel=0.3)
    assert naive.high - naive.low < 0.75 * (blocked.high - blocked.low)


# -- errors ---------------------------------------------------------------------------------------

OBJECT = (10, 10, 50, 50, 0)


def kinds_of(*boxes: tuple[float, ...], objects: tuple[tuple[float, ...], ...] = (OBJECT,)) -> Evaluation:
    """Measure one image."""
    truth = [np.array(objects, float).reshape(-1, 5)]
    found = [np.array(boxes, float).reshape(-1, 6)]
    return evaluate(truth, found, NAMES, resamples=0)


@pytest.mark.parametrize(
    ("box", "kind", "overlap"),
    [
        ((10, 10, 50, 50, 0), "right", 1.0),
        ((10, 10, 50, 30.5, 0), "right", 20.5 / 40),
        ((10, 10, 50, 29, 0), "poor place", 19 / 40),
        ((10, 10, 50, 15, 0), "poor place", 5 / 40),
        ((10, 10, 50, 13, 0), "false alarm", 3 / 40),
        ((100, 100, 120, 120, 0), "false alarm", 0.0),
        ((10, 10, 50, 50, 1), "wrong class", 1.0),
        ((10, 10, 50, 29, 1), "false alarm", 19 / 40),
    ],
)
def test_a_prediction_is_right_or_has_one_fault(box: tuple[float, ...], kind: str, overlap: float) -> None:
    measured = kinds_of((*box, 0.9))
    errors = measured.errors[measured.errors["kind"] != "miss"]
    assert list(errors["kind"]) == [kind]
    assert errors["overlap"].iloc[0] == pytest.approx(overlap)
    assert errors["class"].iloc[0] == NAMES[box[4]]
    missed = measured.errors[measured.errors["kind"] == "miss"]
    assert len(missed) == (kind != "right")
    for name in ERRORS:
        expected = (name == kind) + (name == "miss" and kind != "right")
        assert measured.metrics[f"test/{name.replace(' ', '_')}"] == expected


def test_the_second_prediction_of_an_object_is_a_duplicate() -> None:
    """The better one counts as right, wherever it stands; two objects take two predictions."""
    second = (30, 10, 70, 50, 0)
    measured = kinds_of(
        (12, 10, 50, 50, 0, 0.7),
        (10, 10, 50, 50, 0, 0.9),
        (30, 10, 70, 50, 0, 0.8),
        objects=(OBJECT, second, (150, 150, 160, 160, 2)),
    )
    rows = measured.errors.set_index("score")["kind"]
    assert (rows[0.9], rows[0.8]) == ("right", "right")
    assert measured.threshold == 0.8
    assert list(measured.errors["kind"]) == ["right", "right", "miss"]
    # With more objects to find, the duplicate is above the threshold.
    measured = kinds_of(
        (10, 10, 50, 50, 0, 0.9),
        (12, 10, 50, 50, 0, 0.7),
        (150, 150, 160, 160, 2, 0.6),
        objects=(OBJECT, (150, 150, 160, 160, 2)),
    )
    assert list(measured.errors["kind"]) == ["right", "duplicate", "right"]
    table = measured.per_class.set_index("name")
    assert (table["precision"]["cat"], table["recall"]["cat"]) == (0.5, 1)
    assert (table["precision"]["cow"], table["recall"]["cow"]) == (1, 1)


def test_the_threshold_is_that_of_the_highest_f1() -> None:
    targets, boxes = random_set(7)
    measured = evaluate(targets, boxes, NAMES, resamples=0)

    def f1(threshold: float) -> float:
        kept = [rows[rows[:, 5] >= threshold] for rows in boxes]
        errors = evaluate(targets, kept, NAMES, resamples=0)
        # The threshold of what is left is its lowest score where that is best; count by hand.
        right = 0
        for truth, found in zip(targets, kept, strict=True):
            free = [tuple(row) for row in truth]
            for row in found[np.argsort(-found[:, 5])]:
                fits = [(iou(row, one), one) for one in free if one[4] == row[4]]
                best = max(fits, default=(0, None), key=lambda pair: pair[0])
                if best[0] >= 0.5:
                    free.remove(best[1])
                    right += 1
        assert errors.metrics["test/boxes"] == sum(map(len, targets))
        return 2 * right / (sum(map(len, kept)) + sum(map(len, targets)))

    best = f1(measured.threshold)
    scores = np.concatenate([rows[:, 5] for rows in boxes])
    others = np.random.default_rng(0).choice(scores, 12)
    assert all(f1(score) <= best + 1e-9 for score in others)


def iou(first: np.ndarray, second: tuple[float, ...]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(shared / (sum(areas) - shared))


# -- nothing --------------------------------------------------------------------------------------


def test_a_detector_that_says_nothing_misses_everything() -> None:
    targets, boxes = random_set(8)
    measured = evaluate(targets, [rows[:0] for rows in boxes], NAMES)
    assert measured.metrics["test/map"] == measured.metrics["test/map50"] == 0
    assert set(measured.errors["kind"]) == {"miss"}
    assert len(measured.errors) == sum(map(len, targets))


def test_images_without_objects_count_their_false_alarms() -> None:
    empty = np.zeros((0, 5))
    alarm = np.array([[1, 1, 9, 9, 0, 0.95]])
    found = np.array([[10, 10, 50, 50, 0, 0.9]])
    targets = [np.array([OBJECT], float), empty, empty]
    measured = evaluate(targets, [found, alarm, alarm[:0]], NAMES, resamples=0)
    assert measured.metrics["test/map50"] == pytest.approx(0.5)
    assert sorted(measured.errors["kind"]) == ["false alarm", "right"]
    assert int(measured.errors.set_index("kind")["row"]["false alarm"]) == 1


@pytest.mark.parametrize(
    ("targets", "boxes", "words"),
    [
        ([np.zeros((0, 5))], [np.zeros((0, 6))], "nothing to measure"),
        ([np.array([OBJECT], float)], [np.full((1, 6), np.nan)], "not all finite"),
        ([np.array([OBJECT], float)], [], "do not match"),
    ],
)
def test_what_cannot_be_measured_is_refused(targets: list, boxes: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        evaluate(targets, boxes, NAMES)


def test_decoded_outputs_are_read_by_their_labels() -> None:
    """A model's classes may stand in another order than the dataset's, and rows are filled up."""
    outputs = {
        "boxes": np.array([[[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]], np.float32),
        "labels": np.array([[b"dog", b"bird", b""]], object),
        "classes": np.array([[0, 1, 0]], np.int32),
        "scores": np.array([[0.9, 0.8, 0.0]], np.float32),
        "count": np.array([2], np.int32),
    }
    read = BOXES.read(outputs, ("cat", "dog"))
    np.testing.assert_allclose(read[0], [[1, 2, 3, 4, 1, 0.9], [5, 6, 7, 8, -1, -1], [0, 0, 0, 0, -1, -1]])
    frame = pd.DataFrame({"split": ["train", "test"], "target": [[], [[1.0, 1, 2, 3, 4]]]})
    dataset = Dataset(Path(), "toy", ("cat", "dog"), ("cat", "dog"), {"rules": {}}, frame, Path())
    measured = BOXES.evaluate(dataset, read)
    assert measured.metrics["test/map"] == pytest.approx(1.0)
    assert list(measured.errors["kind"]) == ["right"]
