"""Figures of classes in a plane: examples as marks over the shades of the network's answers."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from models.explain.representation import Field, View
from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas, legend
from models.figures.drawing.lettering import shorten

#: Classes with a mark of their own; the others share one.
MOST_CLASSES = 9
#: Shade of a place where the network is sure, and where it is not.
_SURE, _UNSURE = 0.5, 0.08


def decision(view: View, targets: np.ndarray, labels: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Draw what a network answers for every pair of numbers, and examples in their true classes.

    Args:
        view: of the inputs.
        targets: int [n], the true class of each point.
        labels: of the classes.
        theme: colours.
    """
    figure, (axes,) = canvas(WIDTH, 4.6, theme)
    _draw(axes, view, targets, labels, theme)
    legend(axes, theme, columns=_columns(labels))
    return figure


def before_and_after(
    views: Sequence[View], targets: np.ndarray, labels: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draw the last hidden layer before training above the same examples after it.

    Args:
        views: of the layer before and after training.
        targets: int [n], the true class of each point.
        labels: of the classes.
        theme: colours.
    """
    figure, panels = canvas(WIDTH, 8.0, theme, heights=(1,) * len(views))
    for axes, view, when in zip(panels, views, ("before training", "after training"), strict=True):
        _draw(axes, view, targets, labels, theme)
        axes.set_title(when, fontsize=9.5, color=theme.ink, loc="right")
    legend(panels[0], theme, columns=_columns(labels), raised=True)
    return figure


def _columns(labels: Sequence[str]) -> int:
    # So many characters, with the marks before them, stand in one line below the figure.
    fitting = 60 // (max(map(len, labels)) + 4)
    return max(1, min(len(labels), MOST_CLASSES + 1, 3, fitting))


def _styles(theme: Theme) -> list[tuple[str, str]]:
    """Return the markers and colours of the classes in order; the last one is for all others."""
    colors, marks = (theme.good, theme.bad, theme.third), ("o", "^", "s")
    return [*product(marks, colors), ("x", theme.muted)]


def _draw(axes: Axes, view: View, targets: np.ndarray, labels: Sequence[str], theme: Theme) -> None:
    styles = _styles(theme)
    if view.field is not None:
        _shade(axes, view.field, [to_rgb(color) for _, color in styles], theme)
    group = np.minimum(targets, MOST_CLASSES)
    for number in np.unique(group):
        mark, color = styles[number]
        name = shorten(labels[number], 16) if number < MOST_CLASSES else "other classes"
        chosen = view.points[group == number]
        edge: dict[str, Any] = {"markeredgecolor": theme.paper, "markeredgewidth": 0.5} if mark != "x" else {}
        axes.plot(chosen[:, 0], chosen[:, 1], mark, color=color, markersize=5, label=name, zorder=3, **edge)
    axes.set(xlabel=shorten(view.axes[0], 40), ylabel=shorten(view.axes[1], 30) if view.axes[1] else "")


def _shade(axes: Axes, field: Field, colors: Sequence[tuple[float, float, float]], theme: Theme) -> None:
    classes = field.scores.shape[-1]
    best = field.scores.argmax(-1)
    sure = (field.scores.max(-1) - 1 / classes) / (1 - 1 / classes)
    strength = (_UNSURE + (_SURE - _UNSURE) * sure)[..., np.newaxis]
    full = np.array([colors[min(number, MOST_CLASSES)] for number in range(classes)])[best]
    shades = np.asarray(to_rgb(theme.paper)) * (1 - strength) + full * strength
    edges = (field.x[0], field.x[-1], field.y[0], field.y[-1])
    axes.imshow(shades, extent=edges, origin="lower", aspect="auto", interpolation="bilinear", zorder=0)
    for number in range(classes if classes > 2 else 1):
        lead = field.scores[..., number] - np.delete(field.scores, number, -1).max(-1)
        if lead.min() < 0 < lead.max():
            axes.contour(field.x, field.y, lead, levels=[0], colors=theme.ink, linewidths=1.2, zorder=2)
    axes.grid(visible=False)
