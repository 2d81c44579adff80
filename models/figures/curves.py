"""Learning curves and latencies."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas, legend
from models.figures.drawing.lettering import shorten
from models.figures.drawing.marks import color_of

#: Trainings that the legend names, each in a colour of its own.
NAMED = 8


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
    figure, panels = canvas(WIDTH, 0.5 + 2.0 * len(names), theme, heights=(1,) * len(names))
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


def compared(
    trainings: Mapping[str, Sequence[Mapping[str, object]]], main: str, theme: Theme = LIGHT, best: str = ""
) -> Figure:
    """Draw the same metric of several trainings over their epochs, one line each.

    Args:
        trainings: by name, the epochs of each as of `learning_curves`.
        main: the metric that decides, drawn below the loss; that of the validation split where there is one.
        theme: colours.
        best: name of the training that stands out.
    """
    tables = {name: _series(epochs) for name, epochs in trainings.items()}
    names = [
        metric
        for metric in dict.fromkeys(("loss", main))
        if any(_shown(table, metric) for table in tables.values())
    ]
    figure, panels = canvas(WIDTH, 0.7 + 2.3 * max(1, len(names)), theme, heights=(1,) * max(1, len(names)))
    few = len(tables) <= NAMED
    for axes, metric in zip(panels, names, strict=False):
        for place, (name, table) in enumerate(tables.items()):
            if series := _shown(table, metric):
                split, values = series
                axes.set_ylabel(shorten(f"{split} {metric.replace('_', ' ')}", 30))
                color = theme.bad if name == best else color_of(place) if few else theme.muted
                line = {
                    "color": color,
                    "alpha": 1 if few or name == best else 0.55,
                    "zorder": 3 if name == best else 2,
                }
                label = shorten(name, 22) if few or name == best else None
                axes.plot(np.arange(1, len(values) + 1), values, label=label, **(_stroke(values) | line))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        axes.tick_params(labelbottom=axes is panels[-1])
    panels[-1].set_xlabel("epoch")
    if panels[0].get_legend_handles_labels()[1]:
        legend(panels[0], theme, columns=3)
    return figure


def _shown(table: Mapping[tuple[str, str], np.ndarray], metric: str) -> tuple[str, np.ndarray] | None:
    """Return a metric of the validation split, or of the training split where there is no other."""
    splits = [split for split in ("validation", "train") if (split, metric) in table]
    return (splits[0], table[splits[0], metric]) if splits else None


def _stroke(values: np.ndarray) -> dict:
    finite = int(np.isfinite(values).sum())
    marked = {"marker": "o", "markersize": 3.5} if finite <= 30 else {}
    return {"linewidth": 1.8} | marked


def _series(epochs: Sequence[Mapping[str, object]]) -> dict[tuple[str, str], np.ndarray]:
    """Sort the metrics by (split, metric): float [epochs] each, NaN where an epoch lacks one."""
    series: dict[tuple[str, str], np.ndarray] = {}
    for position, epoch in enumerate(epochs):
        for name, value in epoch.items():
            if isinstance(value, (int, float)) and name not in ("epoch", "step", "learning_rate", "seconds"):
                key = _split_of(name)
                series.setdefault(key, np.full(len(epochs), np.nan))[position] = value
    return series


def _split_of(name: str) -> tuple[str, str]:
    split, slash, metric = name.partition("/")
    if slash:
        return split, metric
    return ("validation", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)


def _phases(panels: Sequence[Axes], phases: Sequence[str], theme: Theme) -> bool:
    """Mark where one phase ends and the next begins, and name them where there are several.

    Returns:
        True if names were written above the first panel.
    """
    starts = [at for at, phase in enumerate(phases) if at == 0 or phase != phases[at - 1]]
    for start in starts[1:]:
        for axes in panels:
            axes.axvline(start + 0.5, color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
    if len(starts) < 2:
        return False
    for start, end in zip(starts, [*starts[1:], len(phases)], strict=True):
        room = max(3, int(46 * (end - start) / len(phases)))
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
