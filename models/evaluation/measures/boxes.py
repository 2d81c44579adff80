"""What predicted boxes are worth: average precision as COCO defines it, and what kind of errors there are.

The measures are pycocotools'. Boxes are in pixels of the image as displayed. Nothing here knows files, models
or tracking.
"""

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.uncertainty import Interval
from models.task import Evaluator

CONFIDENCE = 0.95
#: Columns of a prediction: the corners, the class's place, the score; a row that is filled up has score -1.
COLUMNS = ("xmin", "ymin", "xmax", "ymax", "class", "score")
#: A prediction counts as right from this overlap on, and as badly placed from the lower one on.
RIGHT, POOR = 0.5, 0.1
#: Errors are counted at the score that gives the highest F1.
ERRORS = {
    "right": "of the right class, overlapping by at least half",
    "poor place": "of the right class, overlapping by a tenth to a half",
    "wrong class": "overlapping an object of another class by at least half",
    "duplicate": "overlapping an object that a better prediction has found",
    "false alarm": "overlapping no object by a tenth",
    "miss": "an object that no prediction has found",
}


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        names: of the classes.
        metrics: flat figures by tracked name, such as ``test/map50``.
        interval: the AP50 with its interval.
        targets: of each image the true boxes [objects, 5]: corners and the class's place.
        boxes: of each image the predictions [boxes, 6], the best first; see COLUMNS.
        per_class: a row for each class: ``objects``, ``ap``, ``ap50``, ``ap75``, and at the threshold
            ``precision`` and ``recall``.
        curves: ``class``, ``recall`` and ``precision`` at an overlap of a half.
        threshold: score above which predictions are counted below.
        errors: a row for each prediction above the threshold and for each missed object: ``row`` of the
            image, ``kind`` (a key of ERRORS), ``box`` (position among the predictions, or the objects of a
            miss), ``class``, ``score`` and ``overlap``.
    """

    split: str
    names: tuple[str, ...]
    metrics: dict[str, float]
    interval: Interval
    targets: list[np.ndarray]
    boxes: list[np.ndarray]
    per_class: pd.DataFrame
    curves: pd.DataFrame
    threshold: float
    errors: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        kinds = self.errors.groupby(["kind", "class"], as_index=False).size()
        return {"classes": self.per_class, "precision_recall": self.curves, "errors": kinds}


def of_dataset(dataset: Dataset, predictions: np.ndarray) -> Evaluation:
    """Measure predictions [examples, boxes, 6] of a dataset's measured examples, in their order."""
    measured = dataset.measured
    targets = [
        np.array([list(box) for box in row], np.float64).reshape(-1, 5)[:, [1, 2, 3, 4, 0]]
        for row in measured["target"]
    ]
    boxes = [rows[rows[:, 5] >= 0] for rows in np.asarray(predictions, np.float64)]
    blocks = measured["block"].to_numpy() if "block" in measured else None
    return evaluate(targets, boxes, dataset.labels, blocks=blocks)


