"""A table as a file: CSV, TSV or Parquet, the names of its columns and its rows."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from features.decisions import Decisions
from features.names import counted, printable, suffix_of
from features.sources.files.candidates import TableOptions
from features.sources.tables import delimited, number_format, parquet
from features.sources.tables.delimited import Broken, Row, Tally
from features.sources.tables.dialect import Dialect, tell

#: Rows that are looked at to tell whether the first one is like the others.
_COMPARED = 50


@dataclass(frozen=True)
class TableFile:
    """A table whose header was read.

    Attributes:
        path: of the file.
        names: of the columns, all different: a column without a name is ``column_`` and its place from 1, a
            further one of the same name has ``.1``, ``.2`` behind it, as pandas does it.
        nameless: names of those without one.
        repeated: names that the header has more than once.
        indexes: columns that pandas wrote as the index of a data frame.
        dialect: how it is written; None for Parquet.
        stored: names as the file has them.
    """

    path: Path
    names: tuple[str, ...]
    nameless: frozenset[str]
    repeated: frozenset[str]
    indexes: frozenset[str]
    dialect: Dialect | None
    stored: tuple[str, ...]

    def rows(self, chosen: Sequence[int], tally: Tally | None = None) -> "Iterator[Row | Broken]":
        """Read every row; cells that are not chosen by their place may be empty.

        Raises:
            DataError: the table is damaged.
            OSError: it cannot be read.
        """
        if self.dialect is None:
            return parquet.read_rows(self.path, self.stored, chosen)
        return delimited.read_rows(self.path, len(self.names), self.dialect, tally)

    def without_header(self) -> bool:
        """Return whether what was taken for names looks like a row: numbers, or values of the rows below."""
        if self.dialect is None or not self.dialect.header:
            return False
        if any(number_format.PLAIN.matches(name) for name in self.names):
            return True
        below = [row.cells for row in islice(self.rows(()), _COMPARED) if isinstance(row, Row) and row.cells]
        return any(cells[place] == name for cells in below for place, name in enumerate(self.stored) if name)

    def record(self, tally: Tally, decisions: Decisions) -> None:
        """Add how the table was read to the decisions."""
        name = printable(self.path.name)
        spans = (
            f"{tally.spanning} with a field that spans lines" if tally.spanning else "no field spans lines"
        )
        text = f"; {spans}" if self.dialect is not None else ""
        decisions.add("table", name, str(self.dialect or "Parquet"), counted(tally.rows, "row") + text)
        if tally.spanning:
            first, last = tally.longest
            longest = f"the longest from line {first} to line {last}"
            decisions.add(
                "quoting",
                name,
                f"fields span lines in {counted(tally.spanning, 'row')}",
                longest,
                warning=True,
            )
        if tally.undecoded:
            how = "they are quarantined; --set data.encoding=cp1252 or another name reads them"
            description = f"bytes that are not {self._encoding()} in {counted(tally.undecoded, 'row')}"
            decisions.add("encoding", name, description, how, warning=True)
        if tally.cut:
            decisions.add("fields", name, "empty ones beyond the header ignored", counted(tally.cut, "row"))
        if self.repeated:
            names = ", ".join(map(repr, sorted(self.repeated)))
            how = "further ones have .1, .2 behind the name"
            decisions.add("header", name, f"columns of the same name: {names}", how, warning=True)

    def _encoding(self) -> str:
        return self.dialect.encoding.upper() if self.dialect else "UTF-8"


def read(path: Path, options: TableOptions) -> TableFile:
    """Read a table's header.

    Raises:
        DataError: it has no usable one, or is damaged.
        OSError: the file cannot be read.
    """
    if suffix_of(os.fsencode(path.name)) == ".parquet":
        stored, indexes = parquet.read_header(path)
        dialect = None
    else:
        dialect = tell(path, options)
        stored, indexes = delimited.read_header(path, dialect), ()
    names, nameless = _distinct(stored)
    counts = Counter(name.strip() for name in stored)
    repeated = frozenset(name for name, count in counts.items() if name and count > 1)
    return TableFile(path, names, nameless, repeated, frozenset(indexes), dialect, tuple(stored))


def _distinct(stored: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return every column a name of its own; also those that had none."""
    names: list[str] = []
    nameless = set()
    header_names = {name.strip() for name in stored}
    for place, heading in enumerate(stored, start=1):
        stem = heading.strip() or f"column_{place}"
        name, number = stem, 0
        while name in names or (name != heading.strip() and name in header_names):
            number += 1
            name = f"{stem}.{number}"
        names.append(name)
        if not heading.strip():
            nameless.add(name)
    return tuple(names), frozenset(nameless)
