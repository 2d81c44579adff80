"""Figures of an evaluation: each takes plain data and a Theme and returns a matplotlib Figure.

``models.figures.canvas`` turns a Figure into SVG or PNG.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.figures.canvas import LIGHT, Theme, canvas, legend
from models.figures.lettering import shorten

WIDTH = 6.0  #: inches; a report shows figures about this wide
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


def learning_curves(epochs: Sequence[Mapping[str, object]], theme: Theme = LIGHT) -> Figure:
    """Draw every metric over the epochs of all phases, training beside validation.

    Args:
        epochs: one mapping per epoch, in order: ``phase`` (a name), and metrics named
            ``train/<metric>`` and ``validation/<metric>`` (Keras's ``<metric>`` and
            ``val_<metric>`` are understood too). Other keys and other types are ignored.
        theme: colours.
    """
    table = _series(epochs)
    names = sorted({metric for _, metric in table}, key=lambda name: (name != "loss", name)) or ["loss"]
    figure, panels = canvas(WIDTH, 0.5 + 2.3 * len(names), theme, heights=(1,) * len(names))
    steps = np.arange(1, len(epochs) + 1)
    for axes, metric in zip(panels, names, strict=True):
        for split, color in (("train", theme.muted), ("validation", theme.good)):
            if (split, metric) in table:
                values = table[split, metric]
                axes.plot(steps, values, color=color, label=split, **_stroke(values))
        axes.set_ylabel(shorten(metric.replace("_", " "), 26))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        axes.tick_params(labelbottom=axes is panels[-1])
        axes.set_xlim(0.5, max(len(epochs), 1) + 0.5)
    named = _phases(panels, [str(epoch.get("phase", "")) for epoch in epochs], theme)
    panels[-1].set_xlabel("epoch")
    legend(panels[0], theme, columns=2, raised=named)
    return figure


def _stroke(values: np.ndarray) -> dict:
    finite = int(np.isfinite(values).sum())
    marked = {"marker": "o", "markersize": 3.5} if finite <= 30 else {}
    return {"linewidth": 1.8} | marked


def _series(epochs: Sequence[Mapping[str, object]]) -> dict[tuple[str, str], np.ndarray]:
    """Sort the metrics by (split, metric): float [epochs] each, NaN where an epoch lacks one."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for position, epoch in enumerate(epochs):
        for name, value in epoch.items():
            if isinstance(value, (int, float)) and name not in ("epoch", "step", "learning_rate", "seconds"):
                key = _split_of(name)
                found.setdefault(key, np.full(len(epochs), np.nan))[position] = value
    return found


def _split_of(name: str) -> tuple[str, str]:
    split, slash, metric = name.partition("/")
    if slash:
        return split, metric
    return ("validation", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)


def _phases(panels: Sequence[Axes], phases: Sequence[str], theme: Theme) -> bool:
    """Mark where one phase ends and the next begins, and name them where there are several.

    Returns:
        True where names were written above the first panel.
    """
    starts = [at for at, phase in enumerate(phases) if at == 0 or phase != phases[at - 1]]
    for start in starts[1:]:
        for axes in panels:
            axes.axvline(start + 0.5, color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
    if len(starts) < 2:
        return False
    for start, end in zip(starts, [*starts[1:], len(phases)], strict=True):
        room = max(3, int(62 * (end - start) / len(phases)))
        panels[0].annotate(
            shorten(phases[start], room),
            (start + 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=theme.muted,
        )
    return True


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


def latency(milliseconds: Sequence[float], theme: Theme = LIGHT) -> Figure:
    """Draw the distribution of the time per request, with its percentiles.

    Args:
        milliseconds: one duration per request.
        theme: colours.
    """
    values = np.asarray(milliseconds, np.float64)
    figure, (axes,) = canvas(WIDTH, 2.9, theme)
    top = max(float(np.quantile(values, 0.995)) * 1.05, float(np.finfo(np.float32).tiny))
    axes.hist(np.minimum(values, top), bins=min(40, max(5, len(values) // 4)), color=theme.good, zorder=2)
    dashes = ("solid", (0, (5, 2)), (0, (1, 1.5)))
    for percentile, style in zip((50, 95, 99), dashes, strict=True):
        value = float(np.percentile(values, percentile))
        axes.axvline(
            value,
            color=theme.bad,
            linewidth=1.6,
            linestyle=style,
            label=f"p{percentile} {value:.3g} ms",
            zorder=3,
        )
    axes.set(xlabel="milliseconds per request", ylabel="requests")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
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
    shown = np.moveaxis(np.asarray(weights, np.float64), -1, 0)[:most]
    colored = shown.shape[-1] == 3
    tiles = shown if colored else shown.mean(axis=-1)
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


def gallery(images: Sequence[np.ndarray], captions: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Draw images in rows of four, each over its caption.

    Args:
        images: uint8 [height, width, 3] each, of any size.
        captions: lines of text each; a line is shortened to the width of its image.
        theme: colours.
    """
    columns = min(4, max(len(images), 1))
    rows = max(1, -(-len(images) // columns))
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    figure, panels = canvas(2.0 * columns, (2.0 + 0.16 * lines) * rows, theme, grid=(rows, columns))
    for axes in panels:
        axes.set_axis_off()
        axes.set_anchor("NW")
    for axes, image, caption in zip(panels, images, captions, strict=False):
        axes.imshow(image)
        text = "\n".join(shorten(line, 27) for line in caption.split("\n"))
        axes.set_title(text, fontsize=7.5, color=theme.ink, pad=4, loc="left")
    return figure


def flattened(vectors: np.ndarray) -> np.ndarray:
    """Bring vectors [n, d] into a plane, near ones near: t-SNE over cosines, float [n, 2]."""
    from sklearn.manifold import TSNE

    perplexity = float(min(20, max(1, (len(vectors) - 1) // 3)))
    # Exact for a few hundred points, and the same picture each time; of more its time grows too fast.
    method = "exact" if len(vectors) <= 500 else "barnes_hut"
    found = TSNE(2, perplexity=perplexity, metric="cosine", init="random", method=method, random_state=0)
    return np.asarray(found.fit_transform(np.asarray(vectors, np.float64)))


def principal(vectors: np.ndarray) -> np.ndarray:
    """Bring vectors [n, d], d at least 2, into the plane of their two principal components, float [n, 2]."""
    from sklearn.decomposition import PCA

    return np.asarray(PCA(2, random_state=0).fit_transform(np.asarray(vectors, np.float64)))


def word_map(points: np.ndarray, words: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Write words at their places.

    Args:
        points: float [n, 2].
        words: n of them.
        theme: colours.
    """
    figure, (axes,) = canvas(11.0, 6.0, theme)
    axes.plot(points[:, 0], points[:, 1], ".", markersize=3, color=theme.good)
    for (x, y), word in zip(points, words, strict=True):
        axes.annotate(
            shorten(word, 16), (x, y), (2, 2), textcoords="offset points", fontsize=7.5, color=theme.ink
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure
