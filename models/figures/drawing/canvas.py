"""What figures are drawn on: colours for light and dark pages, styled axes, SVG and PNG.

Figures are objects of their own, without matplotlib's global state, so that flows may draw from
any thread. The series colours are those of Okabe and Ito ("Color Universal Design", 2008), told
apart with any colour vision.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from models.figures.drawing.lettering import typeset


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    Attributes:
        paper: background of the page it will stand on; the figure itself stays transparent
            where ``opaque`` is False.
        ink: text and axes.
        muted: secondary text.
        grid: grid lines and empty cells.
        good: the main series, and what is right.
        bad: the contrasting series, and what is wrong.
        third: one more series.
        opaque: paint the paper.
    """

    paper: str
    ink: str
    muted: str
    grid: str
    good: str
    bad: str
    third: str
    opaque: bool


#: Inches of a usual figure: on a phone it is shown at three quarters of its size, and can still be read.
WIDTH = 4.5

LIGHT = Theme("#ffffff", "#1f2328", "#59636e", "#e2e6ea", "#0072b2", "#d55e00", "#009e73", True)
DARK = Theme("#151a21", "#e6eaee", "#9aa4af", "#2e3640", "#56b4e9", "#f0884a", "#3fbf95", False)


def svg(figure: Figure) -> bytes:
    """Draw a figure as SVG; text becomes outlines, so it looks the same on every machine."""
    return _written(figure, "svg", metadata={"Date": None, "Creator": None})


#: A colour in an SVG, and the background of the figure, which is drawn first.
_COLOR = re.compile(rb"#[0-9a-f]{6}\b")
_PAPER = re.compile(rb'(<g id="patch_1">\s*<path [^>]*style="fill: )[^;"]+')


def in_colors_of(theme: Theme, drawing: bytes) -> bytes | None:
    """Return an SVG of the light theme in the colours of another: drawing it again takes much longer.

    Args:
        theme: that is not opaque.
        drawing: what `svg` wrote of a figure in `LIGHT`.

    Returns:
        The SVG; None where it has pictures, or colours of no theme: they may be mixed of the theme's.
    """
    names = [field.name for field in fields(Theme) if field.name != "opaque"]
    colors = {getattr(LIGHT, name).encode(): getattr(theme, name).encode() for name in names}
    if b"<image" in drawing or not set(_COLOR.findall(drawing)) <= colors.keys():
        return None
    recolored = _COLOR.sub(lambda color: colors[color[0]], drawing)
    return _PAPER.sub(rb"\1none", recolored, count=1)


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Draw a figure as PNG with ``dpi`` pixels per inch."""
    return _written(figure, "png", dpi=dpi, metadata={"Software": None})


def _written(figure: Figure, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    typeset(figure)
    figure.savefig(stream, format=kind, facecolor=figure.get_facecolor(), **options)
    return stream.getvalue()


def canvas(
    width: float,
    height: float,
    theme: Theme,
    *,
    heights: Sequence[float] = (1,),
    grid: tuple[int, int] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Make a figure of ``width`` by ``height`` inches with empty axes in the theme's colours.

    ``heights`` stacks panels, ``grid`` lays out rows and columns of pictures instead.
    """
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07))
    FigureCanvasAgg(figure)
    figure.set_facecolor(theme.paper if theme.opaque else "none")
    if grid:
        panels = list(np.ravel(figure.subplots(*grid, squeeze=False)))
    else:
        ratios = {"height_ratios": list(heights)}
        panels = list(np.ravel(figure.subplots(len(heights), 1, squeeze=False, gridspec_kw=ratios)))
    for axes in panels:
        _style(axes, theme)
    return figure, panels


def _style(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)
    axes.tick_params(colors=theme.ink, labelsize=10, which="both")
    axes.xaxis.label.set(color=theme.ink, fontsize=10.5)
    axes.yaxis.label.set(color=theme.ink, fontsize=10.5)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)


def legend(axes: Axes, theme: Theme, *, columns: int, title: str | None = None, raised: bool = False) -> None:
    """Put the legend above the axes, where it covers no data, in the order of drawing.

    ``raised`` leaves room for a line of text between the axes and the legend.
    """
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda at: (not hasattr(handles[at], "patches"), at))
    box = axes.legend(
        [handles[at] for at in order],
        [names[at] for at in order],
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        borderaxespad=2.0 if raised else 0.6,
        handlelength=1.6,
        columnspacing=1.4,
        title=title,
        alignment="left",
    )
    box.get_title().set(color=theme.ink, fontsize=9.5, fontweight="bold")
