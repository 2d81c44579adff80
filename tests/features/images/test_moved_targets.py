"""Points and boxes that move with their images: what is painted at them is still there afterwards.

Each point or box is painted into a channel of its own, so that it is found again in the changed image.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.images.augmentation import (
    BoxAugmentation,
    BoxAugmentationSettings,
    PointAugmentation,
    PointAugmentationSettings,
)
from features.targets.points import mirrored

BATCH, HEIGHT, WIDTH = 48, 48, 64
NAMES = ("left_eye", "right_eye", "nose")
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH] + 0.5
CHANGES = (
    {"flip": "horizontal"},
    {"flip": "vertical"},
    {"flip": "both"},
    {"rotation": 0.5},
    {"zoom": 0.4},
    {"translation": 0.3},
    {"flip": "both", "rotation": 0.1, "zoom": 0.3, "translation": 0.2},
)


@pytest.fixture(scope="module")
def seeds() -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).integers(0, 2**31 - 1, (BATCH, 2)), tf.int32)


# -- points ---------------------------------------------------------------------------------------


def painted(points: np.ndarray) -> np.ndarray:
    """Paint each point, in shares of width and height, into a channel of its own."""
    x, y = points[..., 0] * WIDTH, points[..., 1] * HEIGHT
    apart = (ACROSS[..., None] - x[:, None, None]) ** 2 + (DOWN[..., None] - y[:, None, None]) ** 2
    return np.exp(-apart / (2 * 2.0**2)).astype(np.float32)


def moved(
    seeds: tf.Tensor, names: Sequence[str] = NAMES, pairs: Sequence[tuple[str, str]] = (), **changes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change painted images; give the first points, the images and the moved targets."""
    points = np.random.default_rng(2).uniform(0.1, 0.9, (BATCH, 3, 2)).astype(np.float32)
    targets = np.concatenate([points, np.ones((BATCH, 3, 1), np.float32)], axis=2)
    settings = PointAugmentationSettings(pairs=pairs, **changes)
    augmentation = PointAugmentation(settings, mirrored(names, settings.pairs))
    images, changed = augmentation(tf.constant(painted(points)), tf.constant(targets), seeds)
    return points, images.numpy(), changed.numpy()


