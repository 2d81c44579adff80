"""How much each column of a table matters."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas
from models.figures.drawing.lettering import shorten

#: Columns that are drawn, the most important ones.
MOST = 30


def importance(table: pd.DataFrame, what: str, theme: Theme = LIGHT) -> Figure:
    """Draw a bar for each column, the most important first, with the deviation over the repeats.

    Args:
        table: ``column``, ``importance`` and ``deviation``, as `models.explain.importance` returns it.
        what: the score that falls, such as accuracy.
        theme: colours.
    """
    rows = table.head(MOST)
    figure, (axes,) = canvas(WIDTH, 1.0 + 0.27 * max(len(rows), 2), theme)
    places = np.arange(len(rows))
    axes.barh(places, rows["importance"], height=0.62, color=theme.good, zorder=2)
    axes.errorbar(
        rows["importance"],
        places,
        xerr=rows["deviation"],
        fmt="none",
        ecolor=theme.ink,
        elinewidth=1.2,
        capsize=2.5,
        zorder=3,
    )
    axes.axvline(0, color=theme.muted, linewidth=1)
    axes.set_yticks(places, [shorten(name, 24) for name in rows["column"]])
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"fall of {what} when shuffled")
    axes.grid(axis="y", visible=False)
    return figure
