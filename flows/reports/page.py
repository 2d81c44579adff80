"""The report of a run: plain data in, one self-contained HTML page out.

A Report is a headline and a list of Sections; a Section holds prose, facts, figures, tables and
media. Every task fills sections of its own (flows/reports/sections.py has those of classification) and
the template stays the same. The page needs nothing but itself: pictures are embedded, there is no
script, and its content security policy forbids every request. Whatever comes from data (labels,
file names) is escaped, isolated from its neighbours' writing direction and freed of control
characters.
"""

import base64
import io
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from flows.workspace import write_atomically

Tone = Literal["plain", "good", "bad"]

#: An SVG of more bytes than this is embedded as PNG instead.
LARGEST_SVG = 160_000
THUMBNAIL = 320  #: pixels of the longer side
SHOWN_SECONDS = 10  #: of one sound in a gallery
SHOWN_CHARACTERS = 600  #: of one text in a gallery
SMALL = 96  #: pixels: smaller images are shown enlarged, their pixels kept sharp


@dataclass(frozen=True)
class Fact:
    """One named value, shown as a tile."""

    name: str
    value: object
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Range:
    """The headline metric with its interval, all between 0 and 1 and shown as percentages.

    Attributes:
        name: what is measured.
        value: the metric.
        low: lower end of the interval.
        high: upper end.
        note: what the interval is.
    """

    name: str
    value: float
    low: float
    high: float
    note: str = ""


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
class Table:
    """A table; numbers are aligned right.

    Attributes:
        columns: the headings.
        rows: one sequence of cells per row; None and NaN are shown as a dash.
        caption: its heading.
        shares: headings of columns of values from 0 to 1 that get a bar.
        folded: show the table only when asked for.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    shares: frozenset[str] = frozenset()
    folded: bool = False


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
        sharp: keep the pixels of a small image visible.
        sound: a WAV file with a player of its own, below the picture.
    """

    title: str
    lines: Sequence[str] = ()
    data: bytes | None = None
    mime: str = "image/png"
    text: str | None = None
    tokens: Sequence[tuple[str, float]] = ()
    sharp: bool = False
    sound: bytes | None = None


