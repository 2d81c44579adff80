"""Where points of an image lie once it is resized: found again in the pixels themselves."""

from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from features.images import placement
from features.images.featurizer import ImageFeaturizer
from tests.faults import corpus

RESIZES = ("stretch", "crop", "pad")
#: Width and height: odd, panoramas of both directions, as large as the result, larger in one direction.
SIZES = ((61, 43), (43, 61), (360, 60), (61, 367), (40, 32), (33, 200), (201, 97))
HEIGHT, WIDTH = 32, 40


@cache
def featurizer(resize: str) -> ImageFeaturizer:
    return ImageFeaturizer(HEIGHT, WIDTH, resize=resize)


@pytest.mark.parametrize("resize", RESIZES)
def test_placed_and_restored_are_inverse(resize: str) -> None:
    random = np.random.default_rng(0)
    sizes = np.array([*SIZES, (1, 1), (4000, 1)], np.int32)
    shares = random.uniform(-0.2, 1.2, (len(sizes), 5, 2)).astype(np.float32)
    fitting = featurizer(resize)
    pixels = fitting.restored(fitting.placed(shares, sizes), sizes).numpy()
    np.testing.assert_allclose(pixels / sizes[:, None], shares, atol=2e-5)


def test_a_row_of_the_most_pixels_is_cropped_exactly() -> None:
    """Width times height of the result, 10**11, is beyond 32 bits."""
    size = tf.constant([1, 50_000_000], tf.int64)
    corner, inner = placement.centred_part(size, np.array([2048, 8]))
    assert corner.numpy().tolist() == [0, 24_999_999]
    assert inner.numpy().tolist() == [1, 1]


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_marker_is_where_its_point_is_placed(resize: str, width: int, height: int) -> None:
    """The image with a marker, less the one without: its centre of mass is where `placed` says."""
    random = np.random.default_rng(width)
    pixels = random.integers(0, 60, (height, width, 3), np.uint8)
    half = max(2, min(width, height) // 12)
    # All resizes show the middle square of the image.
    side = min(width, height) - 2 * half - 2
    images, points = [pixels], []
    for _ in range(4):
        x, y = (int(middle + side * random.uniform(-0.4, 0.4)) for middle in (width / 2, height / 2))
        marked = pixels.copy()
        marked[y - half : y + half, x - half : x + half] += 150
        images.append(marked)
        points.append((x / width, y / height))
    fitting = featurizer(resize)
    files = [corpus.encode(Image.fromarray(one), "PNG") for one in images]
    plain, *marked = fitting(tf.constant(files)).numpy().astype(np.float64)
    sizes = np.array([[width, height]], np.int32)
    placed = fitting.placed(np.array([points], np.float32), sizes)[0].numpy() * (WIDTH, HEIGHT)
    down, across = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for one, point in zip(marked, placed, strict=True):
        weight = (one - plain).sum(axis=2)
        found = (weight * across).sum() / weight.sum(), (weight * down).sum() / weight.sum()
        np.testing.assert_allclose(point, found, atol=0.5)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_located_gives_the_displayed_size_for_every_turn(kind: str) -> None:
    picture = corpus.picture(1, 37, 23)
    files = [corpus.encode(picture, kind, exif=corpus.exif(turn)) for turn in range(1, 9)]
    fitting = featurizer("stretch")
    features, sizes = fitting.located(tf.constant(files))
    expected = [ImageOps.exif_transpose(_turned(picture, turn)).size for turn in range(1, 9)]
    assert sizes.numpy().tolist() == [list(size) for size in expected]
    np.testing.assert_array_equal(features, fitting(tf.constant(files)))


def _turned(picture: Image.Image, turn: int) -> Image.Image:
    copy = picture.copy()
    copy.getexif()[274] = turn
    return copy
