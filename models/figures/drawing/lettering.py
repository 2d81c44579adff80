"""Text in figures: labels made printable, shortened, and set in fonts that have their characters."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

BASE = "DejaVu Sans"  #: comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic, Georgian ...
ABSENT = "\N{WHITE SQUARE}"


def plain(text: str) -> str:
    """Make text drawable: one line, and a white square for a character that no installed font has.

    Line breaks, control, bidirectional and unassigned characters become spaces.
    """
    line = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text)
    drawable, _ = _faces(frozenset(line))
    return "".join(one if one in drawable else ABSENT for one in line)


def shorten(text: str, most: int) -> str:
    """Cut the middle out of a text of more than ``most`` characters: both ends often matter.

    Returns:
        One drawable line of 1 to ``most`` characters.
    """
    line = " ".join(plain(text).split()) or ABSENT
    if len(line) <= most:
        return line
    tail = (most - 1) // 3
    return f"{line[: most - 1 - tail].rstrip()}…{line[len(line) - tail :].lstrip() if tail else ''}"


def typeset(figure: Figure) -> None:
    """Set every text of a figure literally, in fonts that have its characters.

    Literally: a dollar sign is a dollar sign, not the start of a formula.
    """
    texts = figure.findobj(Text)
    _, faces = _faces(frozenset("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(list(faces))


@lru_cache(maxsize=1024)
def _faces(characters: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Choose fonts for characters; returns those that can be drawn and the names of the fonts."""
    missing = {one for one in characters if ord(one) not in _charmap(font_manager.findfont(BASE))}
    faces = [BASE]
    for name, path in _installed() if missing else ():
        covered = {one for one in missing if ord(one) in _charmap(path)}
        if covered:
            missing -= covered
            faces.append(name)
        if not missing:
            break
    return characters - missing, tuple(faces)


def _installed() -> Iterable[tuple[str, str]]:
    """List the fonts to fall back to, by name and file: upright, and no placeholder font."""
    names = {BASE}
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        usable = font.style == "normal" and not font.name.startswith(("Last Resort", "STIX", "cm"))
        if usable and font.name not in names:
            names.add(font.name)
            yield font.name, font.fname


@lru_cache(maxsize=128)
def _charmap(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())
