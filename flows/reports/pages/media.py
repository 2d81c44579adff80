"""Pictures, sounds and texts of a report, embedded in the page."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.images.preview import preview

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

#: An SVG of more bytes than this is embedded as PNG instead.
LARGEST_SVG = 160_000


THUMBNAIL = 320  #: pixels of the longer side


SHOWN_SECONDS = 10  #: of one sound in a gallery
LONGEST_SECONDS = 24 * 3600  #: of a sound that is decoded for it


SHOWN_CHARACTERS = 600  #: of one text in a gallery


BANDS = 64  #: of the picture of a sound

#: Seconds from one mark of time to the next, one of them.
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


SMALL = 96  #: pixels: smaller images are shown enlarged, their pixels kept sharp


@dataclass(frozen=True)
class Picture:
    """An embedded figure.

    Attributes:
        title: its heading, also its alternative text.
        light: image bytes for light pages, and for dark ones where ``dark`` is None.
        dark: image bytes for dark pages.
        caption: how to read it.
        mime: media type of both.
        width: pixels it wants; screens narrower than half of that scroll it.
    """

    title: str
    light: bytes
    dark: bytes | None = None
    caption: str = ""
    mime: str = "image/svg+xml"
    width: int = 576


@dataclass(frozen=True)
class Axes:
    """Marks along two sides of a picture: place, from 0 (left, bottom) to 1, and text.

    Attributes:
        across: marks of the lower side.
        up: marks of the left side.
        across_unit: their unit, such as s.
        up_unit: their unit, such as Hz.
    """

    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    across_unit: str = "s"
    up_unit: str = "Hz"


@dataclass(frozen=True)
class View:
    """One of several pictures of an example, side by side.

    Attributes:
        title: what it shows.
        data: image as ``mime``.
        mime: media type.
        sharp: keep the pixels of a small image visible.
        axes: of a picture that has them.
    """

    title: str
    data: bytes
    mime: str = "image/jpeg"
    sharp: bool = False
    axes: Axes | None = None


@dataclass(frozen=True)
class Media:
    """One item of a gallery: an image, a sound or a text with a title and lines below it.

    Attributes:
        title: such as the file name.
        lines: what there is to say, a line each.
        data: image or sound as ``mime``; None where there is nothing to see.
        mime: media type.
        text: shown in place of ``data`` for text examples.
        tokens: shown in place of ``text``: each token, and how much it speaks for the answer, from -1 to 1.
        aligned: shown in place of ``text``: kind of a chunk of words (``equal``, ``substitute``, ``delete``
            or ``insert``), the words that were said, and those that were recognised.
        sharp: keep the pixels of a small image visible.
        sound: a WAV file with a player of its own, below the picture.
        axes: of a picture that has them.
        views: shown in place of ``data``: several pictures side by side.
        cells: shown in place of ``text``: name and value of each column of a row.
        tone: whether the answer is right, ``good``, or wrong, ``bad``; empty for neither.
    """

    title: str
    lines: Sequence[str] = ()
    data: bytes | None = None
    mime: str = "image/png"
    text: str | None = None
    tokens: Sequence[tuple[str, float]] = ()
    aligned: Sequence[tuple[str, str, str]] = ()
    sharp: bool = False
    sound: bytes | None = None
    axes: Axes | None = None
    views: Sequence[View] = ()
    cells: Sequence[tuple[str, str]] = ()
    tone: str = ""


def picture(title: str, draw: Callable, caption: str = "") -> Picture:
    """Draw a figure for light and for dark pages.

    Args:
        title: heading of the figure.
        draw: from a ``models.figures.drawing.canvas.Theme`` to a matplotlib Figure.
        caption: how to read it.
    """
    from models.figures.drawing.canvas import DARK, LIGHT, in_colors_of, png, svg

    figure = draw(LIGHT)
    light, mime = svg(figure), "image/svg+xml"
    if len(light) > LARGEST_SVG:
        light, dark, mime = png(figure), png(draw(DARK)), "image/png"
    else:
        dark = in_colors_of(DARK, light) or svg(draw(DARK))
    return Picture(title, light, dark, caption, mime, round(figure.get_figwidth() * 96))


def image(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of an encoded image, upright and at most 320 pixels wide and high.

    An image that cannot be decoded gives an item without a picture: a report never fails for it.
    """
    thumbnail = preview(raw, THUMBNAIL)
    if thumbnail is None:
        return Media(title, lines)
    sharp = max(thumbnail.size) <= SMALL
    stream = io.BytesIO()
    kind = "PNG" if sharp else "JPEG"
    thumbnail.save(stream, kind, **({} if sharp else {"quality": 85}))
    return Media(title, lines, stream.getvalue(), f"image/{kind.lower()}", sharp=sharp)


