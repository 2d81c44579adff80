"""Figures of two samples of one measure: from plain data and a Theme to a matplotlib Figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, Theme, canvas, legend

#: Bars of a histogram; what lies outside the middle 99 % of both samples is drawn at its ends.
_BARS, _MIDDLE = 30, (0.005, 0.995)
#: Inches: a phone shows the whole width.
_WIDTH = 4.6


def numbers(reference: np.ndarray, live: np.ndarray, name: str, theme: Theme = LIGHT) -> Figure:
    """Draw the histograms of two samples over each other, in shares.

    Args:
        reference: float [examples].
        live: float [examples].
        name: of the measure.
        theme: colours.
    """
    figure, (axes,) = canvas(_WIDTH, 2.8, theme)
    ends = np.quantile(np.concatenate([reference, live]), _MIDDLE)
    low, high = ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[0] + 0.5)
    edges = np.linspace(low, high, _BARS + 1).tolist()
    for values, label, colour in ((reference, "training", theme.good), (live, "live", theme.bad)):
        shares = np.full(len(values), 1 / len(values))
        axes.hist(np.clip(values, low, high), edges, weights=shares, color=colour, alpha=0.55, label=label)
    axes.set(xlabel=name, ylabel="share of examples")
    legend(axes, theme, columns=2)
    return figure


def categories(
    names: Sequence[str], reference: np.ndarray, live: np.ndarray, name: str, theme: Theme = LIGHT
) -> Figure:
    """Draw the shares of categories in two samples beside each other.

    Args:
        names: of the categories, in the order in which they are drawn.
        reference: counts [categories].
        live: counts [categories].
        name: of the measure.
        theme: colours.
    """
    figure, (axes,) = canvas(_WIDTH, 1.2 + 0.32 * len(names), theme)
    places = np.arange(len(names))
    for counts, label, colour, shift in (
        (reference, "training", theme.good, -0.19),
        (live, "live", theme.bad, 0.19),
    ):
        axes.barh(places + shift, counts / counts.sum(), height=0.36, color=colour, label=label)
    axes.set_yticks(places, [one if len(one) <= 24 else f"{one[:23]}…" for one in names])
    axes.invert_yaxis()
    axes.set(xlabel=f"{name}: share of examples")
    legend(axes, theme, columns=2)
    return figure
