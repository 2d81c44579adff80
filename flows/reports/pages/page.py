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
from flows.reports.pages.media import Media, Picture

Tone = Literal["plain", "good", "bad"]

#: Characters of a cell, and of all headings, that a phone has no room for side by side.
LONG, LONGEST_HEAD = 22, 40
#: Where a line may be broken: a tag, and a space without width.
BREAK, SPACE = Markup("<wbr>"), Markup("&#8203;")


@dataclass(frozen=True)
class Fact:
    """One named value, shown as a tile."""

    name: str
    value: object
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Baseline:
    """What a metric is compared with: in words, and its value."""

    name: str
    value: float


@dataclass(frozen=True)
class Headline:
    """The metric that decides, with its interval and what it is compared with.

    Attributes:
        name: what is measured.
        value: the metric.
        low: lower end of the interval; None where there is none.
        high: upper end.
        note: what the interval is.
        unit: ``%`` shows shares from 0 to 1 as percentages; any other stands behind the number.
        baselines: what the number is compared with.
        ends: of the scale that is drawn below; None draws none.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    unit: str = "%"
    baselines: Sequence[Baseline] = ()
    ends: tuple[float, float] | None = (0.0, 1.0)

    def written(self, value: float) -> str:
        """Write a number in the unit."""
        return percent(value) if self.unit == "%" else f"{cell(float(value))} {self.unit}".rstrip()

    def place(self, value: float) -> float:
        """Return where a number stands on the scale, in percent of its length."""
        low, high = self.ends or (0.0, 1.0)
        return min(max(100 * (value - low) / (high - low), 0.0), 100.0)


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
class Code:
    """What a reader copies.

    Attributes:
        text: the code.
        title: what it does.
        folded: show it only when asked for.
    """

    text: str
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Link:
    """A place that the reader may go to: nothing is loaded from there before."""

    text: str
    address: str
    note: str = ""


#: What a colour means: its name in the style sheet, and words.
Legend = tuple[tuple[Literal["for", "against", "missed", "added"], str], ...]


@dataclass(frozen=True)
class Section:
    """One part of a report; everything but the title is optional.

    Attributes:
        legend: what the colours of the media mean.
        wide: show each of the media in a row of its own.
    """

    title: str
    prose: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    media: Sequence[Media] = ()
    code: Sequence[Code] = ()
    links: Sequence[Link] = ()
    legend: Legend = ()
    wide: bool = False


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
        headline: the metric that decides.
        lead: what a reader sees first: examples and their answers, or a figure.
        facts: tiles beside it.
        created: when, in UTC.
    """

    title: str
    kind: str
    verdict: str
    tone: Tone
    sections: Sequence[Section]
    subtitle: str = ""
    headline: Headline | None = None
    lead: Section | None = None
    facts: Sequence[Fact] = ()
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def render(report: Report) -> str:
    """Render a report as one HTML page without outside references."""
    return environment().get_template("pages/report.html.jinja").render(report=report)


def write(report: Report, path: Path) -> None:
    """Render a report into a file, which is never seen half-written."""
    write_file(path, render(report))


@cache
def environment() -> jinja2.Environment:
    """Return the templates' environment: everything from data is escaped and printable."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parents[1]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters |= {
        "cell": cell,
        "breakable": _breakable,
        "label": _label,
        "data_uri": _data_uri,
        "anchor": _anchor,
        "percent": percent,
    }
    environment.tests |= {"numeric": _is_number, "share": _is_share, "wordy": _is_wordy}
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
    """Format one value: 1,234 and 0.954 and 12.3 and – where there is none.

    A count is written in full; of any other number, at most four digits that count.
    """
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
    if abs(number) < 10:
        return f"{number:.3f}"
    return f"{number:.1f}" if abs(number) < 999.95 else f"{float(f'{number:.4g}'):,.0f}"


def percent(value: float, digits: int = 1) -> str:
    """Format a share as a percentage, never rounding up to 100 what is not all."""
    text = f"{100 * value:.{digits}f}"
    return f"{100 - 10**-digits:.{digits}f} %" if value < 1 and float(text) >= 100 else f"{text} %"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _is_share(value: object) -> bool:
    return isinstance(value, Real) and 0 <= float(value) <= 1


def _is_wordy(table: Table) -> bool:
    """Return whether a phone has no room for the cells of a row side by side, and stacks them."""
    cells = [str(value) for row in table.rows for value in row[1:] if not _is_number(value)]
    long = any(len(text) > LONG for text in cells) or sum(map(len, table.columns)) > LONGEST_HEAD
    return len(table.columns) > 2 and long


def _breakable(text: str, mark: Markup = BREAK) -> Markup:
    """Let a long path or name be broken after its separators."""
    return mark.join(re.split(r"(?<=[/_.-])(?=[^\W\d])", str(printable(text))))


def _label(text: str) -> Markup:
    """Let a name in an attribute be broken likewise: tags are text there."""
    return _breakable(text, SPACE)


def _anchor(title: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in title.lower())


def _data_uri(data: bytes, mime: str) -> Markup:
    return Markup("data:{};base64,{}").format(mime, base64.b64encode(data).decode())
