"""What predicted points are worth: errors in pixels and normalised, and shares within a distance.

Pure functions of ``targets`` and ``points`` (float [examples, points, 2], pixels as displayed; targets are
NaN where a point is not annotated). Nothing here knows files, models or tracking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from features.targets import points as keypoints
from features.targets import upright
from models.evaluation.uncertainty import Interval
from models.task import Evaluator, columns

#: Predictions that are logged, those farthest off first.
LOGGED = 200
CONFIDENCE = 0.95
#: Distances of the curve of right points, in units of what errors are normalised by.
THRESHOLDS = np.round(np.arange(0, 0.2001, 0.005), 3)
#: The distance within which a point counts as right.
NEAR = 0.05


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        names: of the points.
        metrics: flat figures by tracked name, such as ``test/mean_error_px``.
        interval: the mean error with its interval.
        targets: float [examples, points, 2], NaN where not annotated.
        points: what was predicted for them.
        normalised_by: what errors are divided by, in words.
        per_point: a row for each point: ``examples``, ``mean_error_px``, ``median_error_px``, ``nme``,
            ``pck_05``, and ``mean_shape_px``, the error of the mean shape.
        curve: ``distance`` and the share of points within it, of the model and of the mean shape.
        worst: position ``row`` and mean ``error`` in pixels of each example, that of the largest first.
    """

    split: str
    names: tuple[str, ...]
    metrics: dict[str, float]
    interval: Interval
    targets: np.ndarray
    points: np.ndarray
    normalised_by: str
    per_point: pd.DataFrame
    curve: pd.DataFrame
    worst: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        return {"points": self.per_point, "pck": self.curve, "worst": self.worst.head(LOGGED)}


def of_dataset(dataset: Dataset, points: np.ndarray) -> Evaluation:
    """Measure points [examples, points, 2] of a dataset's measured examples, in their order."""
    frame, measured = dataset.frame, dataset.measured
    training = frame[frame["split"] == "train"]
    shape = np.nanmean(keypoints.in_pixels(training) / upright.sizes(training)[:, None], axis=0)
    sizes = upright.sizes(measured).astype(np.float64)
    pair = dataset.card["rules"].get("distance")
    return evaluate(
        keypoints.in_pixels(measured),
        points,
        dataset.labels,
        shape * sizes[:, None],
        sizes,
        pair=tuple(pair) if pair else eyes(dataset.labels),
        blocks=measured["block"].to_numpy() if "block" in measured else None,
    )


def eyes(names: Sequence[str]) -> tuple[str, str] | None:
    """Find the two points named for the eyes, such as left_eye and right_eye; None without them."""
    partners = keypoints.mirrored(names)
    for place, name in enumerate(names):
        # An eyebrow is no eye.
        named = "eye" in name.lower().replace("eyebrow", "")
        if partners is not None and partners[place] != place and named:
            return name, names[partners[place]]
    return None


def evaluate(
    targets: np.ndarray,
    points: np.ndarray,
    names: Sequence[str],
    mean_shape: np.ndarray,
    sizes: np.ndarray,
    *,
    pair: tuple[str, str] | None = None,
    blocks: np.ndarray | None = None,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Args:
        targets: float [examples, points, 2], NaN where not annotated.
        points: predictions, of the same shape.
        names: of the points.
        mean_shape: what always answering with the mean shape of the training split would predict.
        sizes: width and height of each image [examples, 2].
        pair: the two points whose distance errors are divided by; the image's diagonal where None, and in
            images in which one of the two is missing.
        blocks: name of each example's block, resampled as a whole; None resamples the examples.
        split: prefix of the metric names.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes disagree, a prediction is not finite, or nothing is annotated.
    """
    targets, points = _checked(targets, points, names)
    errors = np.linalg.norm(points - targets, axis=2)
    if np.isnan(errors).all():
        raise DataError("nothing to measure", got=f"{len(targets)} examples without an annotated point")
    scale, normalised_by = _scale(targets, names, sizes, pair)
    of_mean = np.linalg.norm(mean_shape - targets, axis=2)
    relative, relative_of_mean = errors / scale[:, None], of_mean / scale[:, None]
    interval = _interval(errors, blocks, resamples, seed)
    figures = {
        "mean_error_px": float(np.nanmean(errors)),
        "mean_error_px_low": interval.low,
        "mean_error_px_high": interval.high,
        "median_error_px": float(np.nanmedian(errors)),
        "nme": float(np.nanmean(relative)),
        "pck_05": _within(relative, NEAR),
        "mean_shape_px": float(np.nanmean(of_mean)),
        "examples": float(len(targets)),
        "points": float((~np.isnan(errors)).sum()),
    }
    curve = pd.DataFrame(
        {
            "distance": THRESHOLDS,
            "model": [_within(relative, limit) for limit in THRESHOLDS],
            "mean_shape": [_within(relative_of_mean, limit) for limit in THRESHOLDS],
        }
    )
    return Evaluation(
        split,
        tuple(names),
        {f"{split}/{name}": value for name, value in figures.items()},
        interval,
        targets,
        points,
        normalised_by,
        _per_point(names, errors, relative, of_mean),
        curve,
        _worst(errors),
    )


def _checked(targets: np.ndarray, points: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    targets, points = np.asarray(targets, np.float64), np.asarray(points, np.float64)
    if targets.shape != points.shape or targets.shape[1:] != (len(names), 2):
        raise DataError(
            "predictions do not match the targets",
            got=f"predictions {list(points.shape)}, targets {list(targets.shape)}",
            expected=f"[examples, {len(names)}, 2] of both",
        )
    if not np.isfinite(points).all():
        row = int(np.argwhere(~np.isfinite(points))[0, 0])
        raise DataError("predictions are not all finite", got=f"example {row}")
    return targets, points


def _scale(
    targets: np.ndarray, names: Sequence[str], sizes: np.ndarray, pair: tuple[str, str] | None
) -> tuple[np.ndarray, str]:
    """Return what the errors of each example are divided by, and its name."""
    diagonal = np.linalg.norm(sizes, axis=1)
    if pair is None:
        return diagonal, "the image's diagonal"
    if unknown := [name for name in pair if name not in names]:
        raise DataError(
            "data.distance names an unknown point",
            got=", ".join(map(repr, unknown)),
            expected=f"two of {', '.join(map(repr, names))}",
        )
    first, second = (targets[:, list(names).index(name)] for name in pair)
    distance = np.linalg.norm(first - second, axis=1)
    usable = np.isfinite(distance) & (distance > 0)
    return np.where(usable, distance, diagonal), f"the distance of {pair[0]} and {pair[1]}"


def _within(relative: np.ndarray, limit: float) -> float:
    """Return the share of annotated points whose error is at most a limit."""
    return float((relative <= limit).sum() / (~np.isnan(relative)).sum())


def _interval(errors: np.ndarray, blocks: np.ndarray | None, resamples: int, seed: int) -> Interval:
    """Bootstrap the mean error over examples, or whole blocks of them."""
    units = np.arange(len(errors)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    sums = np.zeros((units.max() + 1, 2))
    np.add.at(sums, units, np.stack([np.nansum(errors, 1), (~np.isnan(errors)).sum(1)], axis=1))
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    drawn = counts @ sums
    tail = (1 - CONFIDENCE) / 2
    usable = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(usable[:, 0] / usable[:, 1], [tail, 1 - tail])
    return Interval(
        "mean_error_px", float(np.nanmean(errors)), float(low), float(high), CONFIDENCE, resamples
    )


def _per_point(
    names: Sequence[str], errors: np.ndarray, relative: np.ndarray, of_mean: np.ndarray
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        labelled = ~np.isnan(errors[:, place])
        labelled_errors = errors[labelled, place]
        rows.append(
            {
                "name": name,
                "examples": int(labelled.sum()),
                "mean_error_px": float(labelled_errors.mean()) if len(labelled_errors) else float("nan"),
                "median_error_px": float(np.median(labelled_errors))
                if len(labelled_errors)
                else float("nan"),
                "nme": float(relative[labelled, place].mean()) if len(labelled_errors) else float("nan"),
                "pck_05": float((relative[labelled, place] <= NEAR).mean())
                if len(labelled_errors)
                else float("nan"),
                "mean_shape_px": float(of_mean[labelled, place].mean())
                if len(labelled_errors)
                else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _worst(errors: np.ndarray) -> pd.DataFrame:
    counts = np.maximum((~np.isnan(errors)).sum(axis=1), 1)
    means = np.nansum(errors, axis=1) / counts
    rows = np.argsort(-means, kind="stable")
    return pd.DataFrame({"row": rows, "error": means[rows]})


POINTS = Evaluator(columns("points", "names"), of_dataset)
