"""Lines of text as a source: text files, plain or gzipped, folders of them, and a table's column."""

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from features.decisions import Decisions
from features.errors import AccessError, DataError, NoInputError, StorageError
from features.names import escape, printable, suffix_of
from features.sources import archives
from features.sources.files import folders
from features.sources.files.candidates import Columns, Rejected, Skipped
from features.sources.files.selection import Selection
from features.sources.tables import tables
from features.sources.tables.delimited import Broken, Tally
from features.sources.tables.file import TableFile
from features.spec import Progress, RawKind

_BOM = b"\xef\xbb\xbf"
_WIDE = {b"\xff\xfe": "UTF-16 or UTF-32", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
#: A gzipped file may unpack to so many bytes whatever its own size.
_SMALL = 1 << 20

_LAYOUTS = (
    "a text file (.txt, .text, .cor, or one of these as .gz), a folder of them, a table (.csv, .tsv, "
    ".parquet) with a column of texts, or an archive of one of these"
)


class End:
    """The end of a file, or of a table's row: what follows does not go on with what was before."""


#: A line that can be used, or what became of it; and where a file ends.
Entry = bytes | Skipped | Rejected | End


@dataclass(frozen=True)
class Lines:
    """Where the lines come from; iterating reads every file once, in the order of their names.

    Attributes:
        description: one sentence for the user.
        root: the folder that names are relative to.
        scan: yields each line, without its end, or what became of it.
        decisions: what was decided where the data left it open; complete once every line was read.
    """

    description: str
    root: bytes
    scan: Callable[[], Iterator[Entry]]
    decisions: Decisions = field(default_factory=Decisions)


def recognise(
    path: Path, raw: RawKind, columns: Columns, rules: Any, scratch: Path, progress: Progress
) -> Lines:
    """Return what kind of source of lines a path is.

    Args:
        path: a file, folder, table or archive.
        raw: its ``suffixes`` are the files that are read.
        columns: ``input`` names the column of a table.
        rules: ``max_line_bytes``, ``bad_text`` and the limits of archives.
        scratch: folder that archives are unpacked into.
        progress: called while an archive is unpacked.

    Raises:
        NoInputError, AccessError, StorageError: the path is not there, may not be read, or cannot be.
        DataError: it is none of the known layouts.
    """
    try:
        where = path.resolve(strict=True)
        decisions = Decisions()
        if stat.S_ISREG(where.stat().st_mode) and archives.is_archive(where):
            where = archives.unpack(where, scratch, rules.archive_rules(), progress, decisions)
            rules = rules.model_copy(update={"follow_symlinks": False})
        if where.is_dir():
            lines = _folder(where, printable(str(path)), raw, columns, rules)
        else:
            lines = _file(where, raw, columns, rules)
        lines.decisions.update(decisions)
        return lines
    except (FileNotFoundError, NotADirectoryError, RuntimeError):
        raise NoInputError("no data", got=f"{path}, which does not exist", todo="check the path") from None
    except PermissionError as error:
        raise AccessError(
            "no permission to read the data", got=error.filename, todo="change its permissions"
        ) from None
    except OSError as error:
        raise StorageError(f"the data {path} cannot be read", got=error.strerror or error) from error


def _file(path: Path, raw: RawKind, columns: Columns, rules: Any) -> Lines:
    root, name = os.fsencode(path.parent), os.fsencode(path.name)
    if tables.is_table(path):
        table, place = tables.text_column(path, columns)
        description = printable(f"table {path.name}: texts from {table.names[place]!r}")
        decisions = Decisions()
        return Lines(description, root, lambda: _cells(table, place, decisions), decisions)
    if suffix_of(name) not in raw.suffixes:
        raise DataError(
            f"{path} is not a source of text",
            got=f"a file {path.suffix or 'without extension'}",
            expected=_LAYOUTS,
        )
    return Lines(printable(f"lines of {path.name}"), root, lambda: _read(root, name, rules))


def _folder(path: Path, shown: str, raw: RawKind, columns: Columns, rules: Any) -> Lines:
    root = os.fsencode(path)
    selection = Selection(raw, rules.follow_symlinks)
    listing = folders.list_folder(root, b"", selection)
    table_paths = [
        path / os.fsdecode(name) for name in listing.files if tables.is_table(Path(os.fsdecode(name)))
    ]
    if len(table_paths) == 1 and columns.input is not None:
        return _file(table_paths[0], raw, columns, rules)

    def scan() -> Iterator[Entry]:
        for entry in folders.walk(root, selection):
            if isinstance(entry, bytes):
                yield from _read(root, entry, rules)
                yield End()
            else:
                yield entry

    return Lines(f"text files in {shown}", root, scan)


def _cells(table: TableFile, place: int, decisions: Decisions) -> Iterator[Entry]:
    name, tally = os.fsencode(table.path.name), Tally()
    for number, row in enumerate(table.rows((place,), tally), start=1):
        tally.rows = number
        if isinstance(row, Broken):
            yield Rejected(name, row.reason, row.detail, row.number, row.line, row.offset)
        elif not row.cells or not row.cells[place].strip():
            yield Skipped(escape(f"{table.path.name}:{row.number}"), "blank_line")
        else:
            # A cell of several lines is one text.
            yield " ".join(row.cells[place].splitlines()).encode()
            yield End()
    table.record(tally, decisions)


def _read(root: bytes, relative: bytes, rules: Any) -> Iterator[Entry]:
    """Yield the lines of one file; a fault of the file itself is one entry."""
    try:
        with _open(os.path.join(root, relative), rules) as stream:
            yield from _Reader(relative, rules).read(stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = "truncated" if isinstance(error, EOFError) else "corrupt"
        yield Rejected(relative, reason, f"the gzip data: {error}")
    except OSError as error:
        yield Rejected(relative, "unreadable", error.strerror or str(error))


def _open(path: bytes, rules: Any) -> IO[bytes]:
    # A FIFO put there since the folder was listed must not block.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(handle, "rb")
    if suffix_of(path) != ".gz":
        return stream
    most = _SMALL + rules.max_archive_ratio * os.fstat(handle).st_size
    return cast(IO[bytes], _Unpacked(stream, escape(path), min(most, rules.max_archive_bytes)))


class _Unpacked(gzip.GzipFile):
    """A gzipped file that refuses to grow without end."""

    def __init__(self, stream: IO[bytes], shown: str, most: int) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._stream, self._shown, self._most = stream, shown, most

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if self.tell() > self._most:
            raise DataError(
                f"{self._shown} is too large when unpacked",
                got=f"more than {self._most:,} bytes",
                expected="what data.max_archive_ratio and data.max_archive_bytes allow",
                todo="unpack it yourself if you trust it",
            )
        return line

    def close(self) -> None:
        super().close()
        self._stream.close()


class _Reader:
    """The lines of one file, each checked by itself; never more than one line in memory."""

    def __init__(self, relative: bytes, rules: Any) -> None:
        self._relative, self._rules = relative, rules

    def read(self, stream: IO[bytes]) -> Iterator[Entry]:
        """Yield every line."""
        limit, offset, number = self._rules.max_line_bytes, 0, 0
        while line := stream.readline(limit + 2):
            number += 1
            if offset == 0 and (
                wide := next((name for mark, name in _WIDE.items() if line.startswith(mark)), "")
            ):
                yield Rejected(
                    self._relative, "bad_encoding", f"the file is {wide}; save it as UTF-8", offset=0
                )
                return
            whole = line.endswith(b"\n") or len(line) <= limit
            yield self._entry(line, number, offset) if whole else self._too_long(number, offset)
            offset += len(line)
            while not whole:
                rest = stream.readline(limit)
                offset += len(rest)
                whole = not rest or rest.endswith(b"\n")

    def _too_long(self, number: int, offset: int) -> Rejected:
        detail = f"line {number} is longer than {self._rules.max_line_bytes:,} bytes"
        return Rejected(self._relative, "line_too_long", detail, line=number, offset=offset)

    def _entry(self, line: bytes, number: int, offset: int) -> Entry:
        body = line.rstrip(b"\r\n")
        start = offset
        if offset == 0 and body.startswith(_BOM):
            body, start = body[len(_BOM) :], len(_BOM)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            if self._rules.bad_text == "reject":
                place = start + error.start
                detail = f"byte 0x{body[error.start]:02x} is not UTF-8"
                return Rejected(self._relative, "bad_encoding", detail, line=number, offset=place)
            text = body.decode("utf-8", "replace")
        if "\0" in text:
            if self._rules.bad_text == "reject":
                place = start + body.index(b"\0")
                return Rejected(self._relative, "nul", "a NUL character", line=number, offset=place)
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if not text.strip():
            return Skipped(escape(self._relative) + f":{number}", "blank_line")
        return text.encode()