def peaks(images: np.ndarray) -> np.ndarray:
    """Find the brightest pixel of each channel: [batch, channels, 2]."""
    places = images.reshape(BATCH, -1, images.shape[3]).argmax(axis=1)
    return np.stack([places % WIDTH, places // WIDTH], axis=2) + 0.5


def turns(points: np.ndarray) -> np.ndarray:
    """Return in which sense the three points of each image go round."""
    a, b = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    return np.sign(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


@pytest.mark.parametrize(
    ("changes", "paired"),
    [(changes, "names") for changes in CHANGES] + [(CHANGES[-1], "pairs"), (CHANGES[-1], "neither")],
    ids=str,
)
def test_a_marker_is_under_its_moved_point(seeds: tf.Tensor, changes: dict, paired: str) -> None:
    names = NAMES if paired == "names" else ("a", "b", "c")
    pairs = [("a", "b")] if paired == "pairs" else []
    points, images, targets = moved(seeds, names, pairs, **changes)
    x, y = peaks(images)[..., 0], peaks(images)[..., 1]
    # A marker whose middle has left the image is brightest at the edge, if it is seen at all.
    inside = (x > 1) & (x < WIDTH - 1) & (y > 1) & (y < HEIGHT - 1) & (images.max(axis=(1, 2)) > 0.5)
    whole = inside.all(axis=1)
    assert whole.sum() > BATCH / 8
    flipped = whole & (turns(peaks(images)) != turns(points * (WIDTH, HEIGHT)))
    far = np.abs(np.linalg.det(points[:, 1:] - points[:, :1])) > 0.02
    if paired == "neither" or "flip" not in changes:
        assert not (flipped & far).any()
    elif changes["flip"] != "both":
        assert 0 < flipped.sum() < whole.sum()
    for image in np.flatnonzero(whole & far):
        # In a mirror image the left eye is what was the right one.
        order = [1, 0, 2] if flipped[image] else [0, 1, 2]
        found = targets[image, :, :2] * (WIDTH, HEIGHT)
        np.testing.assert_allclose(found, peaks(images)[image, order], atol=1.01)
        assert (targets[image, :, 2] == 1).all()


@pytest.mark.parametrize("changes", [{"translation": 0.6}, {"zoom": 0.6}, {"rotation": 0.5}], ids=str)
def test_points_that_leave_the_image_are_missing(seeds: tf.Tensor, changes: dict) -> None:
    _, images, targets = moved(seeds, **changes)
    labelled = targets[..., 2] == 1
    assert 0 < (~labelled).sum() < labelled.size
    assert (targets[~labelled] == 0).all()
    assert ((targets[..., :2] >= 0) & (targets[..., :2] <= 1)).all()
    x, y = peaks(images)[..., 0], peaks(images)[..., 1]
    at_edge = (x < 1) | (x > WIDTH - 1) | (y < 1) | (y > HEIGHT - 1)
    dim = images.max(axis=(1, 2)) < 0.5
    assert (at_edge | dim)[~labelled].all()
    assert not dim[labelled].any()


def test_missing_points_stay_missing_and_change_sides(seeds: tf.Tensor) -> None:
    targets = np.full((BATCH, 3, 3), 0.5, np.float32)
    targets[..., 2] = 1
    targets[:, 0] = 0
    augmentation = PointAugmentation(PointAugmentationSettings(flip="horizontal"), mirrored(NAMES))
    _, changed = augmentation(tf.zeros((BATCH, HEIGHT, WIDTH, 3)), tf.constant(targets), seeds)
    missing = changed.numpy()[..., 2] == 0
    assert (missing.sum(axis=1) == 1).all()
    assert 0 < missing[:, 1].sum() < BATCH
    assert not missing[:, 2].any()


def test_without_left_and_right_no_image_is_mirrored(seeds: tf.Tensor) -> None:
    augmentation = PointAugmentation(PointAugmentationSettings(flip="both"), mirrored(("a", "b")))
    assert not augmentation.active
    with pytest.raises(ConfigError, match=r"augmentation\.pairs names an unknown point; got 'c'"):
        mirrored(("a", "b"), [("a", "c")])


# -- boxes ----------------------------------------------------------------------------------------


def drawn(boxes: np.ndarray) -> np.ndarray:
    """Fill each box, in pixels, in a channel of its own."""
    x, y, xmax, ymax = (boxes[:, None, None, :, side] for side in range(4))
    across, down = ACROSS[None, ..., None], DOWN[None, ..., None]
    inside = (across > x) & (across < xmax) & (down > y) & (down < ymax)
    return inside.astype(np.float32)


def boxed(
    seeds: tf.Tensor, low: int = 4, high: int = 18, count: int = 3, **changes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change images of filled boxes; give the first images, the changed ones and the moved targets."""
    random = np.random.default_rng(3)
    corners = random.integers((0, 0), (WIDTH - high, HEIGHT - high), (BATCH, count, 2))
    boxes = np.concatenate([corners, corners + random.integers(low, high, (BATCH, count, 2))], axis=2)
    shares = boxes / np.tile([WIDTH, HEIGHT], 2)
    classes = np.tile(np.arange(count), (BATCH, 1))
    targets = np.concatenate([shares, classes[..., None]], axis=2).astype(np.float32)
    padded = np.concatenate([targets, np.full((BATCH, 1, 5), -1, np.float32)], axis=1)
    before = drawn(boxes)
    augmentation = BoxAugmentation(BoxAugmentationSettings(**changes))
    images, changed = augmentation(tf.constant(before), tf.constant(padded), seeds)
    return before, images.numpy(), changed.numpy()


def outlines(images: np.ndarray) -> np.ndarray:
    """Return the smallest box around what each channel shows, in pixels [batch, channels, 4]; NaN if none."""
    seen = images > 0.5
    across, down = seen.any(axis=1), seen.any(axis=2)
    sides = [across.argmax(1), down.argmax(1)]
    sides += [WIDTH - across[:, ::-1].argmax(1), HEIGHT - down[:, ::-1].argmax(1)]
    return np.where(across.any(axis=1)[..., None], np.stack(sides, axis=2).astype(float), np.nan)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_filled_boxes_still_fill_the_moved_ones(seeds: tf.Tensor, changes: dict) -> None:
    _, images, targets = boxed(seeds, **changes)
    assert (targets[:, 3] == -1).all()
    found, moved = outlines(images), targets[:, :3, :4] * np.tile([WIDTH, HEIGHT], 2)
    kept = targets[:, :3, 4] >= 0
    np.testing.assert_array_equal(targets[:, :3, 4][kept], np.tile(np.arange(3), (BATCH, 1))[kept])
    # What is seen of a turned box that the edge cuts off may be less than its outline.
    wholly = ((moved > 0.5) & (moved < np.tile([WIDTH, HEIGHT], 2) - 0.5)).all(axis=2)
    compared = kept & wholly if "rotation" in changes else kept
    assert compared.sum() > 10
    # The corner of a turned box is a point, of which half a pixel is not seen on either side.
    tolerance = 1.6 if "rotation" in changes else 1.01
    np.testing.assert_allclose(moved[compared], found[compared], atol=tolerance)


@pytest.mark.parametrize("visible", [0.0, 0.3, 0.8])
def test_boxes_of_which_little_is_left_are_left_out(seeds: tf.Tensor, visible: float) -> None:
    before, images, targets = boxed(seeds, translation=0.6, visible=visible)
    left = images.sum(axis=(1, 2)) / before.sum(axis=(1, 2))
    kept = targets[:, :3, 4] >= 0
    np.testing.assert_array_equal(kept, left > visible)
    assert 0 < kept.sum() < kept.size
    assert (targets[:, :3][~kept] == -1).all()


def test_a_mosaic_shows_four_images_with_their_boxes(seeds: tf.Tensor) -> None:
    before, images, targets = boxed(seeds, low=8, mosaic=0.5)
    assert targets.shape == (BATCH, 16, 5)
    together = (targets[:, 4:, 4] >= 0).any(axis=1)
    assert 0 < together.sum() < BATCH
    for image in range(BATCH):
        if not together[image]:
            np.testing.assert_array_equal(images[image], before[image])
            assert (targets[image, :3, 4] == (0, 1, 2)).all()
            continue
        for part in range(4):
            top, left = part // 2 * HEIGHT // 2, part % 2 * WIDTH // 2
            quarter = images[image, top : top + HEIGHT // 2, left : left + WIDTH // 2]
            source = before[(image + part) % BATCH].reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3)
            np.testing.assert_allclose(quarter, source.mean(axis=(1, 3)), atol=1e-5)
            shown = np.zeros((BATCH, HEIGHT, WIDTH, 3))
            shown[0, top : top + HEIGHT // 2, left : left + WIDTH // 2] = quarter
            boxes = targets[image, 4 * part : 4 * part + 3, :4] * np.tile([WIDTH, HEIGHT], 2)
            np.testing.assert_allclose(boxes, outlines(shown)[0], atol=1.01)
    assert (targets[:, 3::4] == -1).all()


@pytest.mark.parametrize(
    "augmentation",
    [
        PointAugmentation(PointAugmentationSettings(translation=0.4, rotation=0.2), None),
        BoxAugmentation(BoxAugmentationSettings(translation=0.4, rotation=0.2)),
    ],
    ids=["points", "boxes"],
)
def test_what_comes_in_from_beyond_an_edge_is_black(augmentation, seeds: tf.Tensor) -> None:
    """A reflection of a white image would be white."""
    width = 3 if isinstance(augmentation, PointAugmentation) else 5
    images, _ = augmentation(tf.ones((BATCH, HEIGHT, WIDTH, 1)), tf.zeros((BATCH, 1, width)), seeds)
    corners = images.numpy()[:, [0, 0, -1, -1], [0, -1, 0, -1], 0]
    assert (corners.min(axis=1) == 0).mean() > 0.9
