"""Figures of predicted points: each takes plain data and a Theme and returns a matplotlib Figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas, legend

#: Points whose names stand below the bars.
MOST_NAMES = 40


def pck(curve: pd.DataFrame, normalised_by: str, theme: Theme = LIGHT) -> Figure:
    """Draw the share of points within each distance, beside that of the mean shape.

    Args:
        curve: ``distance``, and the shares ``model`` and ``mean_shape``.
        normalised_by: the unit of the distance, in words.
        theme: colours.
    """
    figure, (axes,) = canvas(WIDTH, 3.8, theme)
    axes.plot(curve["distance"], curve["model"], color=theme.good, label="this model")
    axes.plot(curve["distance"], curve["mean_shape"], color=theme.muted, linestyle="--", label="mean shape")
    axes.set(
        xlim=(0, float(curve["distance"].max())),
        ylim=(0, 1.02),
        xlabel=f"error, in {normalised_by}",
        ylabel="share of points within",
    )
    axes.legend(frameon=False, loc="lower right", labelcolor=theme.ink)
    return figure


def per_point(table: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Draw the mean error of each point, the largest first, with that of the mean shape.

    Args:
        table: ``name``, ``mean_error_px`` and ``mean_shape_px``.
        theme: colours.
    """
    table = table.sort_values("mean_error_px", ascending=False, kind="stable")
    figure, (axes,) = canvas(max(WIDTH, 1.2 + 0.22 * len(table)), 3.8, theme)
    places = np.arange(len(table))
    axes.bar(places, table["mean_error_px"], color=theme.good, width=0.8, label="this model")
    axes.scatter(places, table["mean_shape_px"], color=theme.muted, s=8, label="mean shape", zorder=3)
    axes.set(xlabel="point", ylabel="mean error in pixels", xlim=(-0.8, len(table) - 0.2))
    few = len(table) <= MOST_NAMES
    axes.set_xticks(places if few else [])
    if few:
        turned = max(map(len, table["name"])) > 3
        axes.set_xticklabels(table["name"], rotation=60 if turned else 0, ha="right" if turned else "center")
    legend(axes, theme, columns=2)
    return figure
