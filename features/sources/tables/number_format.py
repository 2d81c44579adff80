"""How the numbers of a column are written: decimal mark, thousands separators, currency or percent sign.

A format is named by the way it writes 1234.5: ``1,234.5``, ``1.234,5``, ``1'234.5 CHF``. Python reads the
cells of a dataset by it and the served graph those of a request: both by `NumberFormat.pattern`, which means
the same in Python's and in RE2's syntax. Imports nothing heavy: decoder processes load it.
"""

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

#: Largest number that a float32 holds.
LARGEST = 3.4028234e38
#: Infinite numbers, as Python, pandas, R and C write them; the case does not matter.
INFINITE = re.compile(r"[+-]?(inf|infinity)", re.IGNORECASE)
#: The minus sign of typeset tables.
MINUS = "\N{MINUS SIGN}"

_SIGN = f"[+{MINUS}-]"
_BLANKS = " \N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}"
#: Characters that stand for a thousands separator, by the one that names it.
_GROUPS = {"": "", ",": ",", ".": "[.]", " ": f"[{_BLANKS}]", "'": "['\N{RIGHT SINGLE QUOTATION MARK}]"}
#: Currencies by their codes.
_CODES = frozenset(
    {"USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"}
    | {"HUF", "BRL", "MXN", "ZAR", "KRW", "TRY"}
)
#: All that stands in a number beside its unit.
_BESIDE_UNIT = re.compile(f"[0-9.,'\N{RIGHT SINGLE QUOTATION MARK}+{MINUS}{_BLANKS}-]+")
_EXAMPLE = re.compile(r"(?P<before>[^\d ]*) ?1(?P<groups>[ ,.']?)234(?P<decimal>[.,])5 ?(?P<after>[^\d ]*)")


@dataclass(frozen=True)
class NumberFormat:
    """One way to write numbers.

    Attributes:
        decimal: ``.`` or ``,``.
        groups: what parts the thousands: nothing, ``,``, ``.``, a blank or ``'``.
        unit: a currency or percent sign that may stand before or after the number, or nothing.
    """

    decimal: str = "."
    groups: str = ""
    unit: str = ""

    def __str__(self) -> str:
        number = f"1{self.groups}234{self.decimal}5"
        return f"{number} {self.unit}" if self.unit else number

    @cached_property
    def pattern(self) -> str:
        """What a number looks like, in Python's and in RE2's syntax; infinite and NaN are none."""
        whole = "[0-9]+"
        if self.groups:
            mark = _GROUPS[self.groups]
            # In India groups of two stand before the last one of three.
            middle = f"{mark}[0-9]{{2,3}}" if self.groups == "," else f"{mark}[0-9]{{3}}"
            whole = f"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{middle})*{mark}[0-9]{{3}})"
        point = f"[{self.decimal}]"
        number = f"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        if not self.unit:
            return f"{_SIGN}?{number}"
        unit = re.escape(self.unit)
        return f"(?:{_SIGN}?(?:{unit}[{_BLANKS}]?)?|{unit}[{_BLANKS}]?{_SIGN}){number}(?:[{_BLANKS}]?{unit})?"

    @cached_property
    def replacements(self) -> tuple[tuple[str, str], ...]:
        """Patterns and what replaces each, in order: what is left of a number is written as 1234.5."""
        unit = [(f"[{_BLANKS}]|{re.escape(self.unit)}", "")] if self.unit else []
        groups = [(_GROUPS[self.groups], "")] if self.groups else []
        return (*unit, *groups, *([(",", ".")] if self.decimal == "," else []), (MINUS, "-"))

    @cached_property
    def _matches(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def matches(self, cell: str) -> bool:
        """Return whether a cell is a number in this format, whatever its size."""
        return self._matches.fullmatch(cell) is not None

    def number(self, cell: str) -> float | None:
        """Read a cell as a number that a float32 holds; None for any other cell."""
        if not self.matches(cell):
            return None
        for pattern, replacement in self.replacements:
            cell = re.sub(pattern, replacement, cell)
        value = float(cell)
        return value if math.isfinite(value) and abs(value) <= LARGEST else None


PLAIN = NumberFormat()
#: The formats that are tried, the narrower before the wider.
KNOWN = (
    PLAIN,
    NumberFormat(","),
    *(NumberFormat(".", groups) for groups in (",", " ", "'")),
    *(NumberFormat(",", groups) for groups in (".", " ", "'")),
)


def parse(example: str) -> NumberFormat:
    """Read a format from the way it writes 1234.5.

    Raises:
        ValueError: it is no way to write this number.
    """
    match = _EXAMPLE.fullmatch(example.strip())
    if not match or match["groups"] == match["decimal"] or (match["before"] and match["after"]):
        raise ValueError(
            f"{example!r} does not show how to write 1234.5; expected a form such as 1,234.5, 1.234,5 "
            "or 1234.5 %"
        )
    return NumberFormat(match["decimal"], match["groups"], match["before"] or match["after"])


def unit_of(cell: str) -> str:
    """Return the currency or percent sign that stands in a cell beside digits, or an empty string."""
    unit = _BESIDE_UNIT.sub("", cell)
    is_unit = unit == "%" or unit in _CODES or (len(unit) == 1 and unicodedata.category(unit) == "Sc")
    return unit if is_unit else ""


def readers(cells: Mapping[str, int]) -> dict[NumberFormat, int]:
    """Count the cells that each known format reads.

    Args:
        cells: how often each occurs, those without a value left out.
    """
    plain = {cell for cell in cells if PLAIN.matches(cell)}
    others = [cell for cell in cells if cell not in plain]
    units = {unit for cell in others if (unit := unit_of(cell))}
    formats = [NumberFormat(one.decimal, one.groups, unit) for unit in sorted(units) for one in KNOWN]
    counts = {PLAIN: sum(cells[cell] for cell in plain)}
    # Where every cell is a plain number without a point, no format reads another value from it.
    marked = others or [cell for cell in plain if "." in cell]
    for one in (*KNOWN[1:], *formats) if marked else ():
        counts[one] = sum(count for cell, count in cells.items() if one.matches(cell))
    return counts


def best(counts: Mapping[NumberFormat, int]) -> list[NumberFormat]:
    """Return the formats that read most cells: of each decimal mark the narrowest."""
    most = max(counts.values())
    winners = [one for one, count in counts.items() if count == most]
    return [next(one for one in winners if one.decimal == mark) for mark in _marks(winners)]


def _marks(formats: Collection[NumberFormat]) -> list[str]:
    return list(dict.fromkeys(one.decimal for one in formats))
