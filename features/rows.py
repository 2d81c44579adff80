"""Rows of a table as text: how one is written and read, what a number is, and what a cell says nothing.

A row travels as one line of CSV (RFC 4180) with the table's input cells in their order: a form that
``tf.io.decode_csv`` reads in the served graph. Imports nothing heavy: decoder processes load it.
"""

import csv
import hashlib
import io
import keyword
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Kind = Literal["numeric", "categorical"]

#: What a number looks like, in Python's and in RE2's syntax; hexadecimal, infinite and NaN are none.
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
#: Words that stand for a missing value where nothing else is said.
MISSING_WORDS = ("NA", "N/A", "NaN", "nan", "null", "None", "?")
#: Largest number that a float32 holds.
LARGEST = 3.4028234e38
#: The blanks that `tf.strings.strip` takes off.
_BLANKS = " \t\n\r\f\v"
_NUMBER = re.compile(NUMBER)


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
    found = next(csv.reader(io.StringIO(row, newline=""), strict=True), [])
    return [cell.strip(_BLANKS) for cell in found]


def number(cell: str) -> float | None:
    """Read a cell as a number that a float32 holds; None for any other cell."""
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if math.isfinite(value) and abs(value) <= LARGEST else None


def silent(words: Iterable[str]) -> frozenset[str]:
    """Give the cells that say nothing: the empty one, and words such as NA."""
    return frozenset(words) | {""}


def kinds(
    rows: Iterable[str],
    names: Sequence[str],
    given: Mapping[str, Kind],
    missing: Sequence[str],
    odd: float,
) -> dict[str, Kind]:
    """Tell which columns hold numbers.

    Args:
        rows: lines of CSV.
        names: of the columns, in order.
        given: kinds that are decided already.
        missing: words that stand for a missing value.
        odd: share of a numeric column's cells that may be no numbers; these rows are refused later.

    Returns:
        The kind of every column, in order; one without a single value is categorical.
    """
    there, numbers = [0] * len(names), [0] * len(names)
    absent = silent(missing)
    for row in rows:
        for place, cell in enumerate(cells(row)):
            if cell not in absent:
                there[place] += 1
                numbers[place] += number(cell) is not None
    found: dict[str, Kind] = {}
    for name, present, numeric in zip(names, there, numbers, strict=True):
        is_numeric = numeric > 0 and present - numeric <= odd * present
        found[name] = given.get(name, "numeric" if is_numeric else "categorical")
    return found


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
