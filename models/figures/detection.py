"""Figures of predicted boxes: each takes plain data and a Theme and returns a matplotlib Figure."""

import pandas as pd
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas
from models.figures.drawing.lettering import shorten
from models.figures.drawing.marks import color_of

#: Classes that the legend names.
MOST_NAMES = 12


def precision_recall(curves: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Draw precision against recall of each class, at an overlap of a half.

    Args:
        curves: ``class``, ``recall`` and ``precision``.
        theme: colours.
    """
    figure, (axes,) = canvas(WIDTH, 4.2, theme)
    for place, (name, curve) in enumerate(curves.groupby("class", sort=False)):
        label = shorten(str(name), 24) if place < MOST_NAMES else None
        axes.plot(curve["recall"], curve["precision"], color=color_of(place), label=label, linewidth=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, loc="lower left", labelcolor=theme.ink)
    return figure