def evaluate(
    targets: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    blocks: np.ndarray | None = None,
    split: str = "test",
    resamples: int = 100,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Args:
        targets: of each image the true boxes, float [objects, 5]: corners and the class's place.
        boxes: of each image the predictions, float [boxes, 6]; see COLUMNS.
        names: of the classes.
        blocks: name of each image's block, resampled as a whole; None resamples the images.
        split: prefix of the metric names.
        resamples: bootstrap resamples of the AP50.
        seed: of the bootstrap.

    Raises:
        DataError: a prediction is not finite, there are no objects, or the counts of images differ.
    """
    if len(targets) != len(boxes):
        raise DataError("predictions do not match the targets", got=f"{len(boxes)} and {len(targets)} images")
    if not sum(map(len, targets)):
        raise DataError("nothing to measure", got=f"{len(targets)} images without objects")
    if not all(np.isfinite(rows).all() for rows in boxes):
        raise DataError("predictions are not all finite", got="NaN or infinite coordinates or scores")
    boxes = [rows[np.argsort(-rows[:, 5], kind="stable")] for rows in boxes]
    matched = _matched(targets, boxes, len(names))
    per_class, curves = _by_class(matched, targets, names)
    present = per_class["objects"] > 0
    threshold = _best_threshold(targets, boxes)
    errors = _errors(targets, boxes, names, threshold)
    per_class = _at_threshold(per_class, errors)
    interval = _interval(targets, boxes, len(names), blocks, resamples, seed)
    figures = {
        "map": float(per_class["ap"][present].mean()),
        "map50": interval.value,
        "map50_low": interval.low,
        "map50_high": interval.high,
        "map75": float(per_class["ap75"][present].mean()),
        "threshold": threshold,
        **{name.replace(" ", "_"): float((errors["kind"] == name).sum()) for name in ERRORS},
        "examples": float(len(targets)),
        "boxes": float(sum(map(len, targets))),
    }
    return Evaluation(
        split,
        tuple(names),
        {f"{split}/{name}": value for name, value in figures.items()},
        interval,
        list(targets),
        list(boxes),
        per_class,
        curves,
        threshold,
        errors,
    )


def _coco(targets: Sequence[np.ndarray], boxes: Sequence[np.ndarray], classes: int) -> tuple[Any, Any]:
    """Put objects and predictions into pycocotools' form."""
    from pycocotools.coco import COCO

    truth: dict[str, Any] = {
        "info": {},
        "images": [{"id": image + 1} for image in range(len(targets))],
        "categories": [{"id": place + 1} for place in range(classes)],
        "annotations": [
            {
                "id": 0,
                "image_id": image + 1,
                "category_id": int(row[4]) + 1,
                "bbox": _corner_and_size(row),
                "area": float((row[2] - row[0]) * (row[3] - row[1])),
                "iscrowd": 0,
            }
            for image, rows in enumerate(targets)
            for row in rows
        ],
    }
    for number, annotation in enumerate(truth["annotations"], start=1):
        annotation["id"] = number
    predictions = [
        {
            "image_id": image + 1,
            "category_id": int(row[4]) + 1,
            "bbox": _corner_and_size(row),
            "score": float(row[5]),
        }
        for image, rows in enumerate(boxes)
        for row in rows
    ]
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    return coco, coco.loadRes(predictions) if predictions else None


def _corner_and_size(row: np.ndarray) -> list[float]:
    return [float(row[0]), float(row[1]), float(row[2] - row[0]), float(row[3] - row[1])]


def _matched(
    targets: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    classes: int,
    overlaps: Sequence[float] | None = None,
) -> Any:
    """Match predictions with objects: pycocotools' COCOeval after `accumulate`; None without predictions.

    ``overlaps`` are those from which on a prediction counts; None takes COCO's ten.
    """
    from pycocotools.cocoeval import COCOeval

    # It prints its progress.
    with contextlib.redirect_stdout(io.StringIO()):
        truth, predictions = _coco(targets, boxes, classes)
        if predictions is None:
            return None
        matched = COCOeval(truth, predictions, "bbox")
        matched.params.maxDets = [max(map(len, boxes))]
        matched.params.areaRng, matched.params.areaRngLbl = [[0, 1e10]], ["all"]
        if overlaps is not None:
            matched.params.iouThrs = np.array(overlaps)
        matched.images = len(targets)
        matched.evaluate()
        matched.accumulate()
    return matched


def _precision(matched: Any, classes: int) -> np.ndarray:
    """Return precision by overlap, recall and class, [10, 101, classes]; 0 where nothing is predicted."""
    if matched is None:
        return np.zeros((10, 101, classes))
    # All sizes of objects, and the largest number of predictions.
    precision: np.ndarray = matched.eval["precision"][:, :, :, 0, -1]
    return precision


def _by_class(
    matched: Any, targets: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    precision = _precision(matched, len(names))
    masked = np.where(precision < 0, np.nan, precision)
    counts = np.bincount(np.concatenate([rows[:, 4] for rows in targets]).astype(int), minlength=len(names))
    rows, curves = [], []
    for place, name in enumerate(names):
        of_class = masked[:, :, place]
        there = not np.isnan(of_class).all()
        rows.append(
            {
                "name": name,
                "objects": int(counts[place]),
                "ap": float(of_class.mean()) if there else float("nan"),
                "ap50": float(of_class[0].mean()) if there else float("nan"),
                "ap75": float(of_class[5].mean()) if there else float("nan"),
            }
        )
        recall = np.linspace(0, 1, 101)
        curves.append(pd.DataFrame({"class": name, "recall": recall, "precision": of_class[0]}))
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True)


def _interval(
    targets: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    classes: int,
    blocks: np.ndarray | None,
    resamples: int,
    seed: int,
) -> Interval:
    """Bootstrap the AP50 over images, or whole blocks of them; a resample is accumulated anew."""
    matched = _matched(targets, boxes, classes, overlaps=[RIGHT])
    images = len(targets)
    units = np.arange(images) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    random = np.random.default_rng(seed)
    values = [_mean_precision(matched, classes, np.arange(images))]
    for _ in range(resamples if matched is not None else 0):
        drawn = random.integers(units.max() + 1, size=units.max() + 1)
        chosen = np.concatenate([np.flatnonzero(units == unit) for unit in drawn])
        values.append(_mean_precision(matched, classes, chosen))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval("map50", values[0], float(low), float(high), CONFIDENCE, resamples)


def _mean_precision(matched: Any, classes: int, images: np.ndarray) -> float:
    """Return the mean AP of the classes over a choice of images, some of them repeated."""
    if matched is None:
        return 0.0
    every = np.array(matched.evalImgs, dtype=object).reshape(classes, -1, matched.images)
    resampled = copy.copy(matched)
    resampled.evalImgs = every[:, :, images].ravel().tolist()
    resampled.params = resampled._paramsEval = copy.copy(matched.params)
    resampled.params.imgIds = list(range(len(images)))
    with contextlib.redirect_stdout(io.StringIO()):
        resampled.accumulate()
    precision = resampled.eval["precision"][:, :, :, 0, -1]
    valid = precision[:, :, (precision >= 0).all(axis=(0, 1))]
    return float(valid.mean()) if valid.size else float("nan")


def _judged(truth: np.ndarray, predictions: np.ndarray) -> tuple[list[tuple[str, float]], np.ndarray]:
    """Judge the predictions of one image, the best first.

    Returns:
        The kind and the overlap of each, and which objects were found.
    """
    from pycocotools import mask

    matched = np.zeros(len(truth), bool)
    corners = [[_corner_and_size(row) for row in rows] for rows in (predictions, truth)]
    overlaps = np.zeros((len(predictions), len(truth)))
    if len(predictions) and len(truth):
        overlaps = mask.iou(*corners, [0] * len(truth))
    verdicts = []
    for row, overlap in zip(predictions, overlaps, strict=True):
        same = truth[:, 4] == row[4]
        free = np.where(same & ~matched, overlap, 0.0)
        if free.max(initial=0) >= RIGHT:
            matched[free.argmax()] = True
            verdicts.append(("right", float(free.max())))
        elif np.where(same, overlap, 0).max(initial=0) >= RIGHT:
            verdicts.append(("duplicate", float(np.where(same, overlap, 0).max())))
        elif np.where(~same, overlap, 0).max(initial=0) >= RIGHT:
            verdicts.append(("wrong class", float(overlap.max())))
        elif np.where(same, overlap, 0).max(initial=0) >= POOR:
            verdicts.append(("poor place", float(np.where(same, overlap, 0).max())))
        else:
            verdicts.append(("false alarm", float(overlap.max(initial=0))))
    return verdicts, matched


def _best_threshold(targets: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> float:
    """Return the score at which the F1 of the predictions from there on is highest."""
    pairs = [
        (score, kind == "right")
        for truth, predictions in zip(targets, boxes, strict=True)
        for score, (kind, _) in zip(predictions[:, 5], _judged(truth, predictions)[0], strict=True)
    ]
    if not pairs:
        return 0.0
    pairs.sort(key=lambda pair: -pair[0])
    right = np.cumsum([hit for _, hit in pairs])
    f1 = 2 * right / (np.arange(1, len(pairs) + 1) + sum(map(len, targets)))
    return float(pairs[int(f1.argmax())][0])


def _errors(
    targets: Sequence[np.ndarray], boxes: Sequence[np.ndarray], names: Sequence[str], threshold: float
) -> pd.DataFrame:
    columns = ("row", "kind", "box", "class", "score", "overlap")
    rows: list[tuple[Any, ...]] = []
    for image, (truth, every) in enumerate(zip(targets, boxes, strict=True)):
        predictions = every[every[:, 5] >= threshold]
        verdicts, matched = _judged(truth, predictions)
        for place, (row, (kind, overlap)) in enumerate(zip(predictions, verdicts, strict=True)):
            rows.append((image, kind, place, names[int(row[4])], float(row[5]), overlap))
        rows += [
            (image, "miss", int(missed), names[int(truth[missed, 4])], float("nan"), 0.0)
            for missed in np.flatnonzero(~matched)
        ]
    return pd.DataFrame(rows, columns=list(columns))


def _at_threshold(per_class: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Add precision and recall of each class at the threshold."""
    precision, recall = [], []
    for name in per_class["name"]:
        kinds = errors.loc[errors["class"] == name, "kind"].value_counts()
        right, missed = kinds.get("right", 0), kinds.get("miss", 0)
        predicted = kinds.sum() - missed
        precision.append(right / predicted if predicted else float("nan"))
        recall.append(right / (right + missed) if right + missed else float("nan"))
    return per_class.assign(precision=precision, recall=recall)


def read(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Put decoded outputs together as `of_dataset` takes them; objects of other classes are left out."""
    places = {label.encode(): place for place, label in enumerate(labels)}
    classes = np.vectorize(lambda label: places.get(label, -1), otypes=[float])(outputs["labels"])
    scores = np.where(classes >= 0, outputs["scores"], -1.0)
    return np.concatenate([outputs["boxes"], classes[..., None], scores[..., None]], axis=2)


BOXES = Evaluator(read, of_dataset)
