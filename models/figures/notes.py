"""Figures of notes: each takes plain data and a Theme and returns a matplotlib Figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from features.targets.notes import key_name
from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas, legend

#: Keys drawn above and below the notes.
_MARGIN = 2
#: Share of a key's height that a note takes.
_THICK = 0.8


def true_and_heard(
    truth: np.ndarray, heard: np.ndarray, pairs: Sequence[tuple[int, int]], theme: Theme = LIGHT
) -> Figure:
    """Draw the piano roll of a take: notes heard rightly, missed, and heard where there are none.

    Args:
        truth: onset, offset, pitch, velocity, [notes, 4].
        heard: likewise.
        pairs: positions of a true and of a heard note that match.
        theme: colours.
    """
    figure, (axes,) = canvas(9.0, 4.2, theme)
    matched_true, matched_heard = ({pair[side] for pair in pairs} for side in (0, 1))
    missed = truth[[place for place in range(len(truth)) if place not in matched_true]]
    extra = heard[[place for place in range(len(heard)) if place not in matched_heard]]
    right = heard[sorted(matched_heard)]
    for notes, color, name in (
        (right, theme.good, f"right: {len(right):,d}"),
        (missed, theme.third, f"missed: {len(missed):,d}"),
        (extra, theme.bad, f"not played: {len(extra):,d}"),
    ):
        _bars(axes, notes, color, name)
    _keys(axes, np.concatenate([truth, heard]))
    legend(axes, theme, columns=3)
    return figure


def roll(notes: np.ndarray, theme: Theme = LIGHT) -> Figure:
    """Draw notes as a piano roll, the louder the darker.

    Args:
        notes: onset, offset, pitch, velocity, [notes, 4].
        theme: colours.
    """
    end = float(notes[:, 1].max(initial=1.0))
    figure, (axes,) = canvas(float(np.clip(end / 2, 8.0, 40.0)), 4.5, theme)
    shades = 0.35 + 0.65 * np.clip(notes[:, 3] / 127, 0, 1)
    _bars(axes, notes, theme.good, "", shades)
    _keys(axes, notes)
    return figure


def _bars(axes: Axes, notes: np.ndarray, color: str, name: str, shades: np.ndarray | None = None) -> None:
    half = _THICK / 2
    corners = [
        [(a, p - half), (b, p - half), (b, p + half), (a, p + half)] for a, b, p in notes[:, :3].tolist()
    ]
    axes.add_collection(PolyCollection(corners, facecolors=color, alpha=shades, linewidths=0, label=name))


def _keys(axes: Axes, notes: np.ndarray) -> None:
    """Set the ranges of time and keys, with the C of each octave named."""
    pitches = notes[:, 2] if len(notes) else np.array([60.0])
    low, high = int(pitches.min()) - _MARGIN, int(pitches.max()) + _MARGIN
    cs = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set(xlim=(0, float(notes[:, 1].max(initial=1.0))), ylim=(low, high), xlabel="seconds", ylabel="key")
    axes.set_yticks(cs)
    axes.set_yticklabels([key_name(pitch) for pitch in cs])


def by_take(takes: pd.DataFrame, names: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Draw the F1 of notes, of notes with their ends and of frames of each take, the worst first.

    Args:
        takes: ``note_f1``, ``note_offset_f1`` and ``frame_f1``.
        names: of the takes.
        theme: colours.
    """
    order = np.argsort(takes["note_f1"].to_numpy(), kind="stable")
    figure, (axes,) = canvas(WIDTH + 1, min(0.8 + 0.28 * len(order), 9.0), theme)
    places = np.arange(len(order))[::-1]
    for column, color, label in (
        ("note_f1", theme.good, "notes"),
        ("frame_f1", theme.third, "frames"),
        ("note_offset_f1", theme.bad, "notes with their ends"),
    ):
        axes.scatter(takes[column].to_numpy()[order], places, color=color, s=22, label=label, zorder=3)
    few = len(order) <= 40
    axes.set(xlim=(0, 1.02), xlabel="F1")
    axes.set_yticks(places if few else [])
    if few:
        axes.set_yticklabels([names[place] for place in order])
    legend(axes, theme, columns=3)
    return figure
