"""Read CSV and TSV strictly: every row of the file comes out, sound or broken, with its line."""

import codecs
import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from features.errors import DataError
from features.quarantine import RefusedError
from features.sources.files.candidates import TableOptions
from features.sources.tables import cells as rows
from features.sources.tables.dialect import BOM, Dialect, tell

#: A longer line is refused as a row and not kept in memory.
MAX_LINE = 4 << 20

_UNCLOSED = "unexpected end of data"
_FIELD_LIMIT = "field larger than field limit"
#: Bytes at a file's beginning that may be blank.
_LEADING = 1 << 16
#: A field over so many lines or more that each look like a row is taken for a stray quote.
_SWALLOWED = 2
#: What stands for a byte that is no character of the table's encoding.
_ODD = "servable-odd-bytes"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: number from 1 (header not counted), first line of the file from 1, cells (none if blank)."""

    number: int
    line: int | None
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be used: a key of quarantine.REASONS, and the byte offset where that is the fault."""

    number: int
    line: int | None
    reason: str
    detail: str
    offset: int | None = None


@dataclass
class Tally:
    """What is worth telling about the rows of a table, complete once all are read.

    Attributes:
        rows: number of them.
        spanning: rows with a field that spans lines.
        longest: first and last line of the longest of these.
        undecoded: rows with bytes that are not of the table's encoding.
        cut: rows with more fields than columns, all of these empty.
    """

    rows: int = 0
    spanning: int = 0
    longest: tuple[int, int] = (0, 0)
    undecoded: int = 0
    cut: int = 0

    def span(self, first: int, last: int) -> None:
        """Count a row that spans lines."""
        self.spanning += 1
        self.longest = max(self.longest, (first, last), key=lambda lines: lines[1] - lines[0])


class _Source(Protocol):
    def readline(self, limit: int = ..., /) -> bytes: ...


