"""Figures of an evaluation: each takes plain data and a Theme and returns a matplotlib Figure.

``models.figures.drawing.canvas`` turns a Figure into SVG or PNG.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas, legend
from models.figures.drawing.lettering import shorten

#: From this many classes on, counts no longer fit into the cells of a confusion matrix.
MOST_COUNTED = 20
MOST_BARS = 40


def confusion(matrix: np.ndarray, labels: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns predictions, shades shares of a row.

    Right answers take the one colour and mistakes the other, whose shade rises with the root of
    the share, so that one mistake in a hundred is still seen. Counts are written into the cells
    of up to 20 classes.

    Args:
        matrix: int [classes, classes].
        labels: class names.
        theme: colours.
    """
    classes = len(labels)
    side = float(np.clip(0.42 * classes + 1.9, 4.0, 10.0))
    figure, (axes,) = canvas(side, side * 0.96, theme)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(_shades(share, theme), interpolation="nearest", aspect="equal")
    _cell_grid(axes, classes, theme)
    if classes <= MOST_COUNTED:
        _counts(axes, matrix, share, theme)
    size = float(np.clip(11.5 - 0.2 * classes, 5.0, 9.5))
    names = [shorten(label, 18 if classes > 6 else 14) for label in labels]
    upright = classes <= 6 and max(map(len, names)) * classes <= 48
    ticks = range(classes)
    axes.set_xticks(ticks, names, fontsize=size, rotation=0 if upright else 90)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def _shades(share: np.ndarray, theme: Theme) -> np.ndarray:
    """Colour the cells: float [classes, classes, 3]."""
    strength = np.where(np.eye(len(share), dtype=bool), share, np.sqrt(share) * 0.85)[..., None]
    full = np.where(np.eye(len(share), dtype=bool)[..., None], to_rgb(theme.good), to_rgb(theme.bad))
    return np.asarray(to_rgb(theme.paper)) * (1 - strength) + full * strength


def _cell_grid(axes: Axes, classes: int, theme: Theme) -> None:
    edges = np.arange(-0.5, classes)
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color=theme.grid, linewidth=0.8 if classes <= MOST_COUNTED else 0.25)
    axes.grid(which="major", visible=False)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _counts(axes: Axes, matrix: np.ndarray, share: np.ndarray, theme: Theme) -> None:
    digits = len(str(matrix.max()))
    size = float(np.clip(13 - 0.3 * len(matrix) - max(0, digits - 2), 5.5, 12))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        shade = _shades(share, theme)[row, column]
        axes.text(
            column,
            row,
            f"{matrix[row, column]:d}",
            ha="center",
            va="center",
            fontsize=size,
            color=_readable(shade),
        )


def _readable(shade: np.ndarray) -> str:
    """Choose black or white text for a background by its relative luminance (WCAG 2)."""
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    return "#0d1117" if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.22 else "#ffffff"


def calibration(bands: pd.DataFrame, error: float, theme: Theme = LIGHT) -> Figure:
    """Draw accuracy against confidence over the counts of the bins.

    Args:
        bands: what ``metrics.calibration`` returned.
        error: the expected calibration error.
        theme: colours.
    """
    figure, (upper, lower) = canvas(WIDTH, 4.6, theme, heights=(3.4, 1))
    width = float(bands["upper"].iloc[0] - bands["lower"].iloc[0])
    middle = (bands["lower"] + bands["upper"]) / 2
    filled = bands["count"] > 0
    right = bands["accuracy"][filled]
    upper.bar(middle[filled], right, width * 0.86, color=theme.good, label="accuracy", zorder=2)
    confidence = bands["confidence"][filled]
    upper.plot(confidence, right, "o", color=theme.bad, markersize=5, label="at mean confidence", zorder=4)
    upper.plot([0, 1], [0, 1], color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), label="perfect", zorder=3)
    lower.bar(middle, bands["count"], width * 0.86, color=theme.muted, zorder=2)
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.tick_params(labelbottom=False)
    lower.set(xlabel="confidence", ylabel="examples", xlim=(0, 1))
    lower.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True, min_n_ticks=1))
    legend(upper, theme, title=f"ECE {error:.3f}", columns=3)
    return figure


