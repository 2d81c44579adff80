"""Tables as a source: CSV, TSV and Parquet, one example a row."""

import contextlib
import csv
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from features.candidates import Candidate, Columns, Entry, Rejected, Skipped, Source, split_named
from features.delimited import Broken, Row, read_header, read_rows
from features.errors import DataError
from features.names import escape, printable, suffix_of
from features.spec import RawKind

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".csv", ".tsv", ".parquet")

#: Usual column names, tried where Columns leaves one open; compared without regard to case.
_FILE_NAMES = ("path", "file", "filename", "file_name", "filepath", "file_path")
_TEXT_NAMES = ("text", "sentence", "review", "phrase", "document", "comment", "message")
_TARGET_NAMES = ("label", "class", "target", "category", "sentiment", "polarity")
_SPLIT_NAMES = ("split", "subset", "partition")
_FOLD_NAMES = ("fold",)


def is_table(path: Path) -> bool:
    """Say whether the file's name ends like a table that can be read."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class Places:
    """Positions of the columns in a row; None where there is none."""

    input: int
    target: int
    split: int | None
    fold: int | None

    def chosen(self) -> list[int]:
        """List the positions that are set."""
        places = (self.input, self.target, self.split, self.fold)
        return list(dict.fromkeys(place for place in places if place is not None))


def open_table(path: Path, raw: RawKind, columns: Columns) -> Source:
    """Make a source of a table.

    Args:
        path: of a file whose name ends with one of SUFFIXES.
        raw: the raw kind; the examples are files beside the table, or its own cells.
        columns: where to find input, target, split and fold.

    Raises:
        DataError: the table has no usable header, or lacks a column.
        OSError: the file cannot be read.
    """
    header = _header(path)
    places = find_columns(path.name, header, raw, columns)
    root = os.fsencode(path.parent)
    rows = _RowReader(root, path.name, raw, places)

    def scan() -> Iterator[Entry]:
        for row in _rows(path, header, places):
            yield rows.entry(row)

    names = ", ".join(
        f"{role} from {header[place]!r}" for role, place in vars(places).items() if place is not None
    )
    return Source("table", printable(f"table {path.name}: {names}"), root, (), (), scan)


def open_split_tables(found: Mapping[str, Path], raw: RawKind, columns: Columns) -> Source:
    """Make one source of a table for each split, in the same folder.

    Args:
        found: split to table.
        raw: as of `open_table`.
        columns: as of `open_table`; a split column is not looked for.

    Raises:
        DataError: as of `open_table`, or a split column is named beside split tables.
    """
    if columns.split is not None:
        raise DataError(
            "the split is given twice",
            got=f"--split-column {columns.split}, and tables named {', '.join(sorted(found))}",
            expected="one of the two",
            todo="leave --split-column out, or pass one table as --data",
        )
    sources = {split: open_table(path, raw, columns) for split, path in found.items()}

    def scan() -> Iterator[Entry]:
        for split, source in sources.items():
            for entry in source:
                yield replace(entry, split=split) if isinstance(entry, Candidate) else entry

    described = "; ".join(f"{split}: {source.description}" for split, source in sources.items())
    root = next(iter(sources.values())).root
    return Source("split-tables", printable(described), root, (), tuple(sources), scan)


def _header(path: Path) -> list[str]:
    header = _parquet_header(path) if suffix_of(os.fsencode(path.name)) == ".parquet" else read_header(path)
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(
            f"table {path} has columns of the same name",
            got=", ".join(map(repr, repeated)),
            expected="each name once in the header",
            todo="rename them",
        )
    return header


def _rows(path: Path, header: Sequence[str], places: Places) -> "Iterator[Row | Broken]":
    if suffix_of(os.fsencode(path.name)) == ".parquet":
        return _parquet_rows(path, header, places)
    return read_rows(path, len(header))


def text_column(path: Path, columns: Columns) -> tuple[list[str], int]:
    """Find the column of a table that holds texts, where no label is wanted.

    Returns:
        The header, and the column's position.

    Raises:
        DataError: the table has no usable header, or no such column.
        OSError: the file cannot be read.
    """
    header = _header(path)
    place = _place(path.name, header, "input", columns.input, _TEXT_NAMES)
    if place is None:
        raise DataError(
            f"table {path.name} has no column of texts that can be told by its name",
            got=f"columns {', '.join(map(repr, header))}",
            expected=f"one of {', '.join(_TEXT_NAMES)}",
            todo="name it with --input-column",
        )
    return header, place


def column(path: Path, header: Sequence[str], place: int) -> "Iterator[Row | Broken]":
    """Read the rows of a table of which one column alone is wanted."""
    return _rows(path, header, Places(place, place, None, None))


def usable(path: Path, raw: RawKind) -> bool:
    """Say whether a table has an input and a target column of usual names, so that it may be meant."""
    try:
        find_columns(path.name, _header(path), raw, Columns())
    except (DataError, OSError):
        return False
    return True


def find_columns(table: str, header: Sequence[str], raw: RawKind, columns: Columns) -> Places:
    """Find the columns by the names given, else by the usual ones.

    Raises:
        DataError: a column is missing, or several could be meant; names those found and expected.
    """
    inputs = (*_FILE_NAMES, raw.name, f"{raw.name}_path") if not raw.cells else _TEXT_NAMES
    source = _place(table, header, "input", columns.input, inputs)
    target = _place(table, header, "target", columns.target, _TARGET_NAMES)
    if source is None or target is None:
        missing, usual = ("input", inputs) if source is None else ("target", _TARGET_NAMES)
        raise DataError(
            f"table {table} has no {missing} column that can be told by its name",
            got=f"columns {', '.join(map(repr, header))}",
            expected=f"one of {', '.join(usual)}",
            todo=f"name it with --{missing}-column",
        )
    split = _place(table, header, "split", columns.split, _SPLIT_NAMES)
    return Places(source, target, split, _place(table, header, "fold", columns.fold, _FOLD_NAMES))


def _place(
    table: str, header: Sequence[str], role: str, given: str | None, usual: Sequence[str]
) -> int | None:
    if given is not None:
        if given not in header:
            raise DataError(
                f"table {table} has no column {given!r} for the {role}",
                got=f"columns {', '.join(map(repr, header))}",
                todo=f"correct --{role}-column",
            )
        return list(header).index(given)
    found = [index for index, name in enumerate(header) if name.strip().lower() in usual]
    if len(found) > 1:
        raise DataError(
            f"table {table} has several columns that could be the {role}",
            got=", ".join(repr(header[index]) for index in found),
            expected="one",
            todo=f"name it with --{role}-column",
        )
    return found[0] if found else None


class _RowReader:
    """Turn the rows of one table into entries."""

    def __init__(self, root: bytes, table: str, raw: RawKind, places: Places) -> None:
        self._root, self._table, self._raw, self._places = root, table, raw, places
        self._parent_is_real = lru_cache(maxsize=100_000)(self._is_real)

    def entry(self, row: "Row | Broken") -> Entry:
        """Check one row, and look at the file it names without opening it."""
        if isinstance(row, Broken):
            return self._rejected(row, row.reason, row.detail, row.offset)
        name = escape(f"{self._table}:{row.number}")
        if not row.cells:
            return Skipped(name, "blank_row")
        cells = [None if place is None else row.cells[place] for place in vars(self._places).values()]
        source, target, split, fold = cells
        for role, cell in (("input", source), ("target", target)):
            if cell is None or not cell.strip():
                return self._rejected(row, "missing_value", f"the row has no {role}")
        assert source is not None, "just checked"
        assert target is not None, "just checked"
        known = None
        if self._places.split is not None and (known := split_named(split or "")) is None:
            return self._rejected(
                row, "unknown_split", f"the split is {split!r}; expected train, validation or test"
            )
        if self._raw.cells:
            return Candidate(None, name, target, known, fold or None, row.number, source.encode("utf-8"))
        return self._file(row, source, target, known, fold or None)

    def _file(self, row: Row, cell: str, label: str, split: str | None, fold: str | None) -> Entry:
        relative = os.path.normpath(cell.encode("utf-8"))
        if relative.startswith((b"/", b"../")) or relative == b"..":
            return self._rejected(row, "outside_folder", f"the path {cell!r} leaves the table's folder")
        shown, suffix = escape(relative), suffix_of(relative)
        if suffix and suffix not in self._raw.suffixes:
            return Skipped(shown, "unsupported_extension", suffix)
        path = os.path.join(self._root, relative)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return self._rejected(row, "missing", f"there is no file {cell!r} in the table's folder")
        except (OSError, ValueError) as error:
            return self._rejected(row, "unreadable", f"{cell!r}: {error}")
        if stat.S_ISDIR(mode):
            return self._rejected(row, "not_a_file", f"{cell!r} is a folder")
        if stat.S_ISLNK(mode) or not self._parent_is_real(path.rpartition(b"/")[0]):
            return Skipped(shown, "symlink")
        if not stat.S_ISREG(mode):
            return Skipped(shown, "special_file")
        return Candidate(path, shown, label, split, fold, row.number)

    def _is_real(self, folder: bytes) -> bool:
        return os.path.realpath(folder) == folder

    def _rejected(self, row: "Row | Broken", reason: str, detail: str, offset: int | None = None) -> Rejected:
        table = os.fsencode(self._table)
        return Rejected(table, reason, detail, row.number, row.line, offset)


# -- Parquet --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _parquet_faults(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for damaged content into a DataError; the disk's own errors pass."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"table {path} cannot be read",
            got=printable(str(error)[:300]),
            expected="an undamaged Parquet file",
            todo="write it again",
        ) from error


def _parquet_header(path: Path) -> list[str]:
    import pyarrow.parquet

    with _parquet_faults(path), open(path, "rb") as file, pyarrow.parquet.ParquetFile(file) as table:
        if not table.metadata.num_rows:
            raise DataError(f"table {path} has no rows", todo="check that it was written to its end")
        return list(table.schema_arrow.names)


def _parquet_rows(path: Path, header: Sequence[str], places: Places) -> "Iterator[Row | Broken]":
    import pyarrow.parquet

    chosen = places.chosen()
    with _parquet_faults(path), open(path, "rb") as file, pyarrow.parquet.ParquetFile(file) as table:
        _require_plain(path, table.schema_arrow, [header[place] for place in chosen])
        number = 0
        for batch in table.iter_batches(columns=[header[place] for place in chosen]):
            columns = [_plain(batch.column(header[place])) for place in chosen]
            for values in zip(*columns, strict=True):
                number += 1
                yield _parquet_row(number, len(header), dict(zip(chosen, values, strict=True)))


def _plain(column: "pyarrow.Array") -> list[object]:
    """Give a column's values; text as bytes, for pyarrow does not check that it is UTF-8."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view)
    if any(is_text(column.type) for is_text in kinds):
        column = column.cast(pyarrow.large_binary())
    values: list[object] = column.to_pylist()
    return values


