"""Figures of translations: where each sub-word looked, and how good translations are by length."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas
from models.figures.drawing.lettering import shorten

#: Inches of a cell of an attention map, and characters of a sub-word's label.
_CELL, _LABEL = 0.3, 16
#: How the end of a sentence, and a blank, are drawn.
_END, _BLANK = "(end)", "\N{OPEN BOX}"


def attention(
    weights: np.ndarray, source: Sequence[str], target: Sequence[str], theme: Theme = LIGHT
) -> Figure:
    """Draw which sub-words of the source each sub-word of the translation looked at.

    Args:
        weights: float [target, source]; rows add up to 1.
        source: its sub-words, a blank where a word begins, nothing for the end.
        target: those of the translation.
        theme: colours.
    """
    rows, columns = weights.shape
    figure, (axes,) = canvas(1.4 + _CELL * columns, 1.3 + _CELL * rows, theme)
    strength = np.sqrt(weights)[..., None]
    shades = np.asarray(to_rgb(theme.paper)) * (1 - strength) + np.asarray(to_rgb(theme.good)) * strength
    axes.imshow(shades, interpolation="nearest", aspect="equal")
    axes.set_xticks(range(columns), [_shown(token) for token in source], fontsize=9, rotation=90)
    axes.set_yticks(range(rows), [_shown(token) for token in target], fontsize=9)
    axes.xaxis.tick_top()
    axes.set(xlabel="source", ylabel="translation")
    axes.xaxis.set_label_position("top")
    axes.grid(visible=False)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return figure


def _shown(token: str) -> str:
    """Show a sub-word; a blank that begins a word as a mark, which a label would lose."""
    if not token:
        return _END
    mark = _BLANK if token.startswith(" ") else ""
    return mark + shorten(token.strip(), _LABEL) if token.strip() else _BLANK


def by_length(buckets: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Draw BLEU and chrF by the length of the source, with the number of examples.

    Args:
        buckets: as `models.evaluation.measures.translations.Evaluation` has them.
        theme: colours.
    """
    figure, (axes,) = canvas(WIDTH, 3.4, theme)
    places = np.arange(len(buckets))
    for column, label, shift, color in (
        ("bleu", "BLEU", -0.2, theme.good),
        ("chrf", "chrF", 0.2, theme.third),
    ):
        axes.bar(places + shift, buckets[column], 0.38, color=color, label=label)
    names = [
        f"{name}\n({count:,d})"
        for name, count in zip(buckets["characters"], buckets["examples"], strict=True)
    ]
    axes.set_xticks(places, names, fontsize=8.5)
    axes.set(xlabel="characters of the source (examples)", ylim=(0, 100))
    axes.legend(frameon=False, fontsize=9, labelcolor=theme.ink, ncols=2, loc="upper right")
    axes.grid(axis="x", visible=False)
    return figure
