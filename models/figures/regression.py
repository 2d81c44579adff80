"""Figures of predicted numbers: each takes plain data and a Theme and returns a matplotlib Figure."""

import numpy as np
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas

#: Points that are drawn; more of them only hide each other.
MOST_POINTS = 2000
SIDE = WIDTH


def predictions(targets: np.ndarray, values: np.ndarray, name: str, theme: Theme = LIGHT) -> Figure:
    """Draw predicted against true numbers, with the line of right answers.

    Args:
        targets: float [examples].
        values: predictions, float [examples].
        name: of the number.
        theme: colours.
    """
    figure, (axes,) = canvas(SIDE, SIDE, theme)
    low, high = _range(np.concatenate([targets, values]))
    axes.plot([low, high], [low, high], color=theme.muted, linewidth=1, linestyle="--")
    rows = _few(len(targets))
    axes.scatter(targets[rows], values[rows], s=9, color=theme.good, alpha=_opacity(len(rows)), linewidths=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"true {name}", ylabel=f"predicted {name}")
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    return figure


def residuals(targets: np.ndarray, values: np.ndarray, name: str, theme: Theme = LIGHT) -> Figure:
    """Draw how large errors are: their histogram, and each by the number predicted.

    Arguments as of `predictions`; an error is predicted less true.
    """
    figure, (above, below) = canvas(WIDTH, 4.8, theme, heights=(1, 1.4))
    errors = values - targets
    above.hist(errors, bins=min(60, max(10, len(errors) // 8)), color=theme.good)
    above.set(xlabel=f"predicted less true {name}", ylabel="examples")
    rows = _few(len(errors))
    below.axhline(0, color=theme.muted, linewidth=1, linestyle="--")
    below.scatter(values[rows], errors[rows], s=9, color=theme.good, alpha=_opacity(len(rows)), linewidths=0)
    below.set(xlabel=f"predicted {name}", ylabel="predicted less true")
    for axes in (above, below):
        axes.locator_params(axis="x", nbins=5)
    return figure


def _range(numbers: np.ndarray) -> tuple[float, float]:
    low, high = float(numbers.min()), float(numbers.max())
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _few(count: int) -> np.ndarray:
    """Choose evenly spread examples where there are too many to draw."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))


def _opacity(count: int) -> float:
    return float(np.clip(60 / np.sqrt(max(count, 1)) / 6, 0.25, 0.9))
