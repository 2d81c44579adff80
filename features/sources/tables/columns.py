"""Find the columns of a table that hold input, target, split and fold."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.errors import DataError
from features.sources.files.candidates import Columns
from features.sources.tables.file import TableFile
from features.spec import RawKind

#: Usual column names, tried where Columns leaves one open; compared without regard to case.
_FILE_NAMES = ("path", "file", "filename", "file_name", "filepath", "file_path")
_TEXT_NAMES = ("text", "sentence", "review", "phrase", "document", "comment", "message")
SPLIT_NAMES = ("split", "subset", "partition")
FOLD_NAMES = ("fold",)
#: What a message calls a column, where it is not its option's name.
_ROLES = {"target": "label"}
#: Columns that a message names before it counts the rest.
_LISTED = 20


@dataclass(frozen=True)
class Places:
    """Positions of the columns in a row; None where there is none."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    split: int | None
    fold: int | None
    block: int | None

    def chosen(self) -> list[int]:
        """List the positions that are set."""
        places = (*self.inputs, *self.targets, self.split, self.fold, self.block)
        return list(dict.fromkeys(place for place in places if place is not None))


def find(table: TableFile, raw: RawKind, columns: Columns) -> Places:
    """Find the columns by the names given, else by the usual ones.

    Raises:
        DataError: a column is missing, or several could be meant; names those found and expected.
    """
    inputs = _input_names(raw)
    source = None if raw.rows else place_of(table, "input", columns.input, inputs)
    targets = _targets(table, columns)
    beside = bool(columns.beside) and not columns.targets
    if not (targets or beside) or (source is None and not raw.rows):
        has_input = raw.rows or source is not None
        missing, usual = ("target", columns.usual_targets) if has_input else ("input", inputs)
        raise unknown(table, missing, usual)
    split = place_of(table, "split", columns.split, SPLIT_NAMES)
    fold = place_of(table, "fold", columns.fold, FOLD_NAMES)
    block = place_of(table, "block", columns.block, ())
    reserved = (*targets, split, fold, block)
    chosen = (source,) if source is not None else _row_columns(table, columns, reserved)
    return Places(chosen, targets, split, fold, block)


def _targets(table: TableFile, columns: Columns) -> tuple[int, ...]:
    """Find the columns of the target: those named, else the one that has a usual name."""
    if len(columns.targets) > 1 and not columns.several_targets:
        raise DataError(
            "this task takes one target column",
            got=", ".join(map(repr, columns.targets)),
            expected="one --target-column",
            todo="name the column with the classes",
        )
    named = columns.targets
    if not named and columns.find_targets is not None:
        named = columns.find_targets(table.names)
    places = [place_of(table, "target", name, ()) for name in named]
    places = places or [place_of(table, "target", None, columns.usual_targets)]
    return tuple(dict.fromkeys(place for place in places if place is not None))


def find_input(table: TableFile, raw: RawKind, columns: Columns) -> Places:
    """Find the column that holds examples or names their files, where no label is wanted.

    Raises:
        DataError: there is no such column.
    """
    usual = _input_names(raw)
    place = place_of(table, "input", columns.input, usual)
    if place is None:
        raise unknown(table, "input", usual)
    return Places((place,), (), None, None, None)


def _input_names(raw: RawKind) -> tuple[str, ...]:
    return (*_FILE_NAMES, raw.name, f"{raw.name}_path") if not raw.cells else _TEXT_NAMES


def unknown(table: TableFile, role: str, usual: Sequence[str]) -> DataError:
    """Make the error for a column that no name tells."""
    return DataError(
        f"cannot tell which column of {table.path.name} is the {_ROLES.get(role, role)}",
        got=_listed(table),
        expected=f"one of {', '.join(usual)}",
        todo=_remedy(table, f"add --{role}-column"),
    )


def _remedy(table: TableFile, todo: str) -> str:
    """Return what to do, first of all where the table has no header."""
    if table.without_header():
        return (
            "the first row looks like data: add --no-header, and name columns as column_1 or by their number"
        )
    return todo


def _listed(table: TableFile) -> str:
    more = f" and {len(table.names) - _LISTED} more" if len(table.names) > _LISTED else ""
    return f"columns {', '.join(map(repr, table.names[:_LISTED]))}{more}"


def _row_columns(table: TableFile, columns: Columns, reserved: Sequence[int | None]) -> tuple[int, ...]:
    """Find the columns that make a row: those named, else all without another part."""
    free = [name for place, name in enumerate(table.names) if place not in reserved]
    names = free
    if columns.input is not None:
        # A name may hold a comma itself.
        one = columns.input in table.names
        names = [columns.input] if one else [name.strip() for name in columns.input.split(",")]
        names = [_numbered(table, name) for name in names]
    unknown = [name for name in (*names, *columns.ignored) if name not in free]
    left = [name for name in names if name not in columns.ignored]
    if unknown or not left:
        raise DataError(
            f"table {table.path.name} has no such input column"
            if unknown
            else f"table {table.path.name} has no input column",
            got=", ".join(map(repr, unknown)) or "every column ignored",
            expected=f"some of {', '.join(map(repr, free)) or 'at least one beside the target'}",
            todo=_remedy(table, "correct --input-column or data.columns"),
        )
    return tuple(table.names.index(name) for name in left)


def _numbered(table: TableFile, name: str) -> str:
    """Return the name of a column that is named by its number, where the table has no header."""
    headless = table.dialect is not None and not table.dialect.header
    numbered = headless and name.isdecimal() and 0 < int(name) <= len(table.names)
    return table.names[int(name) - 1] if numbered else name


def _option(role: str) -> str:
    return "data.block_column" if role == "block" else f"--{role}-column"


def place_of(table: TableFile, role: str, given: str | None, usual: Sequence[str]) -> int | None:
    """Find a column by the name given, else by the usual ones, in small letters.

    Raises:
        DataError: it is missing though named, or several could be meant.
    """
    if given is not None:
        given = _numbered(table, given.strip())
        if given not in table.names:
            raise DataError(
                f"table {table.path.name} has no column {given!r} for the {role}",
                got=_listed(table),
                todo=_remedy(table, f"correct {_option(role)}"),
            )
        matches = [table.names.index(given)]
    else:
        matches = [place for place, name in enumerate(table.names) if name.lower() in usual]
    if len(matches) > 1:
        raise DataError(
            f"table {table.path.name} has several columns that could be the {role}",
            got=", ".join(repr(table.names[place]) for place in matches),
            expected="one",
            todo=f"name it with --{role}-column",
        )
    if matches and table.names[matches[0]] in table.repeated:
        raise DataError(
            f"table {table.path.name} has columns of the same name, of which one is to be the {role}",
            got=repr(table.names[matches[0]]),
            expected="this name once in the header",
            todo="rename the others",
        )
    return matches[0] if matches else None
