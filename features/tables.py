"""Tables as a source: CSV, TSV and Parquet, one example a row."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from features import delimited, parquet
from features.candidates import Candidate, Columns, Entry, Rejected, Skipped, Source, split_named
from features.delimited import Broken, Row
from features.errors import DataError
from features.names import escape, printable, suffix_of
from features.rows import line
from features.selection import Selection
from features.spec import RawKind

SUFFIXES = (".csv", ".tsv", ".parquet")

#: Usual column names, tried where Columns leaves one open; compared without regard to case.
_FILE_NAMES = ("path", "file", "filename", "file_name", "filepath", "file_path")
_TEXT_NAMES = ("text", "sentence", "review", "phrase", "document", "comment", "message")
_TARGET_NAMES = ("label", "class", "target", "category", "sentiment", "polarity")
_SPLIT_NAMES = ("split", "subset", "partition")
_FOLD_NAMES = ("fold",)
#: Input columns of a row that are named in its source's description.
_SHOWN = 6


def is_table(path: Path) -> bool:
    """Say whether the file's name ends like a table that can be read."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class Places:
    """Positions of the columns in a row; None where there is none."""

    inputs: tuple[int, ...]
    target: int
    split: int | None
    fold: int | None

    def chosen(self) -> list[int]:
        """List the positions that are set."""
        places = (*self.inputs, self.target, self.split, self.fold)
        return list(dict.fromkeys(place for place in places if place is not None))


def open_table(path: Path, raw: RawKind, columns: Columns, follow_symlinks: bool = False) -> Source:
    """Make a source of a table.

    Args:
        path: of a file whose name ends with one of SUFFIXES.
        raw: the raw kind; the examples are files beside the table, or its own cells.
        columns: where to find input, target, split and fold.
        follow_symlinks: whether symbolic links to examples stand for what they lead to.

    Raises:
        DataError: the table has no usable header, or lacks a column.
        OSError: the file cannot be read.
    """
    header = _header(path)
    places = find_columns(path.name, header, raw, columns)
    root = os.fsencode(path.parent)
    rows = _RowReader(root, path.name, Selection(raw, follow_symlinks), places)

    def scan() -> Iterator[Entry]:
        for row in _rows(path, header, places):
            yield rows.entry(row)

    inputs = tuple(header[place] for place in places.inputs)
    roles = {"target": places.target, "split": places.split, "fold": places.fold}
    named = [f"input from {', '.join(map(repr, inputs[:_SHOWN]))}{' ...' if len(inputs) > _SHOWN else ''}"]
    named += [f"{role} from {header[place]!r}" for role, place in roles.items() if place is not None]
    described = printable(f"table {path.name}: {', '.join(named)}")
    return Source("table", described, root, (), (), scan, inputs if raw.rows else ())


def open_split_tables(
    found: Mapping[str, Path], raw: RawKind, columns: Columns, follow_symlinks: bool = False
) -> Source:
    """Make one source of a table for each split, in the same folder.

    Args:
        found: split to table.
        raw: as of `open_table`.
        columns: as of `open_table`; a split column is not looked for.
        follow_symlinks: as of `open_table`.

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
    sources = {split: open_table(path, raw, columns, follow_symlinks) for split, path in found.items()}
    kept = _common_columns(sources)

    def scan() -> Iterator[Entry]:
        for split, source in sources.items():
            for entry in source:
                yield replace(entry, split=split) if isinstance(entry, Candidate) else entry

    described = "; ".join(f"{split}: {source.description}" for split, source in sources.items())
    root = next(iter(sources.values())).root
    return Source("split-tables", printable(described), root, (), tuple(sources), scan, kept)


def _common_columns(sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Give the columns of rows, which must be the same in every table and in the same order."""
    (first, wanted), *others = [(split, source.columns) for split, source in sources.items()]
    for split, found in others:
        if found != wanted:
            raise DataError(
                "the tables of the splits have different columns",
                got=f"{split}: {', '.join(map(repr, found))}",
                expected=f"as {first}: {', '.join(map(repr, wanted))}",
                todo="give all the same columns in the same order, or name those to use with --input-column",
            )
    return wanted


def _header(path: Path) -> list[str]:
    reader = parquet if _is_parquet(path) else delimited
    header = reader.read_header(path)
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
    if _is_parquet(path):
        return parquet.read_rows(path, header, places.chosen())
    return delimited.read_rows(path, len(header))


def _is_parquet(path: Path) -> bool:
    return suffix_of(os.fsencode(path.name)) == ".parquet"


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
    return _rows(path, header, Places((place,), place, None, None))


