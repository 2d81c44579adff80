"""One drawing in the colours of two themes."""

import itertools
import re
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from models.figures import classification, curves, regression
from models.figures.drawing.canvas import DARK, LIGHT, Theme, canvas, in_colors_of, svg

EPOCHS = [{"epoch": n, "phase": "train", "loss": 1 / n, "val_loss": 1.1 / n} for n in range(1, 9)]
TRUE, PREDICTED = np.linspace(0, 1, 40), np.linspace(0.1, 0.8, 40)


def plain(drawing: bytes) -> bytes:
    """Number the names that depend on colours, and leave out the outline of the paper."""
    numbers: dict[bytes, bytes] = {}
    count = itertools.count()

    def number(name: re.Match[bytes]) -> bytes:
        return numbers.setdefault(name[1], b"m%d" % next(count))

    drawing = re.sub(rb"\b(m[0-9a-f]{10})\b", number, drawing)
    return re.sub(rb'(<g id="patch_1">\s*<path d=")[^"]*', rb"\1", drawing)


@pytest.mark.parametrize(
    "draw",
    [
        lambda theme: curves.learning_curves(EPOCHS, theme),
        lambda theme: curves.latency([1.0, 2.0, 2.5, 9.0] * 9, theme),
        lambda theme: regression.predictions(TRUE, PREDICTED, "price", theme),
        lambda theme: regression.residuals(TRUE, PREDICTED, "price", theme),
    ],
)
def test_a_light_drawing_in_dark_colours_is_the_dark_drawing(draw: Callable[[Theme], Figure]) -> None:
    with matplotlib.rc_context({"svg.hashsalt": "the same"}):
        light, dark = svg(draw(LIGHT)), svg(draw(DARK))
    recolored = in_colors_of(DARK, light)
    assert recolored is not None
    assert plain(recolored) == plain(dark)
    assert plain(recolored) != plain(light)


def other_color(theme: Theme) -> Figure:
    figure, (axes,) = canvas(3, 2, theme)
    axes.plot([0, 1], color="#123456")
    return figure


@pytest.mark.parametrize(
    "draw", [other_color, lambda theme: classification.confusion(np.eye(2, dtype=int), ["a", "b"], theme)]
)
def test_what_has_other_colours_or_pictures_is_drawn_again(draw: Callable[[Theme], Figure]) -> None:
    assert in_colors_of(DARK, svg(draw(LIGHT))) is None