def small(raw: bytes) -> bool:
    """Return whether an encoded image is so small that its pixels are shown enlarged."""
    thumbnail = preview(raw, THUMBNAIL)
    return thumbnail is not None and max(thumbnail.size) <= SMALL


def photo(picture: "Image.Image", title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of a picture that was drawn on."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return Media(title, lines, stream.getvalue(), "image/jpeg")


def sound(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of a sound file: its log-mel picture, and a player of the mean of its channels.

    A sound that cannot be decoded gives an item without a picture: a report never fails for it.
    """
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    from features.quarantine import RefusedError
    from features.sounds.files.decoding import decode, wave_bytes
    from features.sounds.spectrogram import LogMel

    try:
        heard = decode(raw, LONGEST_SECONDS)
    except RefusedError:
        return Media(title, lines)
    samples, rate = heard.samples, heard.rate
    excerpt = samples[: SHOWN_SECONDS * rate]
    analysis = LogMel(rate, n_fft=512, n_mels=BANDS)
    decibels = analysis(excerpt[np.newaxis]).numpy()[0].T[::-1]
    spread = (decibels - decibels.min()) / max(float(np.ptp(decibels)), 1e-6)
    pixels = (colormaps["magma"](spread)[..., :3] * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL // 2), Image.Resampling.BILINEAR).save(stream, "PNG")
    whole = len(excerpt) == len(samples)
    seconds = f"{len(samples) / rate:.2f} s" + ("" if whole else f", the first {SHOWN_SECONDS} s shown")
    axes = sound_axes(len(excerpt) / rate, analysis.centres)
    return Media(title, [*lines, seconds], stream.getvalue(), sound=wave_bytes(excerpt, rate), axes=axes)


def sound_axes(seconds: float, hertz: "np.ndarray") -> Axes:
    """Mark the sides of a picture of a sound.

    Args:
        seconds: from the left to the right.
        hertz: middles of the bands, from below to the top.
    """
    step = next(step for step in _STEPS if seconds / step <= 5 or step == _STEPS[-1])
    times = [number * step for number in range(int(seconds / step + 1e-6) + 1)]
    across = [(time / max(seconds, 1e-6), f"{time:.4g}") for time in times]
    rows = sorted({round(place * (len(hertz) - 1) / 3) for place in range(4)})
    up = [((row + 0.5) / len(hertz), _rounded(hertz[row])) for row in rows]
    return Axes(across, up)


def _rounded(hertz: float) -> str:
    """Write a frequency with two digits that count: a band is no narrower."""
    return f"{float(f'{hertz:.2g}'):,.0f}"


def text(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of a text, its beginning where it is long."""
    whole = raw.decode("utf-8", "replace")
    excerpt = whole if len(whole) <= SHOWN_CHARACTERS else whole[:SHOWN_CHARACTERS] + " …"
    return Media(title, lines, text=excerpt)


#: Raw kind to what makes a gallery item of an example.
MEDIA: dict[str, Callable[..., Media]] = {"image": image, "audio": sound, "text": text, "row": text}