@dataclass(frozen=True)
class Section:
    """One part of a report; everything but the title is optional."""

    title: str
    prose: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    media: Sequence[Media] = ()
    code: str = ""


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: the model's name.
        kind: the task's name.
        verdict: what the gate said, in a few words.
        tone: whether that is good or bad.
        sections: the body.
        subtitle: one line below the title.
        headline: the main metric, where it has an interval.
        facts: tiles beside it.
        created: when, in UTC.
    """

    title: str
    kind: str
    verdict: str
    tone: Tone
    sections: Sequence[Section]
    subtitle: str = ""
    headline: Range | None = None
    facts: Sequence[Fact] = ()
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def render(report: Report) -> str:
    """Render a report as one HTML page without outside references."""
    return environment().get_template("report.html.jinja").render(report=report)


def write(report: Report, path: Path) -> None:
    """Render a report into a file, which is never seen half-written."""
    write_atomically(path, render(report))


def picture(title: str, draw: Callable, caption: str = "") -> Picture:
    """Draw a figure for light and for dark pages.

    Args:
        title: heading of the figure.
        draw: from a ``models.figures.canvas.Theme`` to a matplotlib Figure.
        caption: how to read it.
    """
    from models.figures.canvas import DARK, LIGHT, png, svg

    figures = [draw(theme) for theme in (LIGHT, DARK)]
    light, dark = (svg(figure) for figure in figures)
    mime = "image/svg+xml"
    if len(light) > LARGEST_SVG:
        light, dark = (png(figure) for figure in figures)
        mime = "image/png"
    return Picture(title, light, dark, caption, mime, round(figures[0].get_figwidth() * 96))


def image(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of an encoded image, upright and at most 320 pixels wide and high.

    An image that cannot be decoded gives an item without a picture: a report never fails for it.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(raw)) as opened:
            shown = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return Media(title, lines)
    sharp = max(shown.size) <= SMALL
    shown.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    kind = "PNG" if sharp else "JPEG"
    shown.save(stream, kind, **({} if sharp else {"quality": 85}))
    return Media(title, lines, stream.getvalue(), f"image/{kind.lower()}", sharp=sharp)


def sound(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of a WAV file as ingest keeps it: its log-mel picture, and a player.

    A sound that cannot be decoded gives an item without a picture: a report never fails for it.
    """
    import numpy as np
    import soundfile
    from matplotlib import colormaps
    from PIL import Image

    from features.sounds.decoding import wave_bytes
    from features.sounds.spectrogram import LogMel

    try:
        samples, rate = soundfile.read(io.BytesIO(raw), dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError):
        return Media(title, lines)
    shown = samples[: SHOWN_SECONDS * rate]
    decibels = LogMel(rate, n_fft=512, n_mels=64)(shown[np.newaxis]).numpy()[0].T[::-1]
    spread = (decibels - decibels.min()) / max(float(np.ptp(decibels)), 1e-6)
    pixels = (colormaps["magma"](spread)[..., :3] * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL // 2), Image.Resampling.BILINEAR).save(stream, "PNG")
    cut = wave_bytes(shown, rate) if len(shown) < len(samples) else raw
    seconds = f"{len(samples) / rate:.2f} s" + ("" if cut is raw else f", the first {SHOWN_SECONDS} shown")
    return Media(title, [*lines, seconds], stream.getvalue(), sound=cut)


def text(raw: bytes, title: str, lines: Sequence[str] = ()) -> Media:
    """Make a gallery item of a text, its beginning where it is long."""
    whole = raw.decode("utf-8", "replace")
    shown = whole if len(whole) <= SHOWN_CHARACTERS else whole[:SHOWN_CHARACTERS] + " …"
    return Media(title, lines, text=shown)


#: Raw kind to what makes a gallery item of an example.
MEDIA: dict[str, Callable[..., Media]] = {"image": image, "audio": sound, "text": text, "row": text}


@cache
def environment() -> jinja2.Environment:
    """Give the templates' environment: everything from data is escaped and printable."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters |= {
        "cell": cell,
        "breakable": _breakable,
        "data_uri": _data_uri,
        "anchor": _anchor,
        "percent": percent,
    }
    environment.tests |= {"numeric": _is_number, "share": _is_share}
    return environment


def printable(value: object) -> object:
    """Show control, bidirectional and undecodable characters as escapes; let markup pass."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(_visible(one) for one in value)


def _visible(one: str) -> str:
    if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return one
    # Zero-width joiners hold emoji and Indic letters together and are harmless.
    return one if one in "\u200c\u200d" else f"\\u{ord(one):04x}"


def cell(value: object) -> str:
    """Format one value: 1,234 and 0.954 and 12.3 and – where there is none."""
    if value is None:
        return "–"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, Integral):
        return f"{int(value):,d}"
    if not isinstance(value, Real):
        return str(value)
    number = float(value)
    if math.isnan(number):
        return "–"
    if number and abs(number) < 1e-3:
        return f"{number:.2g}"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:,.1f}"


def percent(value: float, digits: int = 1) -> str:
    """Format a share as a percentage, never rounding up to 100 what is not all."""
    text = f"{100 * value:.{digits}f}"
    return f"{100 - 10**-digits:.{digits}f} %" if value < 1 and float(text) >= 100 else f"{text} %"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _is_share(value: object) -> bool:
    return isinstance(value, Real) and 0 <= float(value) <= 1


def _breakable(text: str) -> Markup:
    """Let a long path or name be broken after its separators."""
    parts = re.split(r"(?<=[/_.-])(?=[^\W\d])", str(printable(text)))
    return Markup("<wbr>").join(parts)


def _anchor(title: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in title.lower())


def _data_uri(data: bytes, mime: str) -> Markup:
    return Markup("data:{};base64,{}").format(mime, base64.b64encode(data).decode())
