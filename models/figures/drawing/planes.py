"""Examples and words on a plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from models.figures.drawing.canvas import LIGHT, Theme, canvas
from models.figures.drawing.lettering import shorten


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
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="random", method=method, random_state=0)
    return np.asarray(tsne.fit_transform(np.asarray(vectors, np.float64)))


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
    figure, (axes,) = canvas(8.0, 6.4, theme)
    axes.plot(points[:, 0], points[:, 1], ".", markersize=3, color=theme.good)
    for (x, y), word in zip(points, words, strict=True):
        axes.annotate(
            shorten(word, 16), (x, y), (2, 2), textcoords="offset points", fontsize=10, color=theme.ink
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure
