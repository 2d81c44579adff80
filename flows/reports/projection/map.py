"""A map of examples: plain data in, one self-contained interactive HTML page out.

Images show their thumbnails, sounds get players, words stand where they lie. The page is read with mouse,
touch or keyboard, and needs nothing but itself: its content security policy lets its own script run and
forbids every request. What comes from data is JSON in a block of its own and is shown as text alone.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from features.storage.files import write_file
from flows.reports.pages import page as report

SCRIPT = (Path(__file__).parent / "projection.js").read_text(encoding="utf-8")
#: Points of a map at most: more of them hide each other, and the page carries every thumbnail.
MOST = 2000


@dataclass(frozen=True)
class Point:
    """One example on a map.

    Attributes:
        title: such as the file name; a point without data stands as its title, as words do.
        lines: what there is to say, a line each.
        data: an image or a sound, as ``mime``; None for none.
        mime: its media type.
    """

    title: str
    lines: Sequence[str] = ()
    data: bytes | None = None
    mime: str = "image/jpeg"


@dataclass(frozen=True)
class Projection:
    """A whole page.

    Attributes:
        title: the model's name.
        caption: how to read it.
        points: at most MOST.
        layouts: by name the place of every point, float [points, 2], in any range.
        colours: by name the group of every point, such as its cluster or its label.
    """

    title: str
    caption: str
    points: Sequence[Point]
    layouts: Mapping[str, np.ndarray]
    colours: Mapping[str, Sequence[str]]


def render(page: Projection) -> str:
    """Render a page without outside references."""
    data = {
        "points": [_point(point) for point in page.points],
        "layouts": {name: _framed(places) for name, places in page.layouts.items()},
        "colours": {name: _grouped(groups) for name, groups in page.colours.items()},
    }
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    template = report.environment().get_template("projection/projection.html.jinja")
    return template.render(page=page, data=_block(data), script=Markup(SCRIPT), hash=f"sha256-{digest}")  # noqa: S704 - our own script


def write(page: Projection, path: Path) -> None:
    """Render a page into a file, which is never seen half-written."""
    write_file(path, render(page))


def chosen(count: int, seed: int = 0) -> np.ndarray:
    """Choose which of so many examples are mapped: all, or MOST of them at random, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST])


def _point(point: Point) -> dict[str, Any]:
    return {
        "title": report.printable(point.title),
        "lines": [report.printable(line) for line in point.lines],
        "mime": "" if point.data is None else point.mime,
        "data": base64.b64encode(point.data or b"").decode(),
    }


def _framed(places: np.ndarray) -> list[list[float]]:
    """Bring places into the square from 0 to 1, each axis by itself."""
    low, high = places.min(0), places.max(0)
    return np.round((places - low) / np.where(high > low, high - low, 1), 4).tolist()


def _grouped(groups: Sequence[str]) -> dict[str, Any]:
    names = sorted(set(groups), key=_natural)
    number = {name: place for place, name in enumerate(names)}
    return {"names": [report.printable(name) for name in names], "of": [number[one] for one in groups]}


def _natural(name: str) -> list[str | int]:
    """Sort numbers inside names by their value: cluster 2 before cluster 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _block(data: Mapping[str, Any]) -> Markup:
    """Write JSON that no HTML parser takes for anything else: nothing in it opens or closes a tag."""
    text = json.dumps(data, ensure_ascii=True).replace("&", "\\u0026")
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704 - escaped here
