"""Points and boxes drawn on photos."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Colours that stay apart on photos: of what is predicted, true, and beside the point; and of classes.
PREDICTED, TRUE, OTHER = "#ff3b6b", "#37e07d", "#b4b4b4"
CLASSES = (
    *("#ff3b6b", "#2fb4ff", "#ffc02e", "#37e07d", "#c07bff", "#ff8a2b", "#00d6c4", "#ff7ad1", "#b7e02e"),
    *("#8aa4ff", "#e0a070", "#9adfff"),
)


def enlarged(picture: Image.Image, longest: int) -> Image.Image:
    """Bring a small photo to a size that marks can be seen on; a larger one stays."""
    factor = max(1, longest // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)


def points(
    picture: Image.Image, predicted: np.ndarray, true: np.ndarray | None = None, names: Sequence[str] = ()
) -> Image.Image:
    """Draw points.

    Args:
        picture: RGB.
        predicted: x and y as shares of width and height, [points, 2].
        true: likewise, NaN where not annotated; a line joins each with its prediction.
        names: written beside the points, where there are few.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    radius = max(1.5, min(drawn.size) / 110)
    size = np.array(drawn.size)
    if true is not None:
        for a, b in zip(true * size, predicted * size, strict=True):
            if np.isfinite(a).all():
                pen.line([*a, *b], fill=TRUE, width=max(1, round(radius / 2)))
                _dot(pen, a, radius, TRUE)
    font = _font(drawn)
    for place, point in enumerate(predicted * size):
        _dot(pen, point, radius, PREDICTED)
        if names:
            pen.text(
                (point[0] + 2 * radius, point[1] - radius),
                names[place],
                fill="white",
                font=font,
                stroke_width=1,
                stroke_fill="black",
            )
    return drawn


def boxes(
    picture: Image.Image, corners: np.ndarray, captions: Sequence[str], colors: Sequence[str]
) -> Image.Image:
    """Draw boxes with captions.

    Args:
        picture: RGB.
        corners: xmin, ymin, xmax, ymax as shares of width and height, [boxes, 4].
        captions: of the boxes; an empty one is left out.
        colors: of the boxes.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    width = max(2, round(min(drawn.size) / 160))
    font = _font(drawn)
    for box, caption, color in zip(corners * np.tile(drawn.size, 2), captions, colors, strict=True):
        pen.rectangle([*box], outline=color, width=width)
        if not caption:
            continue
        left, top, right, bottom = pen.textbbox((0, 0), caption, font=font)
        x = min(max(box[0], 0), max(drawn.width - (right - left) - 4, 0))
        y = box[1] - (bottom - top) - 5 if box[1] > bottom - top + 5 else box[1] + width
        pen.rectangle([x, y, x + right - left + 4, y + bottom - top + 5], fill=color)
        pen.text((x + 2 - left, y + 2 - top), caption, fill="black", font=font)
    return drawn


def color_of(place: int) -> str:
    """Return the colour of a class by its place."""
    return CLASSES[place % len(CLASSES)]


def _dot(pen: ImageDraw.ImageDraw, point: np.ndarray, radius: float, color: str) -> None:
    x, y = point
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color, outline="black")


def _font(picture: Image.Image) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(12, round(min(picture.size) / 22)))
