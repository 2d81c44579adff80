"""Errors of predicted points against NumPy, and their intervals against plain resampling."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.measures.points import POINTS, THRESHOLDS, evaluate, eyes

NAMES = ("left_eye", "right_eye", "nose")


@pytest.fixture(scope="module")
def given() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Targets with gaps, predictions, the mean shape in each image, and sizes."""
    random = np.random.default_rng(0)
    sizes = random.integers(60, 200, (50, 2)).astype(float)
    targets = random.uniform(0.2, 0.8, (50, 3, 2)) * sizes[:, None]
    points = targets + random.normal(0, 6, targets.shape)
    targets[random.random((50, 3)) < 0.25] = np.nan
    targets[7] = np.nan
    return targets, points, 0.5 * np.ones((50, 3, 2)) * sizes[:, None], sizes


@pytest.mark.parametrize("pair", [None, ("left_eye", "right_eye")])
def test_metrics_are_numpys(given: tuple[np.ndarray, ...], pair: tuple[str, str] | None) -> None:
    targets, points, shape, sizes = given
    measured = evaluate(targets, points, NAMES, shape, sizes, pair=pair)
    errors, relative, of_mean = [], [], []
    for image in range(50):
        scale = np.hypot(*sizes[image])
        apart = np.hypot(*(targets[image, 0] - targets[image, 1]))
        # Where an eye is missing the diagonal counts.
        scale = apart if pair and np.isfinite(apart) else scale
        for point in range(3):
            if np.isfinite(targets[image, point]).all():
                errors.append(np.hypot(*(points[image, point] - targets[image, point])))
                relative.append(errors[-1] / scale)
                of_mean.append(np.hypot(*(shape[image, point] - targets[image, point])))
    expected = {
        "mean_error_px": np.mean(errors),
        "median_error_px": np.median(errors),
        "nme": np.mean(relative),
        "pck_05": np.mean(np.array(relative) <= 0.05),
        "mean_shape_px": np.mean(of_mean),
        "examples": 50,
        "points": len(errors),
    }
    for name, value in expected.items():
        assert measured.metrics[f"test/{name}"] == pytest.approx(value), name
    curve = measured.curve.set_index("distance")["model"]
    assert list(curve.index) == list(THRESHOLDS)
    for limit in (0.02, 0.05, 0.2):
        assert curve[limit] == pytest.approx(np.mean(np.array(relative) <= limit))
    assert (measured.curve["model"].diff().dropna() >= 0).all()
    assert measured.per_point["examples"].sum() == len(errors)
    means = measured.per_point["mean_error_px"] * measured.per_point["examples"]
    assert means.sum() / len(errors) == pytest.approx(np.mean(errors))
    assert "left_eye" in measured.normalised_by if pair else "diagonal" in measured.normalised_by


def test_intervals_are_those_of_plain_resampling(given: tuple[np.ndarray, ...]) -> None:
    targets, points, shape, sizes = given
    measured = evaluate(targets, points, NAMES, shape, sizes, resamples=4000)
    errors = np.linalg.norm(points - targets, axis=2)
    random = np.random.default_rng(1)
    drawn = [np.nanmean(errors[random.integers(0, 50, 50)]) for _ in range(4000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert measured.interval.low == pytest.approx(low, abs=0.1 * (high - low))
    assert measured.interval.high == pytest.approx(high, abs=0.1 * (high - low))
    assert measured.interval.low < measured.interval.value < measured.interval.high


def test_whole_blocks_are_resampled(given: tuple[np.ndarray, ...]) -> None:
    targets, points, shape, sizes = (np.repeat(one, 8, axis=0) for one in given)
    blocks = np.repeat([f"b{n}" for n in range(50)], 8)

    def width(measured) -> float:
        return measured.interval.high - measured.interval.low

    few = width(evaluate(*given[:2], NAMES, *given[2:]))
    assert width(evaluate(targets, points, NAMES, shape, sizes, blocks=blocks)) == pytest.approx(few, rel=0.2)
    assert width(evaluate(targets, points, NAMES, shape, sizes)) < 0.6 * few


def test_the_worst_come_first(given: tuple[np.ndarray, ...]) -> None:
    targets, points, shape, sizes = given
    worst = evaluate(targets, points, NAMES, shape, sizes).worst
    errors = np.linalg.norm(points - targets, axis=2)
    known = np.flatnonzero(np.isfinite(errors).any(axis=1))
    expected = sorted(known, key=lambda row: -np.nanmean(errors[row]))
    assert list(worst["row"][: len(known)]) == expected
    assert 7 in set(worst["row"][len(known) :])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": np.zeros((2, 2, 2))}, "do not match"),
        ({"points": np.full((2, 3, 2), np.inf)}, "not all finite"),
        ({"targets": np.full((2, 3, 2), np.nan)}, "nothing to measure"),
        ({"pair": ("left_eye", "chin")}, r"data\.distance names an unknown point; got 'chin'"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict, words: str) -> None:
    plain = {"targets": np.ones((2, 3, 2)), "points": np.zeros((2, 3, 2)), "names": NAMES}
    plain |= {"mean_shape": np.zeros((2, 3, 2)), "sizes": np.full((2, 2), 9.0)}
    with pytest.raises(DataError, match=words):
        evaluate(**(plain | changes))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (NAMES, ("left_eye", "right_eye")),
        (("nose", "RightEye_r", "RightEye_l"), ("RightEye_r", "RightEye_l")),
        (("left_ear", "right_ear"), None),
        (("eye", "nose"), None),
    ],
)
def test_eyes_are_found_by_name(names: tuple[str, ...], found: tuple[str, str] | None) -> None:
    assert eyes(names) == found


def test_a_dataset_is_measured_in_displayed_pixels_against_its_mean_shape() -> None:
    """The mean shape is that of the training split, in shares of the displayed size, of what is annotated."""
    nan = np.nan
    frame = pd.DataFrame(
        {
            "split": ["train", "train", "test", "test"],
            "target": [[10, 10, 20, 10], [30, 30, nan, nan], [12, 40, 30, 40], [5, 5, nan, nan]],
            "width": [100, 100, 100, 50],
            "height": [50, 50, 50, 50],
            # The third is displayed as 50 by 100.
            "orientation": [1, 1, 6, 1],
        }
    )
    dataset = Dataset(Path(), "toy", ("l", "r"), ("l", "r"), {"rules": {}}, frame, Path())
    points = np.array([[[12, 43], [30, 40]], [[5, 5], [0, 0]]], float)
    measured = POINTS.evaluate(dataset, points)
    assert measured.metrics["test/mean_error_px"] == pytest.approx((3 + 0 + 0) / 3)
    shape = np.array([[0.2, 0.4], [0.2, 0.2]])
    away = [
        np.hypot(*(shape[0] * [50, 100] - [12, 40])),
        np.hypot(*(shape[1] * [50, 100] - [30, 40])),
        np.hypot(*(shape[0] * 50 - [5, 5])),
    ]
    assert measured.metrics["test/mean_shape_px"] == pytest.approx(np.mean(away))
    assert measured.metrics["test/nme"] == pytest.approx(3 / np.hypot(50, 100) / 3)
    dataset.card["rules"]["distance"] = ["l", "r"]
    again = POINTS.evaluate(dataset, points)
    assert again.metrics["test/nme"] == pytest.approx(3 / 18 / 3)


def test_eyebrows_are_no_eyes() -> None:
    brows = ("left_eyebrow", "right_eyebrow")
    assert eyes((*brows, "left_eye", "right_eye")) == ("left_eye", "right_eye")
    assert eyes(brows) is None