class _Recoded:
    """The lines of a text file as UTF-8, whatever its encoding and line ends."""

    def __init__(self, file: IO[bytes], dialect: Dialect) -> None:
        self._text = io.TextIOWrapper(file, dialect.encoding, _ODD, newline=dialect.newline)

    def readline(self, limit: int = -1, /) -> bytes:
        return self._text.readline(limit).encode("utf-8", "surrogateescape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC80 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ODD, _escape)


class _Lines:
    """The physical lines of a file, decoded; remembers those of the current record."""

    def __init__(self, file: IO[bytes], dialect: Dialect) -> None:
        self._plain = dialect.encoding == "utf-8"
        self._dialect, self._end = dialect, dialect.newline.encode()
        self._file: _Source = file if self._plain and dialect.newline == "\n" else _Recoded(file, dialect)
        self._marked = self._plain and os.pread(file.fileno(), 3, 0) == BOM
        self._offset = 0
        self.number = 0
        self.record: list[tuple[int, bytes]] = []
        for _ in range(dialect.skipped):
            next(self)
        self.record.clear()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        offset, self._offset = self._offset, self._offset + len(line)
        if offset == 0:
            line = line.removeprefix(BOM)
        if len(line) >= MAX_LINE and not line.endswith(self._end):
            self._skip_line()
            raise RefusedError("line_too_long", f"the line is longer than {MAX_LINE:,} bytes")
        self.record.append((offset, line))
        return line.decode("utf-8", "surrogateescape")

    def _skip_line(self) -> None:
        while part := self._file.readline(MAX_LINE):
            self._offset += len(part)
            if part.endswith(self._end):
                return

    def fault(self) -> RefusedError | None:
        """Return what is wrong with the bytes of the current record, and where in the file."""
        for offset, line in self.record:
            if b"\0" in line:
                return RefusedError(
                    "nul", "the row contains a NUL character", self._place(offset, line.index(b"\0"))
                )
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return RefusedError("bad_encoding", self._odd(line, error), self._place(offset, error.start))
        return None

    def _odd(self, line: bytes, error: UnicodeDecodeError) -> str:
        if not self._plain:
            return f"bytes that are no {self._dialect.encoding.upper()}"
        byte = line[error.start]
        other = bytes([byte]).decode("cp1252", "replace")
        hint = (
            f"; in cp1252 it is {other!r}, which --set data.encoding=cp1252 reads"
            if other.isprintable() and other != "\N{REPLACEMENT CHARACTER}"
            else ""
        )
        return f"byte 0x{byte:02x} is not UTF-8{hint}"

    def _place(self, offset: int, within: int) -> int | None:
        """Return the byte of the file, which is not known where it was recoded."""
        return offset + within + (len(BOM) if offset == 0 and self._marked else 0) if self._plain else None


class _Records:
    """The records of a file: the cells of one line, or of several where a quoted field spans them."""

    def __init__(self, lines: _Lines, dialect: Dialect) -> None:
        self._lines, self._dialect = lines, dialect
        self._reader = dialect.reader(lines)

    def next(self) -> list[str]:
        """Read one record.

        Raises:
            StopIteration: there is none.
            RefusedError, csv.Error: it cannot be used.
        """
        self._lines.record.clear()
        if self._dialect.quoting != "none":
            return next(self._reader)
        cells = self._dialect.cut(next(self._lines))
        if max(map(len, cells), default=0) > csv.field_size_limit():
            raise csv.Error(_FIELD_LIMIT)
        return cells


def read_header(path: Path, dialect: Dialect | None = None) -> list[str]:
    """Read the column names; without a header ``column_1``, ``column_2`` and so on.

    Args:
        path: of the table.
        dialect: how it is written; None: to be told.

    Raises:
        DataError: the file is empty, of another encoding, has no row, or its header is broken.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if not file.read(_LEADING).removeprefix(BOM).strip():
            raise DataError(
                f"table {path} is empty",
                expected="a header line and rows",
                todo="check the program that wrote it",
            )
        file.seek(0)
        dialect = dialect or tell(path, TableOptions())
        lines = _Lines(file, dialect)
        first = _first_row(path, lines, dialect)
        if not dialect.header:
            return [f"column_{place}" for place in range(1, len(first) + 1)]
        if next(lines, None) is None:
            raise DataError(
                f"table {path} has a header and no rows",
                got=f"columns {', '.join(map(repr, first))}",
                todo="check that it was written to its end",
            )
    return first


def _first_row(path: Path, lines: _Lines, dialect: Dialect) -> list[str]:
    try:
        first = _Records(lines, dialect).next()
    except StopIteration:
        raise DataError(f"table {path} is empty", todo="check the program that wrote it") from None
    except (csv.Error, RefusedError) as error:
        what = rows.fault(error) if isinstance(error, csv.Error) else error.detail
        raise _unreadable(path, f"a header line with a fault: {what}", "correct the first line") from None
    if fault := lines.fault():
        todo = "save it as UTF-8, or name its encoding: --set data.encoding=cp1252"
        raise _unreadable(path, f"a header that cannot be decoded: {fault.detail}", todo)
    if not any(name.strip() for name in first):
        raise _unreadable(path, "an empty first line", "begin the table with its column names")
    return first


def _unreadable(path: Path, got: str, todo: str) -> DataError:
    return DataError(f"table {path} cannot be read", got=got, expected="text with a header line", todo=todo)


def read_rows(
    path: Path, width: int, dialect: Dialect | None = None, tally: Tally | None = None
) -> "Iterator[Row | Broken]":
    """Yield every row after the header.

    Args:
        path: of the table.
        width: number of columns; a row of another width is broken.
        dialect: how the table is written; None: to be told.
        tally: counts what is worth telling.

    Raises:
        DataError: a quote is never closed, so that no later row can be trusted.
        OSError: the file cannot be read.
    """
    dialect, tally = dialect or tell(path, TableOptions()), tally if tally is not None else Tally()
    with open(path, "rb") as file:
        lines = _Lines(file, dialect)
        records = _Records(lines, dialect)
        number = -1 if dialect.header else 0
        while True:
            first = lines.number + 1
            number += 1
            try:
                cells = records.next()
            except StopIteration:
                return
            except RefusedError as refusal:
                outcome: list[Row | Broken] = [Broken(number, first, refusal.reason, refusal.detail)]
            except csv.Error as error:
                outcome = _broken(path, number, lines, error)
            else:
                outcome = _checked(Row(number, first, cells), width, lines, dialect, tally)
            number += len(outcome) - 1
            if number:
                yield from outcome


def _checked(row: Row, width: int, lines: _Lines, dialect: Dialect, tally: Tally) -> list[Row | Broken]:
    """Hold a record to the rules; one that swallowed others is as many broken rows as it has lines."""
    number, first = row.number, row.line
    if fault := lines.fault():
        tally.undecoded += fault.reason == "bad_encoding"
        return [Broken(number, first, fault.reason, fault.detail, fault.offset)]
    if len(lines.record) > 1:
        if _swallowed(lines, width, dialect):
            detail = (
                f"a quote opens on line {first} and closes on line {lines.number}, over what look like "
                "rows; if quotes are ordinary characters: --set data.quoting=none"
            )
            return _each_line(number, lines, "bad_quoting", detail)
        tally.span(lines.number - len(lines.record) + 1, lines.number)
    if len(row.cells) > width and not any(map(str.strip, row.cells[width:])):
        tally.cut += 1
        return [Row(number, first, row.cells[:width])]
    if row.cells and len(row.cells) != width:
        return [Broken(number, first, "ragged_row", _ragged(row, width, lines, dialect))]
    return [row]


def _ragged(row: Row, width: int, lines: _Lines, dialect: Dialect) -> str:
    """Return how many fields a row has, and why there may be more or fewer than names."""
    said = f"{len(row.cells)} fields; the header has {width}"
    if dialect.quoting == "none" and any(b'"' in line for _, line in lines.record):
        return f"{said}; quotes count as characters here, --set data.quoting=minimal gives them a meaning"
    if row.number == 1 and len(row.cells) == width + 1:
        return (
            f"{said}; if the first column has no name, as row names of R, begin the header with a delimiter"
        )
    return said


def _swallowed(lines: _Lines, width: int, dialect: Dialect) -> bool:
    """Return whether the lines inside a quoted field look like rows of their own."""
    mark = dialect.delimiter.encode()
    inside = [line for _, line in lines.record[1:-1]]
    return width > 1 and len(inside) >= _SWALLOWED and all(line.count(mark) == width - 1 for line in inside)


def _broken(path: Path, number: int, lines: _Lines, error: csv.Error) -> "list[Row | Broken]":
    """Account for each physical line that a record with bad quoting took in."""
    first = lines.number - len(lines.record) + 1
    too_long = _FIELD_LIMIT in str(error)
    if _UNCLOSED in str(error) or (too_long and len(lines.record) > 1):
        raise DataError(
            f"table {path} has a quote that is never closed",
            got=f"a field that begins on line {first} and runs on to line {lines.number}",
            expected="every quoted field closed on its own line",
            todo=f"correct line {first}, as no row after it can be trusted; where quotes are characters like "
            "others: --set data.quoting=none",
        )
    detail = rows.fault(error)
    if not too_long and any(b'\\"' in line for _, line in lines.record):
        detail += '; where \\" stands for a quote: --set data.quoting=escaped'
    return _each_line(number, lines, "line_too_long" if too_long else "bad_quoting", detail)


def _each_line(number: int, lines: _Lines, reason: str, detail: str) -> "list[Row | Broken]":
    first = lines.number - len(lines.record) + 1
    return [Broken(number + index, first + index, reason, detail) for index in range(len(lines.record))]
