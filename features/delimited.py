"""Read CSV and TSV strictly: every row of the file comes out, sound or broken, with its line."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from features.errors import DataError
from features.names import suffix_of
from features.quarantine import RefusedError

#: A longer line is refused as a row and not kept in memory.
MAX_LINE = 4 << 20

_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UNCLOSED = "unexpected end of data"
_FIELD_LIMIT = "field larger than field limit"


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


class _Lines:
    """The physical lines of a file, decoded; remembers those of the current record."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offset = 0
        self.number = 0
        self.record: list[tuple[int, bytes]] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        offset, self._offset = self._offset, self._offset + len(line)
        if offset == 0:
            line = line.removeprefix(_BOM)
        if len(line) >= MAX_LINE and not line.endswith(b"\n"):
            self._skip_line()
            raise RefusedError("line_too_long", f"the line is longer than {MAX_LINE:,} bytes")
        self.record.append((offset, line))
        return line.decode("utf-8", "surrogateescape")

    def _skip_line(self) -> None:
        while part := self._file.readline(MAX_LINE):
            self._offset += len(part)
            if part.endswith(b"\n"):
                return

    def fault(self) -> RefusedError | None:
        """Say what is wrong with the bytes of the current record, and where in the file."""
        for offset, line in self.record:
            if b"\0" in line:
                return RefusedError("nul", "the row contains a NUL character", offset + line.index(b"\0"))
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                where = offset + error.start + (len(_BOM) if offset == 0 and self._has_bom() else 0)
                return RefusedError("bad_encoding", f"byte 0x{line[error.start]:02x} is not UTF-8", where)
        return None

    def _has_bom(self) -> bool:
        return os.pread(self._file.fileno(), 3, 0) == _BOM


def read_header(path: Path) -> list[str]:
    """Read the column names.

    Raises:
        DataError: the file is empty, not UTF-8, has no row, or its header is broken.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(4)
        if head.startswith(_WIDE_BOMS):
            raise _unreadable(path, "UTF-16 text", "save it as UTF-8")
        if not head.removeprefix(_BOM).strip():
            raise DataError(
                f"table {path} is empty", expected="a header line and rows", todo="check how it was made"
            )
        file.seek(0)
        lines = _Lines(file)
        header = _next_header(path, lines)
        if not file.read(1):
            raise DataError(
                f"table {path} has a header and no rows",
                got=f"columns {', '.join(map(repr, header))}",
                todo="check that it was written to its end",
            )
    return header


def _next_header(path: Path, lines: _Lines) -> list[str]:
    try:
        header = next(csv.reader(lines, delimiter=_delimiter(path), strict=True))
    except (csv.Error, RefusedError) as error:
        raise _unreadable(path, f"a header line with a fault: {error}", "correct the first line") from None
    if fault := lines.fault():
        raise _unreadable(path, f"a header that is not UTF-8 text: {fault.detail}", "save it as UTF-8")
    if not any(name.strip() for name in header):
        raise _unreadable(path, "an empty first line", "begin the table with its column names")
    return header


def _unreadable(path: Path, got: str, todo: str) -> DataError:
    return DataError(
        f"table {path} cannot be read", got=got, expected="UTF-8 text with a header line", todo=todo
    )


def _delimiter(path: Path) -> str:
    """Tab in a TSV; in a CSV the comma, or the semicolon or tab where the header has only those."""
    if suffix_of(os.fsencode(path.name)) == ".tsv":
        return "\t"
    with open(path, "rb") as file:
        first = file.readline(MAX_LINE)
    if b"," in first:
        return ","
    return next((mark for mark in (";", "\t") if mark.encode() in first), ",")


def read_rows(path: Path, width: int) -> "Iterator[Row | Broken]":
    """Yield every row after the header.

    Args:
        path: of the table.
        width: number of columns; a row of another width is broken.

    Raises:
        DataError: a quote is never closed, so that no later row can be trusted.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=_delimiter(path), strict=True)
        number = -1
        while True:
            lines.record.clear()
            first = lines.number + 1
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except RefusedError as refusal:
                yield Broken(number, first, refusal.reason, refusal.detail)
                continue
            except csv.Error as error:
                broken = list(_broken(path, number, lines, str(error)))
                number += len(broken) - 1
                yield from broken
                continue
            if number:
                yield _check(Row(number, first, cells), width, lines)


def _check(row: Row, width: int, lines: _Lines) -> Row | Broken:
    if fault := lines.fault():
        return Broken(row.number, row.line, fault.reason, fault.detail, fault.offset)
    if row.cells and len(row.cells) != width:
        return Broken(row.number, row.line, "ragged_row", f"{len(row.cells)} fields; the header has {width}")
    return row


def _broken(path: Path, number: int, lines: _Lines, error: str) -> Iterator[Broken]:
    """Account for each physical line that a record with bad quoting took in."""
    first = lines.number - len(lines.record) + 1
    if _UNCLOSED in error or (_FIELD_LIMIT in error and len(lines.record) > 1):
        raise DataError(
            f"table {path} has a quote that is never closed",
            got=f"a field that begins on line {first} and runs on to line {lines.number}",
            expected="every quoted field closed on its own line",
            todo=f"correct line {first}: no row after it can be trusted",
        )
    reason = "line_too_long" if _FIELD_LIMIT in error else "bad_quoting"
    detail = (
        f"a field is longer than {csv.field_size_limit():,} characters" if _FIELD_LIMIT in error else error
    )
    for index in range(len(lines.record)):
        yield Broken(number + index, first + index, reason, detail)
