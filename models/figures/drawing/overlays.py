"""A heatmap over what the network saw: the picture of one answer of ``occlusion`` or ``grad_cam``."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from models.figures.drawing.canvas import LIGHT, Theme, canvas
from models.figures.drawing.lettering import shorten

#: How much of the grey picture the strongest heat covers.
COVER = 0.85
#: Below this, relative to the strongest, heat is no more than the noise of the arithmetic.
LEAST = 1e-6


@dataclass(frozen=True)
class Explanation:
    """What one row of an answer says.

    Attributes:
        seen: what the network saw: uint8 [height, width, 3], or decibels, float [frames, bands].
        heat: float [rows, columns], over the same axes.
        cell: pixels from row to row and from column to column; None if the map just spans the whole.
        signed: whether below 0 speaks against the label; else there is nothing below 0.
        label: that is explained.
        score: of the label, unoccluded.
        seconds: of a sound, the middle of each row.
        hertz: of a sound, the middle of each column.
    """

    seen: np.ndarray
    heat: np.ndarray
    cell: int | None
    signed: bool
    label: str
    score: float
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0))
    hertz: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def sound(self) -> bool:
        """Whether it is of a sound."""
        return self.seen.ndim == 2

    @property
    def reach(self) -> float:
        """The strongest heat, whichever its sign."""
        return float(np.abs(self.heat).max(initial=0.0))


def read(outputs: Mapping[str, np.ndarray], row: int = 0) -> Explanation:
    """Read one row of the outputs of ``occlusion`` or ``grad_cam``."""
    rows, columns = int(outputs["rows"][row]), int(outputs["columns"][row])
    sound = "decibels" in outputs
    stride = outputs.get("stride")
    if sound:
        frames = outputs["decibels"][row]
        # Rows of zeros are below the end of a shorter sound.
        network_input = frames[: int(np.flatnonzero(frames.any(1)).max(initial=0)) + 1]
    else:
        with Image.open(io.BytesIO(outputs["seen_bytes"][row])) as opened:
            network_input = np.asarray(opened.convert("RGB"))
    heard: dict[str, Any] = {}
    if sound:
        heard = {"seconds": outputs["seconds"][row][:rows], "hertz": outputs["hertz"][row][:columns]}
    return Explanation(
        network_input,
        outputs["heatmap"][row, :rows, :columns],
        int(stride[row]) if stride is not None else 1 if sound else None,
        stride is not None,
        outputs["label"][row].decode("utf-8", "replace"),
        float(outputs["score"][row]),
        **heard,
    )


def picture(explanation: Explanation) -> np.ndarray:
    """Draw what was seen alone, a sound with time to the right and high bands on top: uint8 [h, w, 3]."""
    if not explanation.sound:
        return explanation.seen
    levels = explanation.seen.T[::-1]
    shades = (levels - levels.min()) / max(float(np.ptp(levels)), 1e-6)
    return (shades[..., np.newaxis].repeat(3, 2) * 255).astype(np.uint8)


def overlaid(explanation: Explanation, theme: Theme = LIGHT) -> np.ndarray:
    """Colour the grey picture where the heat is: uint8 [h, w, 3], the stronger the more of it is covered."""
    grey = picture(explanation) @ np.array([0.299, 0.587, 0.114]) / 255
    heat = _spread(explanation, theme)
    share = COVER * np.abs(heat)[..., np.newaxis]
    colors = np.where(heat[..., np.newaxis] > 0, to_rgb(theme.good), to_rgb(theme.bad))
    return ((grey[..., np.newaxis] * (1 - share) + colors * share) * 255).round().astype(np.uint8)


def _spread(explanation: Explanation, theme: Theme) -> np.ndarray:
    """Bring the heat to the picture's pixels, from -1 to 1."""
    height, width = explanation.seen.shape[:2]
    cell, heat = explanation.cell, explanation.heat.astype(np.float32)
    heat = heat / max(explanation.reach, LEAST)
    size = (heat.shape[1] * cell, heat.shape[0] * cell) if cell else (width, height)
    wide = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))[:height, :width]
    return wide.T[::-1] if explanation.sound else wide


def figure(explanation: Explanation, title: str, theme: Theme = LIGHT) -> Figure:
    """Draw what was seen and the heat over it, with a colour bar, the label and its score.

    Args:
        explanation: what is drawn.
        title: such as the file's name.
        theme: colours; against the label takes the contrasting one.
    """
    height, width = picture(explanation).shape[:2]
    if explanation.sound:
        drawn, panels = canvas(7.0, 5.2, theme, heights=(1, 1))
    else:
        side = float(np.clip(3.3 * height / width, 1.6, 6.6))
        drawn, panels = canvas(7.6, side + 0.7, theme, grid=(1, 2))
    caption = f"{shorten(explanation.label, 30)} {explanation.score:.3f}"
    for axes, image, words in zip(
        panels,
        (picture(explanation), overlaid(explanation, theme)),
        (shorten(title, 38), caption),
        strict=True,
    ):
        _show(axes, image, explanation)
        axes.set_title(words, fontsize=10, color=theme.ink, loc="left")
    _bar(drawn, panels, explanation, theme)
    return drawn


def _show(axes: Axes, image: np.ndarray, explanation: Explanation) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    if not explanation.sound:
        axes.imshow(image, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    seconds, hertz, cell = explanation.seconds, explanation.hertz, explanation.cell or 1
    frames, bands = explanation.seen.shape
    frame = (seconds[1] - seconds[0]) / cell if len(seconds) > 1 else 1 / max(frames, 1)
    extent = (0.0, frames * frame, 0, bands)
    axes.imshow(image, interpolation="nearest", aspect="auto", extent=extent)
    ticks = np.unique(np.linspace(0, len(hertz) - 1, min(6, len(hertz))).round().astype(int))
    middles = np.minimum((ticks + 0.5) * cell, bands - 0.5)
    axes.set_yticks(middles, [f"{hertz[tick]:,.0f}" for tick in ticks])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
    axes.set(xlabel="seconds", ylabel="Hz")


def _bar(drawn: Figure, panels: list[Axes], explanation: Explanation, theme: Theme) -> None:
    reach = max(explanation.reach, LEAST)
    ends = [theme.bad, theme.paper, theme.good] if explanation.signed else [theme.paper, theme.good]
    ramp = LinearSegmentedColormap.from_list("heat", ends)
    scale = ScalarMappable(Normalize(-reach if explanation.signed else 0, reach), ramp)
    bar = drawn.colorbar(scale, ax=panels if explanation.sound else panels[-1], fraction=0.05, pad=0.02)
    words = "taken from the score by hiding it" if explanation.signed else "evidence in the logit"
    bar.set_label(words, color=theme.ink, fontsize=9)
    bar.ax.tick_params(colors=theme.ink, labelsize=8)
    bar.outline.set_visible(False)
