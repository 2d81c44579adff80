"""The report of a run: plain data in, one self-contained HTML page out.

A Report is a headline and a list of Sections; a Section holds prose, facts, figures, tables and
media. Every task fills sections of its own (flows/reports/sections) and
the template stays the same. The page needs nothing but itself: pictures are embedded, there is no
script, and its content security policy forbids every request. Whatever comes from data (labels,
file names) is escaped, isolated from its neighbours' writing direction and freed of control
characters.
"""

import base64
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from features.storage.files import write_file
from flows.reports.media import Media, Picture

Tone = Literal["plain", "good", "bad"]


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
    write_file(path, render(report))


@cache
def environment() -> jinja2.Environment:
    """Return the templates' environment: everything from data is escaped and printable."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
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