def _parquet_row(number: int, width: int, values: Mapping[int, object]) -> Row | Broken:
    """Hold a row to the rules that a CSV's rows obey."""
    cells = [""] * width
    for place, value in values.items():
        try:
            text = value.decode("utf-8") if isinstance(value, bytes) else str("" if value is None else value)
        except UnicodeDecodeError as error:
            detail = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
            return Broken(number, None, "bad_encoding", detail)
        if "\0" in text:
            return Broken(number, None, "nul", "the row contains a NUL character")
        if len(text) > csv.field_size_limit():
            detail = f"a field is longer than {csv.field_size_limit():,} characters"
            return Broken(number, None, "line_too_long", detail)
        cells[place] = text
    return Row(number, None, cells)


def _require_plain(path: Path, schema: "pyarrow.Schema", names: Sequence[str]) -> None:
    import pyarrow

    for name in names:
        kind = schema.field(name).type
        inner = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        if pyarrow.types.is_nested(inner) or any(
            is_bytes(inner)
            for is_bytes in (
                pyarrow.types.is_binary,
                pyarrow.types.is_large_binary,
                pyarrow.types.is_fixed_size_binary,
                pyarrow.types.is_binary_view,
            )
        ):
            raise DataError(
                f"column {name!r} of table {path} cannot be used",
                got=f"type {kind}",
                expected="text or numbers; files are named by their path",
                todo="write the files beside the table and name them in it",
            )
