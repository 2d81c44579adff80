"""Activation maps as tiles, beside what the network was given."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from models.explain.activations import Activations
from models.figures.drawing.canvas import LIGHT, WIDTH, Theme, canvas

#: Maps that are drawn, and in how many columns.
MOST, COLUMNS = 63, 8


def maps(activations: Activations, theme: Theme = LIGHT) -> Figure:
    """Draw what the network was given, then the maps in order, each from its least to its largest value.

    A map that is the same everywhere is drawn in the colour of the least. Time of a sound runs to the right,
    bands upwards.

    Args:
        activations: the maps; of more than 63 the first are drawn.
        theme: colours.
    """
    sound = activations.seen.ndim == 2
    channels = np.moveaxis(activations.maps, -1, 0)[:MOST]
    rows = -(-(len(channels) + 1) // COLUMNS)
    columns = -(-(len(channels) + 1) // rows)
    height, width = activations.seen.shape[:2] if not sound else activations.seen.shape[1::-1]
    ratio = float(np.clip(height / width, 0.3, 2.0))
    figure, panels = canvas(2 * WIDTH, 2 * WIDTH / columns * ratio * rows + 0.5, theme, grid=(rows, columns))
    for axes in panels:
        axes.set_axis_off()
    tiles = [activations.seen, *channels]
    for number, (axes, tile) in enumerate(zip(panels, tiles, strict=False)):
        pixels = tile if tile.ndim == 3 else colormaps["magma"](_stretched(tile))[..., :3]
        pixels = np.swapaxes(pixels, 0, 1)[::-1] if sound else pixels
        axes.imshow(np.clip(pixels, 0, 1), aspect="auto" if sound else "equal", interpolation="nearest")
        if number == 0:
            axes.set_title("input", fontsize=7.5, color=theme.ink, pad=3, loc="left")
    total = activations.maps.shape[-1]
    size = f"{activations.layer.size[0]} x {activations.layer.size[1]}"
    said = f"layer {activations.layer.number}, {activations.layer.name}: {total} maps of {size}"
    said += f", the first {len(channels)} shown" if total > len(channels) else ""
    figure.suptitle(said, fontsize=9.5, color=theme.ink, x=0.01, ha="left")
    return figure


def _stretched(tile: np.ndarray) -> np.ndarray:
    low, high = float(tile.min()), float(tile.max())
    return (tile - low) / (high - low) if high > low else np.zeros_like(tile)