def per_class(table: pd.DataFrame, theme: Theme = LIGHT, most: int = MOST_BARS) -> Figure:
    """Draw F1 as a bar per class with precision and recall as marks, the weakest class first.

    Args:
        table: what ``metrics.per_class`` returned.
        theme: colours.
        most: of more classes than this, the weakest are shown.
    """
    rows = table.sort_values(["f1", "support"], kind="stable").head(most)
    figure, (axes,) = canvas(WIDTH, 1.3 + 0.27 * max(len(rows), 2), theme)
    places = np.arange(len(rows))
    axes.barh(places, rows["f1"], height=0.62, color=theme.good, label="F1", zorder=2)
    edge: dict[str, Any] = {
        "color": theme.ink,
        "markeredgecolor": theme.paper,
        "markeredgewidth": 0.6,
        "clip_on": False,
    }
    axes.plot(rows["precision"], places, "D", markersize=4.5, label="precision", zorder=3, **edge)
    axes.plot(
        rows["recall"], places, "o", markersize=5.5, label="recall", zorder=4, **(edge | {"color": theme.bad})
    )
    names = [
        f"{shorten(label, 22)}  ({support:,d})"
        for label, support in zip(rows["label"], rows["support"], strict=True)
    ]
    axes.set_yticks(places, names, fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel(
        "score" if len(rows) == len(table) else f"score; weakest {len(rows)} of {len(table)} classes"
    )
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    legend(axes, theme, columns=3)
    return figure


def window_scores(
    starts: np.ndarray, scores: np.ndarray, labels: Sequence[str], theme: Theme = LIGHT, most: int = 5
) -> Figure:
    """Draw what was heard when: the scores of the strongest classes over the windows of one example.

    Args:
        starts: when each window begins, in seconds [windows].
        scores: [windows, classes].
        labels: of the classes.
        theme: colours.
        most: classes drawn.
    """
    figure, (axes,) = canvas(WIDTH, 2.6, theme)
    strongest = np.argsort(-scores.max(axis=0), kind="stable")[:most]
    styles = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)))
    colors = (theme.good, theme.bad, theme.ink, theme.muted, theme.good)
    for place, style, color in zip(strongest, styles, colors, strict=False):
        name = shorten(labels[place], 22)
        axes.plot(
            starts, scores[:, place], linestyle=style, color=color, marker="o", markersize=3, label=name
        )
    axes.set(ylim=(-0.02, 1.02), xlabel="start of the window in seconds", ylabel="score")
    legend(axes, theme, columns=min(most, len(strongest)))
    return figure


def kernels(weights: np.ndarray, theme: Theme = LIGHT, most: int = 64) -> Figure:
    """Draw the kernels of a first convolution, each in its own range with zero in the middle.

    Args:
        weights: float [height, width, channels, filters]; three channels are shown as colours,
            any other number by the mean over them.
        theme: colours.
        most: how many of the filters to show.
    """
    filters = np.moveaxis(np.asarray(weights, np.float64), -1, 0)[:most]
    colored = filters.shape[-1] == 3
    tiles = filters if colored else filters.mean(axis=-1)
    columns = min(len(tiles), 8 if len(tiles) <= 32 else 12)
    rows = -(-len(tiles) // columns)
    figure, panels = canvas(WIDTH, WIDTH / columns * rows + 0.1, theme, grid=(rows, columns))
    ramp = LinearSegmentedColormap.from_list("signed", [theme.bad, theme.paper, theme.good])
    for axes in panels:
        axes.set_axis_off()
    for axes, tile in zip(panels, tiles, strict=False):
        reach = float(np.abs(tile).max()) or 1.0
        axes.imshow(tile / reach / 2 + 0.5, cmap=ramp, vmin=0, vmax=1, interpolation="nearest")
    return figure
