"""What the cells of each column of a table hold: counted once, over all rows, before kinds are chosen."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from features.sources.tables import cells as rows
from features.sources.tables import number_format
from features.sources.tables.number_format import NumberFormat

#: Fewer rows than these say nothing about an order.
_FEW = 10
#: Integers of all rows that lie as close as this number the rows; by chance some would be equal.
_DENSE = 3

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[.]?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap][.]?m[.]?)?"
_DAY = (
    r"\d{4}([-/.])\d{1,2}(?:\1\d{1,2})?",
    r"\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2})",
    rf"\d{{1,2}}[ .-]*{_MONTH}[ ,.-]*\d{{2,4}}",
    rf"{_MONTH} ?\d{{1,2}}(?:st|nd|rd|th)?[ ,]+\d{{2,4}}",
)
_ZONE = r"(?: ?(?:z|utc|gmt|[+-]\d{2}:?\d{2}))?"
_WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
#: Dates, times of day, and both together.
_DATE = re.compile(
    rf"{_WEEKDAY}(?:{'|'.join(_DAY)})(?:[ t]{_CLOCK}{_ZONE})?|{_CLOCK}{_ZONE}|\d+ days?,? {_CLOCK}",
    re.IGNORECASE,
)
_POINT_ALONE = re.compile(r"\d{4}[.]\d{1,2}")


@dataclass
class Survey:
    """What one column holds.

    Attributes:
        name: the column's.
        gap_words: cells, in small letters, that stand for a missing number.
        cells: how often each value occurs; cells that stand for a missing value are left out.
        missing: number of these.
        rising: whether every row has a larger number than the row before.
    """

    name: str
    gap_words: frozenset[str] = frozenset()
    cells: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    rising: bool = True
    _last: float = float("-inf")

    def add(self, cell: str, absent: frozenset[str]) -> None:
        """Count one cell."""
        if cell in absent:
            self.missing += 1
            self.rising = False
            return
        self.cells[cell] += 1
        if self.rising:
            value = number_format.PLAIN.number(cell)
            self.rising = value is not None and value > self._last
            self._last = value if value is not None else self._last

    @cached_property
    def present(self) -> int:
        """Number of cells with a value."""
        return self.cells.total()

    def is_gap(self, cell: str) -> bool:
        """Return whether a cell is a missing number."""
        return rows.lowered(cell) in self.gap_words

    @cached_property
    def values(self) -> dict[str, int]:
        """How often each value occurs that a column of numbers would have, infinite ones left out."""
        return {
            cell: count
            for cell, count in self.cells.items()
            if not self.is_gap(cell) and not number_format.INFINITE.fullmatch(cell)
        }

    @cached_property
    def readers(self) -> dict[NumberFormat, int]:
        """How many cells each number format reads."""
        return number_format.readers(self.values)

    @cached_property
    def gaps(self) -> int:
        """Number of cells that stand for a missing number, and for nothing else."""
        return sum(count for cell, count in self.cells.items() if self.is_gap(cell))

    @cached_property
    def infinite(self) -> int:
        """Number of cells that hold an infinite number."""
        return self.present - self.gaps - sum(self.values.values())

    @property
    def repeated(self) -> int:
        """Number of cells whose value occurs more than once."""
        return sum(count for count in self.cells.values() if count > 1)

    @property
    def dates(self) -> int:
        """Number of cells that hold a date or a time."""
        return sum(count for cell, count in self.cells.items() if _is_date(cell))

    @property
    def numbers_rows(self) -> str:
        """Return how the column numbers the rows, or an empty string."""
        if self.missing or self.present < _FEW:
            return ""
        if self.rising:
            return "it rises from row to row"
        if len(self.cells) == self.present and all(map(_is_integer, self.cells)):
            numbers = [float(cell) for cell in self.cells]
            if max(numbers) - min(numbers) < _DENSE * self.present:
                return "a whole number of its own in every row"
        return ""

    def examples(self, odd: Iterable[str], most: int = 5) -> str:
        """Quote the most frequent of some cells, with their counts."""
        chosen = sorted(odd, key=lambda cell: (-self.cells[cell], cell))
        quoted = [f"{cell[:30]!r} ({self.cells[cell]})" for cell in chosen[:most]]
        return ", ".join(quoted) + (f" and {len(chosen) - most} more" if len(chosen) > most else "")


def _is_date(cell: str) -> bool:
    # 2019.5 is a number.
    return bool(_DATE.fullmatch(cell)) and not _POINT_ALONE.fullmatch(cell)


def _is_integer(cell: str) -> bool:
    value = number_format.PLAIN.number(cell)
    return value is not None and value.is_integer()


def survey(lines: Iterable[str], names: Sequence[str], missing: Iterable[str]) -> list[Survey]:
    """Count the cells of every column.

    Args:
        lines: rows, as lines of CSV.
        names: of the columns, in order.
        missing: words that stand for a missing value, beside the empty cell.
    """
    words = tuple(missing)
    absent, gap_words = rows.silent(words), rows.gaps(words)
    surveys = [Survey(name, gap_words) for name in names]
    for line in lines:
        for column, cell in zip(surveys, rows.cells(line), strict=True):
            column.add(cell, absent)
    return surveys