def all_rows(path: Path) -> "tuple[list[str], Iterator[Row | Broken]]":
    """Read a table's header, and its rows with every column.

    Raises:
        DataError: the table has no usable header, or is damaged.
        OSError: the file cannot be read.
    """
    header = _header(path)
    return header, _rows(path, header, Places(tuple(range(len(header))), 0, None, None))


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
    source = None if raw.rows else _place(table, header, "input", columns.input, inputs)
    target = _place(table, header, "target", columns.target, _TARGET_NAMES)
    if target is None or (source is None and not raw.rows):
        missing, usual = ("target", _TARGET_NAMES) if raw.rows or source is not None else ("input", inputs)
        raise DataError(
            f"table {table} has no {missing} column that can be told by its name",
            got=f"columns {', '.join(map(repr, header))}",
            expected=f"one of {', '.join(usual)}",
            todo=f"name it with --{missing}-column",
        )
    split = _place(table, header, "split", columns.split, _SPLIT_NAMES)
    fold = _place(table, header, "fold", columns.fold, _FOLD_NAMES)
    taken = (target, split, fold)
    chosen = (source,) if source is not None else _row_columns(table, header, columns, taken)
    return Places(chosen, target, split, fold)


def _row_columns(
    table: str, header: Sequence[str], columns: Columns, taken: Sequence[int | None]
) -> tuple[int, ...]:
    """Find the columns that make a row: those named, else all without another part."""
    free = [name for place, name in enumerate(header) if place not in taken]
    wanted = free
    if columns.input is not None:
        # A name may hold a comma itself.
        one = columns.input in header
        wanted = [columns.input] if one else [name.strip() for name in columns.input.split(",")]
    unknown = [name for name in (*wanted, *columns.ignored) if name not in free]
    left = [name for name in wanted if name not in columns.ignored]
    if unknown or not left:
        raise DataError(
            f"table {table} has no such input column" if unknown else f"table {table} has no input column",
            got=", ".join(map(repr, unknown)) or "every column ignored",
            expected=f"some of {', '.join(map(repr, free)) or 'at least one beside the target'}",
            todo="correct --input-column or data.columns",
        )
    return tuple(header.index(name) for name in left)


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

    def __init__(self, root: bytes, table: str, selection: Selection, places: Places) -> None:
        self._root, self._table, self._places = root, table, places
        self._selection, self._raw = selection, selection.raw
        self._parent_is_real = lru_cache(maxsize=100_000)(self._is_real)

    def entry(self, row: "Row | Broken") -> Entry:
        """Check one row, and look at the file it names without opening it."""
        if isinstance(row, Broken):
            return self._rejected(row, row.reason, row.detail, row.offset)
        name = escape(f"{self._table}:{row.number}")
        if not row.cells:
            return Skipped(name, "blank_row")
        places = self._places
        inputs, target = [row.cells[place] for place in places.inputs], row.cells[places.target]
        split, fold = (None if place is None else row.cells[place] for place in (places.split, places.fold))
        for role, filled in (("input", any(map(str.strip, inputs))), ("target", target.strip())):
            if not filled:
                return self._rejected(row, "missing_value", f"the row has no {role}")
        known = None
        if self._places.split is not None and (known := split_named(split or "")) is None:
            return self._rejected(
                row, "unknown_split", f"the split is {split!r}; expected train, validation or test"
            )
        if self._raw.cells:
            text = line(inputs) if self._raw.rows else inputs[0]
            content = text.encode("utf-8")
            return Candidate(None, name, target, known, fold or None, row.number, content, row.line)
        return self._file(row, inputs[0], target, known, fold or None)

    def _file(self, row: Row, cell: str, label: str, split: str | None, fold: str | None) -> Entry:
        relative = os.path.normpath(cell.encode("utf-8"))
        if relative.startswith((b"/", b"../")) or relative == b"..":
            return self._rejected(row, "outside_folder", f"the path {cell!r} leaves the table's folder")
        shown, path = escape(relative), os.path.join(self._root, relative)
        real = os.path.realpath(path) if self._selection.follow_symlinks else path
        try:
            mode = os.lstat(real).st_mode
        except FileNotFoundError:
            return self._rejected(row, "missing", f"there is no file {cell!r} in the table's folder")
        except (OSError, ValueError) as error:
            return self._rejected(row, "unreadable", f"{cell!r}: {error}")
        if stat.S_ISDIR(mode):
            return self._rejected(row, "not_a_file", f"{cell!r} is a folder")
        suffix = suffix_of(relative)
        if stat.S_ISLNK(mode) or (real == path and not self._parent_is_real(path.rpartition(b"/")[0])):
            return Skipped(shown, "symlink", suffix, self._selection.names(relative))
        if not stat.S_ISREG(mode):
            return Skipped(shown, "special_file", suffix)
        if suffix not in self._raw.suffixes and not self._selection.takes(real):
            return Skipped(shown, "unsupported_extension", suffix, suffix in self._raw.kin)
        return Candidate(
            real,
            shown,
            label,
            split,
            fold,
            row.number,
            line=row.line,
            link=None if real == path else relative,
        )

    def _is_real(self, folder: bytes) -> bool:
        return os.path.realpath(folder) == folder

    def _rejected(self, row: "Row | Broken", reason: str, detail: str, offset: int | None = None) -> Rejected:
        table = os.fsencode(self._table)
        return Rejected(table, reason, detail, row.number, row.line, offset)
