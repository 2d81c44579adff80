"""Rows of a table as text: how one is written and read, what a number is, and what a cell says nothing.

A row travels as one line of CSV (RFC 4180) with the table's input cells in their order: a form that
``tf.io.decode_csv`` reads in the served graph. Imports nothing heavy: decoder processes load it.
"""

import csv
import hashlib
import io
import keyword
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from features.names import setting
from features.sources.tables import number_format
from features.sources.tables.number_format import NumberFormat

Kind = Literal["numeric", "categorical"]

#: Words that stand for a missing value where nothing else is said: those of pandas, and a few more.
MISSING_WORDS = (
    *("NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("NULL", "null", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", r"\N", "?"),
)
#: What stands for a missing value in a column of numbers, and for nothing else: there a dash is no category.
GAPS = ("-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", ".", "..", "...", "\N{HORIZONTAL ELLIPSIS}")
#: Pairs of words for true and false; the case does not matter.
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"})
#: The blanks that `tf.strings.strip` takes off.
_BLANKS = " \t\n\r\f\v"
_FAULTS = {
    "expected after": "text follows a closing quote; inside quotes a quote is doubled",
    "new-line character": "a carriage return stands in a field without quotes",
    "field larger": f"a field is longer than {csv.field_size_limit():,} characters",
    "unexpected end": "a quote is never closed",
    "NUL": "the row contains a NUL character",
}


def line(cells: Sequence[str]) -> str:
    """Write cells as one line of CSV, without its end."""
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()[:-2]


def cells(row: str) -> list[str]:
    """Read the cells of one line of CSV, without the blanks around each.

    Raises:
        csv.Error: its quotes do not follow the rules.
    """
    fields = next(csv.reader(io.StringIO(row, newline=""), strict=True), [])
    return [cell.strip(_BLANKS) for cell in fields]


def fault(error: csv.Error) -> str:
    """Return what is wrong with a line that is no CSV."""
    said = str(error)
    return next(
        (words for key, words in _FAULTS.items() if key in said), "its quotes do not follow the rules"
    )


def silent(words: Iterable[str]) -> frozenset[str]:
    """Return the cells that say nothing: the empty one, and words such as NA."""
    return frozenset(words) | {""}


def gaps(words: Iterable[str]) -> frozenset[str]:
    """Return the cells, in small letters, that stand for a missing value in a column of numbers."""
    return frozenset(map(lowered, (*words, *GAPS, "")))


def are_booleans(values: Iterable[str]) -> bool:
    """Return whether all values are words for true and false."""
    distinct = set(map(lowered, values))
    return bool(distinct) and any(distinct <= words for words in BOOLEANS)


class CellReader:
    """Reads the cells of one column as ingest, training and the served graph do.

    Args:
        kind: of the column.
        missing: words that stand for a missing value.
        written: how its numbers are written.

    Attributes:
        numeric: whether it reads numbers.
    """

    def __init__(
        self, kind: Kind, missing: Iterable[str], written: NumberFormat = number_format.PLAIN
    ) -> None:
        words = tuple(missing)
        self.numeric, self._format = kind == "numeric", written
        self._absent, self._gaps = silent(words), gaps(words)

    def read(self, cell: str) -> float | str | None:
        """Return a cell's number or word, None where it stands for a missing value.

        Raises:
            ValueError: a column of numbers holds something else; says what.
        """
        if not self.numeric:
            return None if cell in self._absent else cell
        # A number such as -999 may stand for a missing value.
        if lowered(cell) in self._gaps:
            return None
        value = self._format.number(cell)
        if value is not None:
            return value
        if number_format.INFINITE.fullmatch(cell):
            raise ValueError(f"it is infinite; {setting('data.missing', [cell])} makes it a missing value")
        if self._format.matches(cell):
            raise ValueError("it is beyond what a float32 holds")
        plain = self._format == number_format.PLAIN
        raise ValueError("it is not a number" if plain else f"it is not a number written as {self._format}")


def lowered(cell: str) -> str:
    """Make ASCII capitals small, as `tf.strings.lower` does."""
    return cell.encode("utf-8").lower().decode("utf-8")


def identifier(name: str, *, told_apart: bool = False) -> str:
    """Make the name of a signature's input of a column's name: ASCII letters, digits and underscores.

    ``told_apart`` adds digits of the name's hash, for columns whose short names are equal.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    stem = re.sub(r"[^0-9A-Za-z]+", "_", plain).strip("_")
    if not stem or stem[0].isdigit():
        stem = f"column_{stem}".rstrip("_")
    if told_apart:
        stem += "_" + hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    return f"{stem}_" if keyword.iskeyword(stem) else stem


def identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """Name the inputs of a table's columns, all different."""
    short = [identifier(name) for name in names]
    return tuple(
        identifier(name, told_apart=True) if short.count(one) > 1 else one
        for name, one in zip(names, short, strict=True)
    )
