"""Points and boxes drawn on photos: the pixels at their places have their colours."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageColor

from models.figures import detection, keypoints
from models.figures.drawing import marks
from models.figures.drawing.canvas import DARK, LIGHT


def color(name: str) -> tuple[int, ...]:
    return ImageColor.getrgb(name)


@pytest.mark.parametrize(
    ("size", "enlarged"), [((90, 40), (630, 280)), ((640, 10), (640, 10)), ((400, 330), (400, 330))]
)
def test_small_photos_are_enlarged_by_a_whole_number(size: tuple, enlarged: tuple) -> None:
    assert marks.enlarged(Image.new("RGB", size), 640).size == enlarged


def test_points_are_drawn_with_a_line_to_the_true_ones() -> None:
    photo = Image.new("RGB", (400, 200), "white")
    predicted, true = np.array([[0.25, 0.5], [0.9, 0.9]]), np.array([[0.5, 0.5], [np.nan, np.nan]])
    drawn = marks.points(photo, predicted, true)
    assert drawn.getpixel((100, 100)) == drawn.getpixel((360, 180)) == color(marks.PREDICTED)
    assert drawn.getpixel((200, 100)) == drawn.getpixel((150, 100)) == color(marks.TRUE)
    assert drawn.getpixel((50, 50)) == photo.getpixel((50, 50)) == (255, 255, 255)
    named = np.asarray(marks.points(photo, predicted, names=("left", "right")), int)
    assert (named[90:110, 106:140] != 255).any()


def test_boxes_are_drawn_with_captions_inside_the_photo() -> None:
    """Also those of boxes at the edges."""
    photo = Image.new("RGB", (320, 240), "white")
    corners = np.array([[0, 0, 0.3, 0.3], [0.8, 0.5, 1, 1], [0.4, 0.4, 0.6, 0.6]])
    colors = [marks.color_of(place) for place in range(3)]
    drawn = marks.boxes(photo, corners, ["disc 0.91", "triangle 0.55", ""], colors)
    assert drawn.size == photo.size
    assert drawn.getpixel((0, 40)) == color(colors[0])
    assert drawn.getpixel((256, 180)) == color(colors[1])
    assert drawn.getpixel((128, 120)) == color(colors[2])
    assert drawn.getpixel((160, 120)) == (255, 255, 255)
    pixels = np.asarray(drawn).reshape(-1, 3)
    shown = [(pixels == color(one)).all(axis=1).sum() for one in colors]
    # A caption covers more than the outline of a box.
    assert shown[1] > shown[2] > 0
    assert marks.color_of(0) == marks.color_of(len(marks.CLASSES))


def test_nothing_is_drawn_for_no_box() -> None:
    photo = Image.new("RGB", (32, 24), "white")
    drawn = marks.boxes(photo, np.zeros((0, 4)), [], [])
    assert (np.asarray(drawn) == 255).all()


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("count", [2, 60])
def test_figures_show_their_tables(theme, count: int) -> None:
    names = [f"{'left_eye' if count < 10 else ''}{number}" for number in range(count)]
    errors = np.linspace(1, 3, count)
    table = pd.DataFrame({"name": names, "mean_error_px": errors, "mean_shape_px": errors + 2})
    (axes,) = keypoints.per_point(table, theme).axes
    assert [bar.get_height() for bar in axes.patches] == list(errors[::-1])
    assert len(axes.get_xticks()) == (count if count < 10 else 0)
    curve = pd.DataFrame({"distance": [0.0, 0.1], "model": [0.0, 1.0], "mean_shape": [0.0, 0.5]})
    (axes,) = keypoints.pck(curve, "the image's diagonal", theme).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0, 1], [0, 0.5]]
    assert axes.get_xlabel() == "error, in the image's diagonal"
    recall = np.linspace(0, 1, 5)
    curves = [pd.DataFrame({"class": name, "recall": recall, "precision": 1 - recall}) for name in names]
    (axes,) = detection.precision_recall(pd.concat(curves), theme).axes
    assert len(axes.lines) == count
    assert len(axes.get_legend().get_texts()) == min(count, detection.MOST_NAMES)
